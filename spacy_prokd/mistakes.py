"""Where a pipeline went wrong, in tagged texts that have the labels too, and where two disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from spacy.tokens import Doc, Span
from spacy.training import Example

from .scoring import Span as Entity
from .span_scores import get_span_score

GOLD_SPANS = "gold"  # the span group of a tagged Doc with the entities that the labels say
NONE = ""  # in a confusion: no entity


class Confusion(NamedTuple):
    """How often an entity of each type was found as one of which type.

    types (Counter): Of pairs of a gold and a found type; NONE where there is no entity.
    other_borders (Counter): Those found as what they are, but with other borders, by type; they count as wrong.
    """

    types: Counter[tuple[str, str]]
    other_borders: Counter[str]

    def total(self, gold: str) -> int:
        """How many entities of a type the labels have; of NONE, how many were found where they have none."""
        return sum(n for (each, _found), n in self.types.items() if each == gold)


def keep_gold(example: Example) -> Doc:
    """The tagged Doc of an example, with the labels, if it has any, as a span group."""
    doc = example.predicted
    if example.reference.has_annotation("ENT_IOB"):
        doc.spans[GOLD_SPANS] = example.get_aligned_spans_y2x(list(example.reference.ents))
    return doc


def is_labelled(doc: Doc) -> bool:
    """Whether a Doc from `keep_gold` has labels."""
    return GOLD_SPANS in doc.spans


def entity_of(span: Span) -> Entity:
    """First word, exclusive end and label."""
    return span.start, span.end, span.label_


def gold_of(doc: Doc) -> set[Entity]:
    """What the labels say of a Doc from `keep_gold` that has some."""
    return set(map(entity_of, doc.spans[GOLD_SPANS]))


def found_of(doc: Doc) -> set[Entity]:
    """What is set on a Doc."""
    return set(map(entity_of, doc.ents))


def count_confusions(docs: Sequence[Doc]) -> Confusion:
    """Compare each gold entity with the one that was found in its place.

    docs (Sequence[Doc]): From `keep_gold`.
    RETURNS (Confusion): The counts.
    """
    confusion = Confusion(Counter(), Counter())
    for doc in docs:
        for gold, found in _pair(doc.spans[GOLD_SPANS], doc.ents):
            types = (NONE if gold is None else gold.label_, NONE if found is None else found.label_)
            confusion.types[types] += 1
            if types[0] == types[1] and entity_of(gold) != entity_of(found):
                confusion.other_borders[types[0]] += 1
    return confusion


def find_worst(docs: Sequence[Doc], most: int) -> list[int]:
    """The texts with the most errors, which are entities missed and entities that are none; only texts with errors.

    A text that is there twice is named once.

    docs (Sequence[Doc]): From `keep_gold`.
    most (int): How many texts at most.
    RETURNS (list[int]): Their numbers, the worst first.
    """
    errors = [len(gold_of(doc) ^ found_of(doc)) for doc in docs]
    with_errors = [text for text in range(len(docs)) if errors[text]]
    return _once(sorted(with_errors, key=lambda text: -errors[text]), docs)[:most]


def find_disagreements(first: Sequence[Doc], second: Sequence[Doc], most: int) -> list[int]:
    """The texts where one pipeline is surest of an entity that the other does not find.

    A text that is there twice is named once.

    first, second (Sequence[Doc]): The same texts, tagged by each.
    most (int): How many texts at most.
    RETURNS (list[int]): Their numbers, the surest first.
    """
    sureness = {}
    for text, (one, other) in enumerate(zip(first, second, strict=True)):
        alone = [*_only(one, other), *_only(other, one)]
        if alone:
            sureness[text] = max(get_span_score(ent) or 0.0 for ent in alone)
    return _once(sorted(sureness, key=lambda text: -sureness[text]), first)[:most]


def count_alone(docs: Sequence[Doc], others: Sequence[Doc]) -> tuple[int | None, int]:
    """Of the entities that only one pipeline finds: how many are right, and how many there are.

    Without labels nobody knows how many are right: None.

    docs (Sequence[Doc]): From `keep_gold`, tagged by this pipeline.
    others (Sequence[Doc]): The same texts, tagged by another.
    """
    alone = [(doc, ent) for doc, other in zip(docs, others, strict=True) for ent in _only(doc, other)]
    right = sum(entity_of(ent) in gold_of(doc) for doc, ent in alone) if all(map(is_labelled, docs)) else None
    return right, len(alone)


def _once(texts: Sequence[int], docs: Sequence[Doc]) -> list[int]:
    """Numbers of texts, without those of texts that came before, word for word."""
    first: dict[str, int] = {}
    for text in texts:
        first.setdefault(docs[text].text, text)
    return list(first.values())


def _only(doc: Doc, other: Doc) -> list[Span]:
    """The entities of a Doc that the other one does not have."""
    known = found_of(other)
    return [ent for ent in doc.ents if entity_of(ent) not in known]


def _pair(gold: Sequence[Span], found: Sequence[Span]) -> Iterator[tuple[Span | None, Span | None]]:
    """Each gold entity with the found one that it shares most words with, one to one; None beside those left over."""
    shared = [
        (min(g.end, f.end) - max(g.start, f.start), g.label == f.label, i, j)
        for i, g in enumerate(gold)
        for j, f in enumerate(found)
    ]
    left_gold, left_found = dict(enumerate(gold)), dict(enumerate(found))
    for n_words, _same_type, i, j in sorted(shared, reverse=True):
        if n_words > 0 and i in left_gold and j in left_found:
            yield left_gold.pop(i), left_found.pop(j)
    yield from ((span, None) for span in left_gold.values())
    yield from ((None, span) for span in left_found.values())
