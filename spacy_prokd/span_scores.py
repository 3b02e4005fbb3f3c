"""`Span._.score`: the probability of an entity that prokd_ner found."""

from __future__ import annotations

from bisect import bisect_left

from spacy.tokens import Span

SPANS_KEY = "prokd"  # of the span group with what was found, in order, and its scores


def get_span_score(span: Span) -> float | None:
    """The probability of an entity that prokd_ner found; None for any other span."""
    group = span.doc.spans.get(SPANS_KEY)
    if not group or "scores" not in group.attrs:
        return None
    i = bisect_left(group, span.start, key=lambda found: found.start)
    if i == len(group):
        return None
    found = group[i]  # not compared with ==: an entity linker may have given the entity an id since
    is_same = (found.start, found.end, found.label) == (span.start, span.end, span.label)
    return group.attrs["scores"][i] if is_same else None


if not Span.has_extension("score"):
    Span.set_extension("score", getter=get_span_score)
