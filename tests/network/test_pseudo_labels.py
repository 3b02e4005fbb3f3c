"""Eq. 9 and what other works do with doubtful labels, on numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from spacy_prokd.network.pseudo_labels import hard_labels, margin_gate, trusted

HYBRID = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.55, 0.45], [0.6, 0.4], [0.3, 0.7], [0.05, 0.95]])
LABELS = torch.tensor([0, 1, 0, 0, 1, 1])


def test_a_hard_label_is_the_most_probable_class():
    assert hard_labels(HYBRID).tolist() == LABELS.tolist()


def test_all_words_count_as_printed():
    assert trusted(HYBRID, LABELS, confidence=0.0, class_share=1.0).tolist() == [1.0] * 6


@pytest.mark.parametrize(
    ("confidence", "expected"), [(0.6, [1, 1, 0, 1, 1, 1]), (0.75, [1, 1, 0, 0, 0, 1]), (0.96, [0, 0, 0, 0, 0, 0])]
)
def test_below_the_confidence_a_word_does_not_count(confidence, expected):
    assert trusted(HYBRID, LABELS, confidence, class_share=1.0).tolist() == expected


def test_a_share_of_each_class_counts_the_surest_first():
    # class 0 has 0.9, 0.6, 0.55 and class 1 has 0.95, 0.8, 0.7: the medians are 0.6 and 0.8
    assert trusted(HYBRID, LABELS, 0.0, class_share=0.5).tolist() == [1, 1, 0, 1, 0, 1]
    assert trusted(HYBRID, LABELS, 0.0, class_share=0.0).tolist() == [1, 0, 0, 0, 0, 1]


def test_both_bounds_hold_together():
    assert trusted(HYBRID, LABELS, 0.7, class_share=0.5).tolist() == [1, 1, 0, 0, 0, 1]


def test_a_label_that_the_teacher_gave_too_trusts_as_much_as_any():
    assert trusted(HYBRID, 1 - LABELS, 0.3, class_share=1.0).tolist() == [0, 0, 1, 1, 1, 0]


def test_the_gate_leaves_far_words_to_the_teacher():
    labels, teacher = torch.tensor([1, 1, 1, 0]), torch.tensor([0, 0, 1, 1])
    # words of class 1 are 1, 3 and 5 from its prototype, 3 in the mean; the only word of class 0 is at its mean
    distances = torch.tensor([[9.0, 1.0], [9.0, 3.0], [9.0, 5.0], [2.0, 9.0]])
    assert margin_gate(labels, teacher, distances).tolist() == [1, 1, 1, 0]
    teacher = torch.tensor([0, 0, 0, 1])
    assert margin_gate(labels, teacher, distances).tolist() == [1, 1, 0, 0]


def test_no_words():
    empty = torch.zeros(0, 2)
    labels = hard_labels(empty)
    assert margin_gate(labels, labels, empty).tolist() == []
    assert trusted(empty, labels, 0.5, 0.5).tolist() == []
