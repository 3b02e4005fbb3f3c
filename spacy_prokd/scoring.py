"""Entity scores as spaCy computes them, and beside them the token-level F1 that papers print."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from spacy import registry
from spacy.scorer import PRFScore, get_ner_prf
from spacy.training import Example

Span = tuple[int, int, str]  # first word, exclusive end, label; in words of the reference


@registry.scorers("spacy-prokd.entity_scorer.v1")
def make_entity_scorer() -> Callable[..., dict[str, Any]]:
    """Create the scorer of the component.

    RETURNS (Callable): Gives `ents_p`, `ents_r`, `ents_f`, `ents_per_type` and `token_f` of examples.
    """
    return score_entities


def score_entities(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """Score predicted entities against the reference.

    Words without annotation count neither for nor against, as in spaCy: references without any are skipped,
    and so are predictions that touch such a word or align with no word at all.

    examples (Iterable[Example]): Predicted and reference documents.
    kwargs (Any): What spaCy's `Scorer` hands to every component's scorer; not used.
    RETURNS (dict[str, Any]): The scores, 0 to 1; None where there was nothing to score.
    """
    examples = list(examples)
    return {**get_ner_prf(examples), "token_f": get_token_f(examples)}


def get_token_f(examples: Iterable[Example]) -> float | None:
    """Micro F1 over the words whose gold or predicted tag is not O; right if the IOB2 tags are equal.

    examples (Iterable[Example]): Predicted and reference documents.
    RETURNS (float | None): 2 * right / (gold words + predicted words), or None if there are neither.
    """
    score = PRFScore()
    for example in examples:
        if example.reference.has_annotation("ENT_IOB"):
            score.score_set(_word_tags(predicted_spans(example)), _word_tags(gold_spans(example)))
    return score.fscore if len(score) else None


def gold_spans(example: Example) -> list[Span]:
    """The entities of the reference.

    example (Example): Predicted and reference document.
    RETURNS (list[Span]): First word, exclusive end and label of each.
    """
    return [(ent.start, ent.end, ent.label_) for ent in example.reference.ents]


def predicted_spans(example: Example) -> list[Span]:
    """The predicted entities that count, in words of the reference (aligned as `get_ner_prf` does).

    example (Example): Predicted and reference document.
    RETURNS (list[Span]): First word, exclusive end and label of each.
    """
    to_reference = example.alignment.x2y
    annotated = [token.ent_iob != 0 for token in example.reference]
    spans = []
    for ent in example.predicted.ents:
        words = to_reference[ent.start : ent.end]
        if len(words):
            start, end = int(words[0]), int(words[-1]) + 1
            if all(annotated[start:end]):
                spans.append((start, end, ent.label_))
    return spans


def _word_tags(spans: list[Span]) -> set[tuple[int, str]]:
    """Each word of the spans with its IOB2 tag."""
    return {
        (word, f"{'B' if word == start else 'I'}-{label}") for start, end, label in spans for word in range(start, end)
    }
