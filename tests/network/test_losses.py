"""The losses against numbers worked out by hand, and their gradients against finite differences."""

from __future__ import annotations

from functools import partial
from math import log

import pytest
import torch
from torch.autograd import gradcheck

from spacy_prokd.network.losses import (
    class_alignment,
    consistency,
    cross_entropy,
    distillation,
    distillation_weight,
    student_loss,
    vector_distillation,
)

# softmax(0, log 3) = (1/4, 3/4) and softmax(0, 0) = (1/2, 1/2)
LOGITS = torch.tensor([[0.0, log(3.0)], [0.0, 0.0]])


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def test_cross_entropy_is_the_mean_over_words_eq_1():
    # (-log 3/4 - log 1/2) / 2 = (0.2876821 + 0.6931472) / 2
    assert cross_entropy(LOGITS, torch.tensor([1, 0])).item() == pytest.approx(0.4904146, abs=1e-6)


def test_cross_entropy_counts_words_by_weight():
    # (2 * 0.2876821 + 0 * 0.6931472) / 2
    weighted = cross_entropy(LOGITS, torch.tensor([1, 0]), weights=torch.tensor([2.0, 0.0]))
    assert weighted.item() == pytest.approx(0.2876821, abs=1e-6)


def test_distillation_sums_over_classes_and_averages_over_words_eq_2():
    p = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    # word 1: (1/4 - 1/2)^2 + (3/4 - 1/2)^2 = 0.125; word 2: (1/2 - 1)^2 + (1/2 - 0)^2 = 0.5; mean 0.3125
    assert distillation(LOGITS, p).item() == pytest.approx(0.3125, abs=1e-6)


def test_distillation_counts_words_by_weight():
    p = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    # (1 * 0.125 + 0.25 * 0.5) / 2
    weights = torch.tensor([1.0, 0.25])
    assert distillation(LOGITS, p, weights=weights).item() == pytest.approx(0.125, abs=1e-6)


def test_vector_distillation_is_a_share_of_the_teachers_squared_length():
    teacher = torch.tensor([[3.0, 4.0], [0.0, 0.0]])  # 25
    h = torch.tensor([[3.0, 3.0], [2.0, 0.0]])  # 1 + 4 away
    assert vector_distillation(h, teacher).item() == pytest.approx(0.2)
    assert vector_distillation(10 * h, 10 * teacher).item() == pytest.approx(0.2)
    assert vector_distillation(h[:0], teacher[:0]).item() == 0.0
    assert gradcheck(vector_distillation, (random(3, 4), random(3, 4, seed=1).detach()))


def test_distillation_as_in_tsl_is_smaller_by_the_number_of_classes():
    p = torch.softmax(LOGITS.flip(0), dim=-1)
    assert distillation(LOGITS, p, "mean").item() * LOGITS.shape[1] == pytest.approx(distillation(LOGITS, p).item())


def test_distillation_is_zero_where_the_student_says_what_the_teacher_says():
    assert distillation(LOGITS, torch.softmax(LOGITS, dim=-1)).item() == 0.0


# Normalised: s0 = (1, 0), s1 = (0, 1), t0 = (1, 0), t1 = (0.6, 0.8). Cosines over tau = 0.5:
#   s0.t0 = 2    s1.t1 = 1.6    s0.t1 = 1.2    s1.t0 = 0    s0.s1 = 0    t0.t1 = 1.2
# Negatives of class 0: s0.t1, t0.s1, s0.s1, t0.t1: e^1.2 + 1 + 1 + e^1.2 = 8.6402338; class 1 has the same four.
# Positives: e^2 = 7.3890561 and e^1.6 = 4.9530324.
#   in the denominator:  7.3890561 / 16.0292899 = 0.4609722    4.9530324 / 13.5932663 = 0.3643740
#   left out:            7.3890561 /  8.6402338 = 0.8551917    4.9530324 /  8.6402338 = 0.5732521
SOURCE = torch.tensor([[2.0, 0.0], [0.0, 0.5]])
TARGET = torch.tensor([[7.0, 0.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("reduction", "positive_in_denominator", "expected"),
    [
        ("mean", True, 0.8919957),  # (-log 0.4609722 - log 0.3643740) / 2
        ("mean", False, 0.3564296),  # (-log 0.8551917 - log 0.5732521) / 2
        ("paper", True, 0.1919528),  # -log (0.4609722 + 0.3643740)
        ("paper", False, -0.3565857),  # -log (0.8551917 + 0.5732521): negative, as the printed form can be
    ],
)
def test_class_alignment_by_hand_eq_6(reduction, positive_in_denominator, expected):
    loss = class_alignment(SOURCE, TARGET, 0.5, reduction=reduction, positive_in_denominator=positive_in_denominator)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_class_alignment_treats_both_languages_alike():
    assert class_alignment(SOURCE, TARGET, 0.7).item() == pytest.approx(class_alignment(TARGET, SOURCE, 0.7).item())


@pytest.mark.parametrize("reduction", ["mean", "paper"])
@pytest.mark.parametrize("positive_in_denominator", [True, False])
def test_class_alignment_falls_as_prototypes_of_a_class_meet(reduction, positive_in_denominator):
    def loss(angle):
        target = torch.eye(3)
        target[0, :2] = torch.tensor([torch.cos(angle), torch.sin(angle)])
        return class_alignment(
            torch.eye(3), target, 0.7, reduction=reduction, positive_in_denominator=positive_in_denominator
        ).item()

    losses = [loss(torch.tensor(angle)) for angle in (1.2, 0.8, 0.4, 0.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1] + 0.1


def test_the_mean_pulls_a_badly_aligned_class_harder_than_the_printed_sum_of_ratios():
    def share_of_bad_class(reduction):
        target = torch.eye(3)
        target[0] = torch.tensor([0.0, 0.6, 0.8])  # at right angles to its source; the others are in place but off
        target[1] = torch.tensor([0.3, 1.0, 0.0])
        target.requires_grad_()
        class_alignment(torch.eye(3), target, 0.5, reduction=reduction).backward()
        norms = target.grad.norm(dim=-1)
        return float(norms[0] / norms.sum())

    assert share_of_bad_class("mean") > share_of_bad_class("paper")


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_classes_have_nothing_to_align(n):
    source, target = (torch.ones(n, 4, requires_grad=True) for _ in range(2))
    loss = class_alignment(source, target, 0.5)
    loss.backward()
    assert loss.item() == 0.0
    assert not source.grad.any()
    assert not target.grad.any()


def test_the_weight_of_distillation_falls_with_the_square_of_the_epoch_eq_12():
    # 1 - 0, 1 - 1/16, 1 - 4/16, 1 - 9/16
    assert [distillation_weight(e, 4) for e in range(4)] == [1.0, 0.9375, 0.75, 0.4375]


def test_consistency_is_the_mean_of_both_divergences():
    # a = (1/4, 3/4), b = (1/2, 1/2): KL(a || b) = 0.1308120, KL(b || a) = 0.1438410, their mean 0.1373265
    first, second = LOGITS, LOGITS.flip(0)
    assert consistency(first[:1], second[:1]).item() == pytest.approx(0.1373265, abs=1e-6)
    assert consistency(first, second).item() == pytest.approx(0.1373265, abs=1e-6)
    assert consistency(second, first).item() == consistency(first, second).item()
    assert consistency(first, first).item() == 0.0
    assert consistency(first[:0], second[:0]).item() == 0.0
    assert gradcheck(consistency, (random(4, 3), random(4, 3, seed=1)))


def test_student_loss_eq_13():
    # 0.75 * 2 + 0.25 * 4
    assert student_loss(torch.tensor(2.0), torch.tensor(4.0), 0.75).item() == 2.5


def test_gradients_of_losses_on_words():
    classes = torch.tensor([2, 0, 1, 1])
    p = torch.softmax(random(4, 3, seed=1).detach(), dim=-1)
    weights = torch.tensor([1.0, 0.5, 0.0, 2.0], dtype=torch.float64)
    assert gradcheck(lambda logits: cross_entropy(logits, classes), random(4, 3))
    assert gradcheck(lambda logits: cross_entropy(logits, classes, weights), random(4, 3))
    assert gradcheck(lambda logits: distillation(logits, p), random(4, 3))
    assert gradcheck(
        lambda logits: student_loss(distillation(logits, p), cross_entropy(logits, classes), 0.3), random(4, 3)
    )


@pytest.mark.parametrize("reduction", ["mean", "paper"])
@pytest.mark.parametrize("positive_in_denominator", [True, False])
def test_gradient_of_class_alignment(reduction, positive_in_denominator):
    loss = partial(class_alignment, tau=0.6, reduction=reduction, positive_in_denominator=positive_in_denominator)
    assert gradcheck(loss, (random(4, 5), random(4, 5, seed=1)))


@pytest.mark.parametrize("loss", [cross_entropy, distillation])
def test_no_words_have_no_loss_and_no_gradient(loss):
    logits = torch.zeros(0, 3, requires_grad=True)
    second = torch.zeros(0, dtype=torch.int64) if loss is cross_entropy else torch.zeros(0, 3)
    value = loss(logits, second)
    value.backward()
    assert value.item() == 0.0
