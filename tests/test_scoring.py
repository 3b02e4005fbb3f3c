"""The registered scorer: spaCy's own figures, and a token-level F1 that counts by hand."""

from __future__ import annotations

import pickle

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_prokd.scoring import get_token_f, predicted_spans, score_entities

VOCAB = Vocab()


def begin_spans(tags: list[str]) -> list[str]:
    """An I- that continues nothing begins a span."""
    return [tag.replace("I-", "B-") if before[1:] != tag[1:] else tag for before, tag in zip(["O", *tags], tags)]


IOB2 = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), max_size=8).map(begin_spans)


def make_example(predicted: list[str], gold: list[str] | None) -> Example:
    words = [f"w{i}" for i in range(len(predicted))]
    return Example(Doc(VOCAB, words=words, ents=predicted), Doc(VOCAB, words=words, ents=gold))


def hand_counted_f(pairs: list[tuple[list[str], list[str]]]) -> float | None:
    words = [pair for predicted, gold in pairs for pair in zip(predicted, gold)]
    right = sum(p == g != "O" for p, g in words)
    n_predicted = sum(p != "O" for p, _ in words)
    n_gold = sum(g != "O" for _, g in words)
    return 2 * right / (n_predicted + n_gold) if n_predicted + n_gold else None


def test_it_is_registered_and_can_be_pickled() -> None:
    scorer = spacy.registry.scorers.get("spacy-prokd.entity_scorer.v1")()
    assert pickle.loads(pickle.dumps(scorer)) is score_entities


def test_known_case() -> None:
    gold = ["B-PER", "I-PER", "O", "B-LOC", "O"]
    predicted = ["B-PER", "I-PER", "I-PER", "B-LOC", "O"]
    scores = score_entities([make_example(predicted, gold)])
    assert scores["ents_f"] == pytest.approx(1 / 2)  # LOC is right, PER is a word too long
    assert scores["ents_per_type"]["LOC"] == {"p": 1.0, "r": 1.0, "f": 1.0}
    assert scores["token_f"] == pytest.approx(2 * 3 / (4 + 3))


def test_tags_must_be_equal_not_only_labels() -> None:
    assert get_token_f([make_example(["B-PER", "I-PER"], ["B-PER", "B-PER"])]) == pytest.approx(1 / 2)


@settings(deadline=None)
@given(st.lists(st.tuples(IOB2, IOB2).map(lambda pair: [tags[: min(map(len, pair))] for tags in pair]), max_size=4))
def test_agrees_with_spacy_and_with_counting(pairs: list[tuple[list[str], list[str]]]) -> None:
    examples = [make_example(predicted, gold) for predicted, gold in pairs]
    scores = score_entities(iter(examples))
    expected = hand_counted_f(pairs)
    assert scores == {**get_ner_prf(examples), "token_f": expected if expected is None else pytest.approx(expected)}


def test_references_without_annotation_are_skipped() -> None:
    unlabelled = make_example(["B-PER"], None)
    assert score_entities([unlabelled])["token_f"] is None
    labelled = make_example(["B-PER"], ["B-PER"])
    assert score_entities([unlabelled, labelled]) == score_entities([labelled])


def test_nothing_found_and_nothing_there_is_no_score() -> None:
    assert set(score_entities([make_example(["O"], ["O"])]).values()) == {None}
    assert set(score_entities([]).values()) == {None}


def test_predictions_on_words_without_annotation_do_not_count() -> None:
    example = make_example(["B-PER", "O", "B-LOC", "I-LOC"], ["O"] * 4)
    person = Span(example.reference, 0, 1, "PER")
    example.reference.set_ents([person], missing=[example.reference[3:4]], default="outside")
    assert predicted_spans(example) == [(0, 1, "PER")]
    scores = score_entities([example])
    assert scores["ents_f"] == scores["token_f"] == 1.0


def test_other_tokenisation_is_aligned() -> None:
    reference = Doc(VOCAB, words=["Anna", "Schmidt", "kam"], ents=["B-PER", "I-PER", "O"])
    split = Doc(VOCAB, words=["An", "na", "Schmidt", "kam"], spaces=[False, True, True, False])
    split.set_ents([Span(split, 0, 3, "PER")])
    merged = Doc(VOCAB, words=["Anna Schmidt", "kam"])
    merged.set_ents([Span(merged, 0, 1, "PER")])
    for predicted in (split, merged):
        example = Example(predicted, reference)
        assert predicted_spans(example) == [(0, 2, "PER")]
        scores = score_entities([example])
        assert scores["ents_f"] == scores["token_f"] == 1.0
