"""Decoding against brute force: every valid path, every outcome of independent words."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spacy_prokd import decoding
from spacy_prokd.decoding import ScoredSpan, best_path, decode, given_spans, other_labels, thresholds_of
from spacy_prokd.errors import ProKDError

FLOOR = np.finfo(np.float32).tiny
LABELS = ["LOC", "PER"]
OUT, B_LOC, I_LOC, B_PER, I_PER = range(5)
unhurried = settings(deadline=None)  # the machine may be busy


def one_hot(tags: list[int], confidence: float = 0.9, n_tags: int = 5) -> np.ndarray:
    probabilities = np.full((len(tags), n_tags), (1 - confidence) / (n_tags - 1))
    probabilities[np.arange(len(tags)), tags] = confidence
    return probabilities


def is_valid(path: tuple[int, ...]) -> bool:
    return all(tag == 0 or tag % 2 or before in (tag, tag - 1) for before, tag in zip((0, *path), path))


def log_probability(probabilities: np.ndarray, path: tuple[int, ...], touching: float = 1.0) -> float:
    chosen = probabilities[np.arange(len(path)), list(path)].astype(np.float64)
    n_touching = sum(before > 0 and tag % 2 == 1 for before, tag in itertools.pairwise(path))
    return float(np.log(np.maximum(chosen, FLOOR)).sum() + n_touching * np.log(touching))


def all_paths(n_words: int, n_tags: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(n_tags), repeat=n_words))


@st.composite
def texts(draw: st.DrawFn, max_words: int = 5, sums_to_one: bool = False) -> list[np.ndarray]:
    """A few texts with the same number of tags; probabilities with exact zeros, ones and ties."""
    n_tags = draw(st.sampled_from([1, 3, 5]))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    lengths = draw(st.lists(st.integers(0, max_words), max_size=3))
    values = st.sampled_from([0.0, 1e-30, 1e-4, 0.1, 0.3, 0.5, 1.0]) | st.floats(0, 1)
    found = []
    for length in lengths:
        text = draw(hnp.arrays(np.float64, (length, n_tags), elements=values))
        if sums_to_one:
            text = (text + 1e-3) / (text + 1e-3).sum(axis=1, keepdims=True)
        found.append(text.astype(np.float64 if sums_to_one else dtype))
    return found


@unhurried
@given(texts(), st.sampled_from([1.0, 0.3, 0.01]))
def test_path_is_the_best_of_all_valid_paths(given_texts: list[np.ndarray], touching: float) -> None:
    if not given_texts:
        return
    offsets = np.cumsum([0, *map(len, given_texts)])
    path = best_path(np.concatenate(given_texts), offsets, touching)
    for text, start, end in zip(given_texts, offsets, offsets[1:]):
        found = tuple(path[start:end].tolist())
        best = max(log_probability(text, other, touching) for other in all_paths(*text.shape) if is_valid(other))
        assert is_valid(found)
        assert log_probability(text, found, touching) == pytest.approx(best, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.2, 1.0, 4.0]), st.sampled_from([1.0, 0.3, 0.01]))
def test_long_texts_equal_viterbi_over_the_whole_text(seed: int, sharpness: float, touching: float) -> None:
    """Only stretches are searched: the whole lattice, with forbidden steps at minus infinity, must agree."""
    logits = np.random.default_rng(seed).normal(size=(200, 9)) * sharpness
    logits[:, 2::2] += 1  # many I- without B-, so that stretches are wide and touch
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    steps = np.zeros((9, 9))
    for tag in range(2, 9, 2):
        steps[[before for before in range(9) if before not in (tag, tag - 1)], tag] = -np.inf
        steps[1:, tag - 1] = np.log(touching)
    scores = np.log(probabilities[0]) + steps[0]
    for row in probabilities[1:]:
        scores = (scores[:, None] + steps).max(axis=0) + np.log(row)
    path = tuple(best_path(probabilities, np.array([0, 200]), touching).tolist())
    assert is_valid(path)
    assert log_probability(probabilities, path, touching) == pytest.approx(scores.max(), abs=1e-8)


@unhurried
@given(texts(max_words=4, sums_to_one=True), st.sampled_from([1.0, 0.1]))
def test_score_is_the_mass_of_all_outcomes_with_exactly_this_span(
    given_texts: list[np.ndarray], touching: float
) -> None:
    """Words drawn independently: how often is there B-x at the start, I-x to the end, and no I-x after it?

    Right after a word of an entity, B- of any label is drawn by so much less often.
    """
    n_labels = (given_texts[0].shape[1] - 1) // 2 if given_texts else 0
    for given_text, spans in zip(given_texts, decode(given_texts, LABELS[:n_labels], touching=touching)):
        text = given_text.copy()
        after = [i + 1 for span in spans for i in range(span.start, span.end) if i + 1 < len(text)]
        text[after, 1::2] *= touching
        text /= text.sum(axis=1, keepdims=True)
        for span in spans:
            begin = 1 + 2 * LABELS.index(span.label)
            mass = 0.0
            for outcome in all_paths(*text.shape):
                wanted = (begin, *[begin + 1] * (span.end - span.start - 1))
                ends_here = span.end == len(text) or outcome[span.end] != begin + 1
                if outcome[span.start : span.end] == wanted and ends_here:
                    mass += float(text[np.arange(len(text)), list(outcome)].prod())
            assert span.score == pytest.approx(mass, rel=1e-6)


@unhurried
@given(texts(), st.sampled_from([1.0, 0.1]))
def test_scores_are_probabilities_and_spans_do_not_overlap(given_texts: list[np.ndarray], touching: float) -> None:
    n_labels = (given_texts[0].shape[1] - 1) // 2 if given_texts else 0
    decoded = decode(given_texts, LABELS[:n_labels], touching=touching)
    assert len(decoded) == len(given_texts)
    for text, spans in zip(given_texts, decoded):
        edges = [edge for span in spans for edge in (span.start, span.end)]
        assert edges == sorted(edges)
        assert all(0 <= span.start < span.end <= len(text) for span in spans)
        assert all(0 < span.score <= 1 for span in spans)


def test_each_label_may_have_a_threshold_of_its_own() -> None:
    assert thresholds_of(0.3, LABELS) == {"LOC": 0.3, "PER": 0.3}
    assert thresholds_of({"PER": 0.9}, LABELS) == {"LOC": 0.0, "PER": 0.9}
    with pytest.raises(ProKDError, match="thresholds for ORG, but the labels are LOC, PER"):
        thresholds_of({"ORG": 0.5}, LABELS)


@pytest.mark.parametrize("value", [2, -1, "0.5", None, float("nan")])
@pytest.mark.parametrize("label", ["all labels", "PER"])
def test_a_threshold_is_checked_wherever_it_was_set(value: object, label: str) -> None:
    with pytest.raises(ProKDError, match=f"threshold of {label} is {value!r}, but scores are from 0 to 1"):
        thresholds_of({label: value} if label == "PER" else value, LABELS)


def test_other_labels_are_as_probable_as_their_own_span() -> None:
    text = np.array([[0.1, 0.5, 0.1, 0.2, 0.1], [0.1, 0.1, 0.4, 0.1, 0.3], [0.5, 0.1, 0.2, 0.1, 0.1]])
    assert other_labels(text, ScoredSpan(0, 2, "LOC", 0.16), LABELS) == [("PER", pytest.approx(0.2 * 0.3 * 0.9))]
    assert other_labels(text, ScoredSpan(2, 3, "PER", 0.1), LABELS) == [("LOC", pytest.approx(0.1))]  # nothing follows
    for touching in (1.0, 0.1):
        found = decode([one_hot([B_LOC, I_LOC, OUT])], LABELS, touching=touching)[0][0]
        others = other_labels(one_hot([B_LOC, I_LOC, OUT]), found._replace(label="PER"), LABELS, touching=touching)
        assert dict(others) == {"LOC": pytest.approx(found.score)}


@unhurried
@given(texts())
def test_a_batch_gives_what_its_texts_give(given_texts: list[np.ndarray]) -> None:
    labels = LABELS[: (given_texts[0].shape[1] - 1) // 2] if given_texts else []
    assert decode(given_texts, labels) == [decode([text], labels)[0] for text in given_texts]


def test_entities_that_seldom_touch_are_one_unless_the_second_is_sure_to_begin() -> None:
    doubtful, sure = np.array([[0.0, 1, 0, 0, 0], [0.0, 0.8, 0.2, 0, 0]]), one_hot([B_LOC, B_LOC], confidence=1.0)
    assert decode([doubtful], LABELS) == [
        [ScoredSpan(0, 1, "LOC", pytest.approx(0.8)), ScoredSpan(1, 2, "LOC", pytest.approx(0.8))]
    ]
    one = [ScoredSpan(0, 2, "LOC", pytest.approx(0.2 / (0.2 + 0.1 * 0.8)))]
    assert decode([doubtful, sure], LABELS, touching=0.1) == [one, decode([sure], LABELS)[0]]


def test_known_spans_and_scores() -> None:
    text = one_hot([OUT, B_PER, I_PER, OUT, B_LOC], confidence=0.8)  # 0.05 for each other tag
    assert decode([text], LABELS) == [
        [
            ScoredSpan(1, 3, "PER", pytest.approx(0.8 * 0.8 * 0.95)),
            ScoredSpan(4, 5, "LOC", pytest.approx(0.8)),
        ]
    ]


def test_adjacent_spans_stay_apart() -> None:
    spans = decode([one_hot([B_LOC, B_LOC, I_LOC, B_PER])], LABELS)[0]
    assert [span[:3] for span in spans] == [(0, 1, "LOC"), (1, 3, "LOC"), (3, 4, "PER")]


def test_inside_without_begin_becomes_the_cheapest_valid_path() -> None:
    likely_begin = np.array([[0.9, 0.04, 0.02, 0.02, 0.02], [0.1, 0.35, 0.5, 0.03, 0.02]])
    assert best_path(likely_begin, np.array([0, 2])).tolist() == [OUT, B_LOC]
    begin_was_missed = np.array([[0.5, 0.45, 0.01, 0.02, 0.02], [0.01, 0.01, 0.96, 0.01, 0.01]])
    assert best_path(begin_was_missed, np.array([0, 2])).tolist() == [B_LOC, I_LOC]


def test_a_span_never_crosses_into_the_next_text() -> None:
    flat = one_hot([B_PER, I_PER, I_PER])
    assert best_path(flat, np.array([0, 2, 3])).tolist()[:2] == [B_PER, I_PER]
    assert best_path(flat, np.array([0, 2, 3]))[2] != I_PER
    assert [len(spans) for spans in decode([flat[:2], flat[:0], flat[:1]], LABELS)] == [1, 0, 1]


def test_an_impossible_word_costs_only_its_own_tag() -> None:
    """Saturated probabilities (float16 soft labels) make every path impossible; the rest of the text stays."""
    tags = [OUT, I_PER, OUT, B_LOC, I_LOC, OUT]
    spans = decode([one_hot(tags, confidence=1.0).astype(np.float16)], LABELS)[0]
    assert (3, 5, "LOC") in [span[:3] for span in spans]


def test_nothing_in_nothing_out() -> None:
    assert decode([], LABELS) == []
    assert decode([np.zeros((0, 5))], LABELS) == [[]]
    assert decode([np.ones((3, 1))], []) == [[]]


def test_wrong_number_of_labels_is_named() -> None:
    with pytest.raises(ProKDError, match="probabilities of 5 tags, but 3 labels have 7"):
        decode([one_hot([OUT])], ["LOC", "ORG", "PER"])


@pytest.mark.parametrize("bias", [0.0, 4.0], ids=["random", "all inside"])
def test_worst_cases_are_linear_in_length(bias: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained tagger, and one that says I- everywhere: how many words are searched, some of them again."""
    searched = []
    viterbi = decoding._viterbi
    monkeypatch.setattr(
        decoding, "_viterbi", lambda rows, *args, **kw: searched.append(len(rows)) or viterbi(rows, *args, **kw)
    )
    logits = np.random.default_rng(0).normal(size=(50_000, 9))
    logits[:, 2::2] += bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for n_words in (5_000, 50_000):
        searched.clear()
        decode([probabilities[:n_words]], ["LOC", "MISC", "ORG", "PER"])
        assert 0 < sum(searched) < 4 * n_words


def test_what_is_known_to_be_one_entity_is_sure_and_all_else_stays():
    p = one_hot([B_LOC, OUT, B_PER, I_PER, B_LOC])
    parts = [ScoredSpan(0, 1, "LOC", 0.9), ScoredSpan(2, 4, "PER", 0.9), ScoredSpan(4, 5, "LOC", 0.9)]
    spans = [ScoredSpan(0, 4, "PER", 0.9), ScoredSpan(4, 5, "LOC", 0.9)]
    known = given_spans(p, spans, parts, LABELS)
    assert known[:4].tolist() == one_hot([B_PER, I_PER, I_PER, I_PER], 1.0).tolist()
    assert known[4].tolist() == p[4].tolist()
