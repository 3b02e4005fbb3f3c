"""What is known of an entity that prokd_ner found: its probability, `Span._.score`, and `Span._.alternatives`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from spacy.tokens import Doc, Span, SpanGroup

from .decoding import ScoredSpan

SPANS_KEY = "prokd"  # of the span group with what was found, in order; its attrs have what is known of each


def set_entities(doc: Doc, found: Iterable[ScoredSpan]) -> list[ScoredSpan]:
    """Set what was found as entities, and as a span group with its scores.

    Entities that are on the Doc already stay; found ones that overlap them are left out, and so are empty ones.

    RETURNS (list[ScoredSpan]): Those that were set.
    """
    preset = list(doc.ents)
    taken = {i for span in preset for i in range(span.start, span.end)}
    kept = [each for each in found if each.start < each.end and taken.isdisjoint(range(each.start, each.end))]
    spans = [Span(doc, start, end, label=label) for start, end, label, _score in kept]
    doc.set_ents([*preset, *spans], default="outside")
    scores = [each.score for each in kept]
    doc.spans[SPANS_KEY] = SpanGroup(doc, name=SPANS_KEY, spans=spans, attrs={"scores": scores})
    return kept


def get_span_score(span: Span) -> float | None:
    """The probability of an entity that prokd_ner found; None for any other span."""
    return _look_up(span, "scores")


def get_alternatives(span: Span) -> list[tuple[str, float]]:
    """Other labels of an entity that prokd_ner found, the most probable first, with their probabilities.

    As many as the component's setting `alternatives`; none for any other span.
    """
    return [(label, score) for label, score in _look_up(span, "alternatives") or ()]


def _look_up(span: Span, key: str) -> Any:
    group = span.doc.spans.get(SPANS_KEY)
    if not group or key not in group.attrs:
        return None
    i = bisect_left(group, span.start, key=lambda found: found.start)
    if i == len(group):
        return None
    found = group[i]  # not compared with ==: an entity linker may have given the entity an id since
    is_same = (found.start, found.end, found.label) == (span.start, span.end, span.label)
    return group.attrs[key][i] if is_same else None


for _name, _getter in (("score", get_span_score), ("alternatives", get_alternatives)):
    if not Span.has_extension(_name):
        Span.set_extension(_name, getter=_getter)
