"""Gold annotation of spaCy Examples as classes of words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from spacy.attrs import ENT_IOB, ENT_TYPE, ORTH
from spacy.tokens import Doc
from spacy.training import Example

from .errors import ProKDError
from .labels import tags_of


def gold_classes(examples: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
    """The gold class of each predicted word.

    examples (Sequence[Example]): With any alignment of predicted and reference words.
    labels (Sequence[str]): Entity labels, sorted.
    RETURNS (np.ndarray): int64 [n_words]; -1 where the annotation is missing or does not align.
    RAISES (ProKDError): If an entity has another label.
    """
    classes = {tag: i for i, tag in enumerate(tags_of(labels))}
    found = [np.zeros(0, dtype=np.int64)]
    for example in examples:
        try:
            found.append(_classes_of(example, classes))
        except KeyError as error:
            raise ProKDError(
                f"The corpus has the tag {error}, but the pipeline knows the labels {', '.join(labels)} alone: "
                "convert again with a label map, or train a new teacher."
            ) from None
    return np.concatenate(found)


def _classes_of(example: Example, classes: dict[str, int]) -> np.ndarray:
    predicted, reference = example.predicted, example.reference
    if not reference.has_annotation("ENT_IOB"):
        return np.full(len(predicted), -1, dtype=np.int64)
    if np.array_equal(predicted.to_array(ORTH), reference.to_array(ORTH)):  # nearly always, and far cheaper
        tags = _bio_tags(reference)
    else:
        tags = [None if tag is None else _bio(tag) for tag in example.get_aligned_ner()]
    return np.array([-1 if tag is None else classes[tag] for tag in tags], dtype=np.int64)


def _bio_tags(doc: Doc) -> list[str | None]:
    """The tag of each word; None where none is annotated, or where it is only said that no entity may be."""
    strings = doc.vocab.strings
    prefixes = {1: "I-", 3: "B-"}  # of ENT_IOB; 2 is O
    return [
        prefixes[iob] + strings[label] if label else "O" if iob == 2 else None
        for iob, label in doc.to_array([ENT_IOB, ENT_TYPE]).tolist()
    ]


def _bio(biluo: str) -> str:
    """BILUO, spaCy's own scheme, to BIO."""
    return {"U": "B", "L": "I"}.get(biluo[0], biluo[0]) + biluo[1:]
