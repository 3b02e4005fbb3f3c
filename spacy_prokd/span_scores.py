"""What is known of an entity that prokd_ner found: its probability, `Span._.score`, and `Span._.alternatives`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from spacy.attrs import ENT_IOB, ENT_TYPE
from spacy.tokens import Doc, Span, SpanGroup

from .decoding import ScoredSpan

SPANS_KEY = "prokd"  # of the span group with what was found, in order; its attrs have what is known of each

Alternatives = list[tuple[str, float]]


class _Known(NamedTuple):
    """An entity and what is known of it."""

    span: Span
    score: float | None
    alternatives: Alternatives


def set_entities(doc: Doc, found: Iterable[ScoredSpan], others: Iterable[Alternatives] | None = None) -> None:
    """Set what was found as entities, and as a span group with what is known of each.

    Entities that are on the Doc already stay, with the scores they have; found ones that overlap them, or words where
    none may be (`doc.set_ents(blocked=...)`), are left out.

    found (Iterable[ScoredSpan]): None is empty, and none overlap.
    others (Iterable[Alternatives] | None): The other labels of each.
    """
    preset, blocked = _find_preset(doc) if doc.has_annotation("ENT_IOB") else ([], [])
    taken = {*blocked, *(i for span in preset for i in range(span.start, span.end))}
    new = [
        _Known(Span(doc, start, end, label=label), score, alternatives)
        for (start, end, label, score), alternatives in zip(found, repeat([]) if others is None else others)
        if taken.isdisjoint(range(start, end))
    ]
    before = [_Known(span, get_span_score(span), get_alternatives(span)) for span in preset]
    known = sorted([*(each for each in before if each.score is not None), *new], key=lambda each: each.span.start)
    spans = [*preset, *(each.span for each in new)]
    doc.set_ents(spans, blocked=[doc[i : i + 1] for i in blocked])
    attrs = {
        "scores": [each.score for each in known],
        "alternatives": [each.alternatives for each in known],
        "places": [_place(each.span) for each in known],
    }
    doc.spans[SPANS_KEY] = SpanGroup(doc, name=SPANS_KEY, spans=[each.span for each in known], attrs=attrs)


def _find_preset(doc: Doc) -> tuple[list[Span], list[int]]:
    """The entities of a Doc, and the words where none may be."""
    iob, labels = doc.to_array([ENT_IOB, ENT_TYPE]).T
    return list(doc.ents), np.flatnonzero((iob == 3) & (labels == 0)).tolist()


def get_span_score(span: Span) -> float | None:
    """The probability of an entity that prokd_ner found; None for any other span."""
    return _look_up(span, "scores")


def get_alternatives(span: Span) -> Alternatives:
    """Other labels of an entity that prokd_ner found, the most probable first, with their probabilities.

    As many as the component's setting `alternatives`; none for any other span.
    """
    return [(label, score) for label, score in _look_up(span, "alternatives") or ()]


def _look_up(span: Span, key: str) -> Any:
    group = span.doc.spans.get(SPANS_KEY)
    if group is None or "places" not in group.attrs:
        return None
    places, place = group.attrs["places"], _place(span)
    i = bisect_left(places, place)
    return group.attrs[key][i] if i < len(places) and places[i] == place else None


def _place(span: Span) -> list:
    """Where a span is and what: in characters, which stay when words are merged or split (spaCy's span groups do not
    follow), and without the id that an entity linker may give it.
    """
    return [span.start_char, span.end_char, span.label_]


for _name, _getter in (("score", get_span_score), ("alternatives", get_alternatives)):
    if not Span.has_extension(_name):
        Span.set_extension(_name, getter=_getter)
