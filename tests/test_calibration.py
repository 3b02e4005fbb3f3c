"""Scores against how often they are right, by hand and of a pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_prokd.calibration import calibration, collect_scores
from spacy_prokd.span_scores import SPANS_KEY


def test_the_expected_calibration_error_by_hand():
    # bin 0.6: mean 0.65, 1 of 2 right, 0.15 away; bin 0.9: mean 0.95, 2 of 2 right, 0.05 away
    # (2 * 0.15 + 2 * 0.05) / 4
    found = calibration(np.array([0.62, 0.68, 0.9, 1.0]), np.array([True, False, True, True]))
    assert found == {
        "ece": 0.1,
        "bins": [{"score": 0.65, "right": 0.5, "entities": 2}, {"score": 0.95, "right": 1.0, "entities": 2}],
    }


def test_scores_that_say_what_they_are_worth_have_no_error():
    found = calibration(np.full(10, 0.8), np.arange(10) < 8)
    assert found["ece"] == pytest.approx(0.0, abs=1e-9)


def test_without_entities_there_is_nothing_to_say():
    assert calibration(np.zeros(0), np.zeros(0, dtype=bool)) is None


def test_only_entities_with_a_score_count(nlp):
    words = ["Anna", "in", "Bonn", "und", "Otto"]
    predicted, gold = Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words, ents=["B-PER", "O", "B-LOC", "O", "O"])
    anna, bonn, otto = Span(predicted, 0, 1, "PER"), Span(predicted, 2, 3, "ORG"), Span(predicted, 4, 5, "PER")
    predicted.ents = [anna, bonn, otto]  # Otto is of another component
    predicted.spans[SPANS_KEY] = [anna, bonn]
    predicted.spans[SPANS_KEY].attrs["scores"] = [0.9, 0.7]
    scores, right = collect_scores([Example(predicted, gold)])
    assert (scores.tolist(), right.tolist()) == ([0.9, 0.7], [True, False])
