"""Texts with their entities as HTML, by displaCy. Their colours are the page's CSS, which has light and dark ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape
from spacy import displacy
from spacy.tokens import Doc, Span

from ..mistakes import GOLD_SPANS, entity_of, find_disagreements, find_worst, found_of, gold_of, is_labelled
from ..scoring import Span as Entity
from ..span_scores import get_span_score

MOST_TEXTS = 10
MOST_WORDS = 80  # of a text: long ones are shown from a little before the first error
_WORDS_BEFORE = 15
_WORDS_AROUND = 6  # a word that is an example
_ENTITY = '<mark dir="auto" class="entity {look}">{text}<small>{label}</small></mark>'

Lines = list[tuple[str, Markup]]  # who says so, and the text with entities


def show_worst(role: str, docs: Sequence[Doc], looks: Mapping[str, str]) -> list[Lines]:
    """The texts with the most errors.

    role (str): The pipeline's name on the page.
    docs (Sequence[Doc]): As it tagged them.
    looks (Mapping[str, str]): The CSS class of each type.
    RETURNS (list[Lines]): For each text what the labels say, and what the pipeline.
    """
    return [_show({role: docs[text]}, looks) for text in find_worst(docs, MOST_TEXTS)]


def show_disagreements(tagged: Mapping[str, Sequence[Doc]], looks: Mapping[str, str]) -> list[Lines]:
    """The texts that two pipelines disagree about, where they are surest.

    tagged (Mapping[str, Sequence[Doc]]): By the pipeline's name, the documents as it tagged them.
    looks (Mapping[str, str]): The CSS class of each type.
    RETURNS (list[Lines]): For each text what the labels say, if it has any, and what the pipelines.
    """
    chosen = find_disagreements(*tagged.values(), MOST_TEXTS)
    return [_show({role: docs[text] for role, docs in tagged.items()}, looks) for text in chosen]


def show_word(doc: Doc, word: int) -> Markup:
    """A word in bold, among those around it."""
    start, end = max(0, word - _WORDS_AROUND), word + 1 + _WORDS_AROUND
    return Markup("{}{}<b>{}</b>{}{}{}").format(
        "… " if start else "",
        doc[start:word].text_with_ws,
        doc[word].text,
        doc[word].whitespace_,
        doc[word + 1 : end].text,
        " …" if end < len(doc) else "",
    )


def _show(found: Mapping[str, Doc], looks: Mapping[str, str]) -> Lines:
    """What the labels say of one text, and what each pipeline; what is wrong is marked, or found by one alone."""
    doc = next(iter(found.values()))
    said = list(map(found_of, found.values()))
    right = gold_of(doc) if is_labelled(doc) else set.intersection(*said)
    agreed = right.intersection(*said)
    first_error = min(right.union(*said) - agreed)[0]
    start = max(0, first_error - _WORDS_BEFORE) if len(doc) > MOST_WORDS else 0
    end = start + MOST_WORDS
    lines = [
        (role, _draw({ent: _told(ent) for ent in each.ents}, each[start:end], right, looks))
        for role, each in found.items()
    ]
    if is_labelled(doc):
        labels = {span: span.label_ for span in doc.spans[GOLD_SPANS]}
        lines.insert(0, ("labels", _draw(labels, doc[start:end], agreed, looks)))
    return lines


def _told(ent: Span) -> str:
    """The type, and the score where there is one."""
    score = get_span_score(ent)
    return ent.label_ if score is None else f"{ent.label_} {score:.2f}"


def _draw(spans: Mapping[Span, str], stretch: Span, right: set[Entity], looks: Mapping[str, str]) -> Markup:
    """A stretch of text with entities and what is told of them; those that are not right look so."""
    before = "… " if stretch.start else ""
    after = " …" if stretch.end < len(stretch.doc) else ""
    shift = len(before) - stretch.start_char
    ents = [
        {
            "start": span.start_char + shift,
            "end": span.end_char + shift,
            "label": escape(told),  # displaCy escapes the text alone
            "params": {"look": looks[span.label_] + ("" if entity_of(span) in right else " wrong")},
        }
        for span, told in spans.items()
        if stretch.start <= span.start and span.end <= stretch.end
    ]
    text = {"text": before + stretch.text + after, "ents": ents}
    return Markup(displacy.render(text, style="ent", manual=True, jupyter=False, options={"template": _ENTITY}))
