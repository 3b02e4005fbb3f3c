"""What a student's own prototypes say of a text, without its teacher and its classifier (Eq. 8 of arXiv 2301.08855)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from .architectures import get_head, probabilities
from .corpus.readers import copy_words
from .network.prototypes import PrototypeBank, distances, prototype_probabilities
from .objectives.student import Student
from .progress import progress_bar
from .soft_labels import annotate_before
from .units import to_words

if TYPE_CHECKING:  # which scores them as it trains
    from .pipeline import ProKDNer


def find_prototypes(nlp: Language) -> tuple[ProKDNer, PrototypeBank] | None:
    """Find the prototypes that the last epoch of a student's training made its labels from.

    nlp (Language): Any pipeline.
    RETURNS (tuple | None): The student's pipe and the prototypes; None if no pipe of it trained itself.
    """
    pipe = next((pipe for _name, pipe in nlp.pipeline if hasattr(pipe, "objective")), None)
    if pipe is None or not isinstance(pipe.objective, Student):
        return None
    bank = get_head(pipe.model).target
    return (pipe, bank) if bank.from_full_pass else None


def tag_by_prototypes(nlp: Language, references: Sequence[Doc]) -> list[Example]:
    """Tag words as prototypes alone would: the most probable entities by Eq. 8, found as the pipe finds its own.

    nlp (Language): Any pipeline.
    references (Sequence[Doc]): The texts; only their words are read.
    RETURNS (list[Example]): Tagged and given Docs; none if `find_prototypes` finds nothing.
    """
    found = find_prototypes(nlp)
    if found is None:
        return []
    pipe, _bank = found
    docs = list(map(copy_words, references))
    with progress_bar() as progress:
        for batch in progress.track(list(minibatch(docs, 256)), description="Tagging words by prototypes"):
            _tag(annotate_before(nlp, pipe, batch), *found)
    return [Example(doc, reference) for doc, reference in zip(docs, references)]


def score_prototypes(nlp: Language, pipe: ProKDNer, examples: Iterable[Example]) -> float | None:
    """Entity F1 of what a student's prototypes alone find, which tells how good they are where labels are known.

    nlp (Language): The pipeline that the pipe is part of.
    pipe (ProKDNer): A student that has prototypes.
    examples (Iterable[Example]): Labelled text; the predicted Docs are tagged.
    RETURNS (float | None): From 0 to 1; None where the pipe's scorer gives none.
    """
    tagged = list(examples)
    for batch in minibatch(tagged, 128):
        _tag(annotate_before(nlp, pipe, [example.predicted for example in batch]), pipe, get_head(pipe.model).target)
    return pipe.scorer(tagged).get("ents_f")


def _tag(docs: Sequence[Doc], pipe: ProKDNer, bank: PrototypeBank) -> None:
    units = pipe.to_units(docs)
    output = pipe.model.predict(units.docs)
    far = distances(output.vectors, bank, pipe.objective.distance)
    pi = prototype_probabilities(far, bank, pipe.objective.tau_proto, prior=pipe.objective.prior)
    logits = pi.clamp_min(torch.finfo(pi.dtype).tiny).log()
    pipe.set_annotations(docs, probabilities(to_words(output._replace(logits=logits), units, docs)))
