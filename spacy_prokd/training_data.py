"""Gold annotation of spaCy Examples as classes of words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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
    found: list[int] = []
    for example in examples:
        if not example.reference.has_annotation("ENT_IOB"):
            found.extend([-1] * len(example.predicted))
            continue
        try:
            found.extend(-1 if tag is None else classes[_bio(tag)] for tag in example.get_aligned_ner())
        except KeyError as error:
            raise ProKDError(
                f"The corpus has the tag {error}, but the pipeline knows the labels {', '.join(labels)} alone: "
                "convert again with a label map, or train a new teacher."
            ) from None
    return np.array(found, dtype=np.int64)


def _bio(biluo: str) -> str:
    """BILUO, spaCy's own scheme, to BIO."""
    return {"U": "B", "L": "I"}.get(biluo[0], biluo[0]) + biluo[1:]
