"""Eq. 9 and what other works do with doubtful labels, on numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from spacy_prokd.network.pseudo_labels import LabelledTexts, hard_labels, join, margin_gate, trusted

HYBRID = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.55, 0.45], [0.6, 0.4], [0.3, 0.7], [0.05, 0.95]])
LABELS = [0, 1, 0, 0, 1, 1]
FOUND = hard_labels(HYBRID, HYBRID, torch.zeros(6, 2))


def gate(labels: list[int], teacher: list[int], distances: list[list[float]]) -> list[int]:
    hybrid, p = (torch.nn.functional.one_hot(torch.tensor(each), 2).float() for each in (labels, teacher))
    return margin_gate(hard_labels(hybrid, p, torch.tensor(distances))).labels.tolist()


def test_a_hard_label_is_the_most_probable_class():
    assert FOUND.labels.tolist() == LABELS
    assert FOUND.sureness.tolist() == pytest.approx([0.9, 0.8, 0.55, 0.6, 0.7, 0.95])


def test_with_a_label_comes_what_the_teacher_says_and_how_far_the_prototype_is():
    p = torch.tensor([[0.6, 0.4], [0.6, 0.4]])
    found = hard_labels(HYBRID[:2], p, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert found.teacher.tolist() == [0, 0]
    assert found.teacher_sureness.tolist() == pytest.approx([0.9, 0.2])
    assert found.distance.tolist() == [1.0, 4.0]


def test_other_labels_than_the_most_probable_ones():
    found = hard_labels(HYBRID, HYBRID, 1 - HYBRID, torch.tensor([0, 1, 1, 0, 1, 1]))
    assert found.labels.tolist() == [0, 1, 1, 0, 1, 1]
    assert found.sureness.tolist() == pytest.approx([0.9, 0.8, 0.45, 0.6, 0.7, 0.95])
    assert found.distance.tolist() == pytest.approx([0.1, 0.2, 0.55, 0.4, 0.3, 0.05])
    assert found.teacher.tolist() == LABELS


def test_labels_of_batches_are_those_of_the_whole():
    parts = [hard_labels(HYBRID[part], HYBRID[part], torch.zeros(6, 2)[part]) for part in (slice(0, 2), slice(2, 6))]
    for joined, whole in zip(join(parts), FOUND):
        assert joined.tolist() == whole.tolist()


def test_all_words_count_as_printed():
    assert trusted(FOUND, confidence=0.0, class_share=1.0).tolist() == [True] * 6


@pytest.mark.parametrize(
    ("confidence", "expected"), [(0.6, [1, 1, 0, 1, 1, 1]), (0.75, [1, 1, 0, 0, 0, 1]), (0.96, [0, 0, 0, 0, 0, 0])]
)
def test_below_the_confidence_a_word_does_not_count(confidence, expected):
    assert trusted(FOUND, confidence, class_share=1.0).tolist() == expected


def test_a_share_of_each_class_counts_the_surest_first():
    # class 0 has 0.9, 0.6, 0.55 and class 1 has 0.95, 0.8, 0.7: the medians are 0.6 and 0.8
    assert trusted(FOUND, 0.0, class_share=0.5).tolist() == [1, 1, 0, 1, 0, 1]
    assert trusted(FOUND, 0.0, class_share=0.0).tolist() == [1, 0, 0, 0, 0, 1]


def test_a_share_of_more_words_than_torch_has_quantiles_for():
    n = 2**24 + 1
    sureness = torch.arange(n, dtype=torch.float64).div(n)
    nothing = torch.zeros(n, dtype=torch.int8)
    many = FOUND._replace(labels=nothing, sureness=sureness)
    assert int(trusted(many, 0.0, class_share=0.25).sum()) == n // 4 + 1


def test_both_bounds_hold_together():
    assert trusted(FOUND, 0.7, class_share=0.5).tolist() == [1, 1, 0, 0, 0, 1]


def test_the_gate_leaves_far_words_to_the_teacher():
    # words of class 1 are 1, 3 and 5 from its prototype, 3 in the mean; the only word of class 0 is at its mean
    distances = [[9.0, 1.0], [9.0, 3.0], [9.0, 5.0], [2.0, 9.0]]
    assert gate([1, 1, 1, 0], [0, 0, 1, 1], distances) == [1, 1, 1, 0]
    assert gate([1, 1, 1, 0], [0, 0, 0, 1], distances) == [1, 1, 0, 0]


def test_a_word_that_the_gate_leaves_to_the_teacher_is_as_sure_as_the_teachers_label():
    hybrid, p = torch.tensor([[0.3, 0.7], [0.4, 0.6]]), torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    gated = margin_gate(hard_labels(hybrid, p, torch.tensor([[9.0, 1.0], [9.0, 5.0]])))
    assert gated.labels.tolist() == [1, 0]
    assert gated.sureness.tolist() == pytest.approx([0.7, 0.4])


def test_no_words():
    empty = torch.zeros(0, 2)
    found = margin_gate(hard_labels(empty, empty, empty))
    assert found.labels.tolist() == []
    assert trusted(found, 0.5, 0.5).tolist() == []


def test_texts_are_found_again_in_any_order():
    labels: Tensor = torch.tensor([1, 2, 3, 4, 5, 6], dtype=torch.int16)
    texts = LabelledTexts(np.array([7, 3, 5], dtype=np.uint64), [2, 1, 3], labels, labels > 3)
    found, counts = texts.of(np.array([5, 7], dtype=np.uint64))
    assert (found.tolist(), counts.tolist()) == ([4, 5, 6, 1, 2], [True, True, True, False, False])
    assert found.dtype == torch.int64
    for unknown in (4, 9):
        with pytest.raises(KeyError, match=str(unknown)):
            texts.of(np.array([5, unknown], dtype=np.uint64))


def test_a_text_that_is_there_twice_has_its_labels_each_time():
    """As one of two languages' corpora may be."""
    labels: Tensor = torch.tensor([1, 2, 3, 1, 2], dtype=torch.int16)
    texts = LabelledTexts(np.array([7, 3, 7], dtype=np.uint64), [2, 1, 2], labels, labels > 1)
    found, counts = texts.of(np.array([7, 3, 7], dtype=np.uint64))
    assert (found.tolist(), counts.tolist()) == ([1, 2, 3, 1, 2], [False, True, True, False, True])
