"""Prototypes, their slow average and what they say of a word, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from spacy_prokd.network.prototypes import (
    ClassSums,
    Moments,
    PrototypeBank,
    class_sums,
    distances,
    hybrid,
    measuring_unit,
    prototype_probabilities,
    sharpen,
    straight_through,
)

H = torch.tensor([[1.0, 0.0], [3.0, 2.0], [5.0, 4.0]])


def bank_of(prototypes: list[list[float]], shares: list[float]) -> PrototypeBank:
    bank = PrototypeBank(len(prototypes), len(prototypes[0]))
    mass = torch.tensor(shares)
    bank.reset(ClassSums(torch.tensor(prototypes) * mass[:, None], mass))
    return bank


def test_source_prototypes_are_means_of_a_class_eq_3():
    gold = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    sums = class_sums(H, gold)
    # class 0: word 1 alone; class 1: ((3, 2) + (5, 4)) / 2; class 2 has no word and the zero vector
    assert_close(sums.means(), torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 0.0]]))
    assert_close(sums.mass, torch.tensor([1.0, 2.0, 0.0]))


def test_target_prototypes_are_weighted_by_probability_eq_4():
    p = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    # class 0: 0.75 (1, 0) + 0.25 (3, 2) = (1.5, 0.5); class 1: 0.25 (1, 0) + 0.75 (3, 2) = (2.5, 1.5); mass 1 each
    assert_close(class_sums(H[:2], p).means(), torch.tensor([[1.5, 0.5], [2.5, 1.5]]))


def test_no_gradient_flows_through_the_weights_of_eq_4():
    h = H.clone().requires_grad_()
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], requires_grad=True)
    sums = class_sums(h, torch.softmax(logits, dim=-1))
    sums.means().square().sum().backward()
    assert logits.grad is None
    assert h.grad.abs().sum() > 0
    assert not sums.mass.requires_grad


def test_gradient_of_the_means():
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(6, 3, generator=generator, dtype=torch.float64).requires_grad_()
    p = torch.softmax(torch.randn(6, 4, generator=generator, dtype=torch.float64), dim=-1)
    assert gradcheck(lambda h: class_sums(h, p).means(), h)


def test_sharpening():
    p = torch.tensor([[0.5, 0.3, 0.2]])
    assert_close(sharpen(p, 1.0), p)
    # squares 0.25, 0.09, 0.04 sum to 0.38
    assert_close(sharpen(p, 2.0), torch.tensor([[0.25, 0.09, 0.04]]) / 0.38)
    assert_close(sharpen(p, float("inf")), torch.tensor([[1.0, 0.0, 0.0]]))


def test_sharpening_survives_any_power():
    p = torch.tensor([[0.4, 0.35, 0.25], [1.0, 0.0, 0.0]])  # 0.4^200 = 2.6e-80 is no float32
    assert_close(sharpen(p, 200.0), torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))


def test_gamma_weighs_the_new_value_eq_5():
    bank = bank_of([[1.0, 0.0], [0.0, 2.0]], [0.5, 0.5])
    bank.update(ClassSums(torch.tensor([[6.0, 2.0], [4.0, 4.0]]), torch.tensor([2.0, 2.0])), gamma=0.1)
    # the batch has prototypes (3, 1) and (2, 2), and the same shares: 0.9 (1, 0) + 0.1 (3, 1); 0.9 (0, 2) + 0.1 (2, 2)
    assert_close(bank.prototypes(), torch.tensor([[1.2, 0.1], [0.2, 2.0]]))
    assert_close(bank.prior(), torch.tensor([0.5, 0.5]))


def test_numerator_and_denominator_are_averaged_apart():
    bank = bank_of([[1.0], [5.0]], [0.5, 0.5])
    # one batch: 9 words of class 0 at 2, one of class 1 at 15
    bank.update(ClassSums(torch.tensor([[18.0], [15.0]]), torch.tensor([9.0, 1.0])), gamma=0.5)
    # class 0: (0.5 * 0.5 + 0.5 * 1.8) / (0.25 + 0.45) = 1.15 / 0.7; class 1: (1.25 + 0.75) / (0.25 + 0.05) = 2 / 0.3
    # and not (5 + 15) / 2 = 10: one word does not make its prototype jump
    assert_close(bank.prototypes(), torch.tensor([[1.15 / 0.7], [2.0 / 0.3]]))
    assert_close(bank.prior(), torch.tensor([0.7, 0.3]))


def test_a_class_that_a_batch_does_not_have_keeps_its_prototype():
    bank = bank_of([[1.0], [5.0]], [0.5, 0.5])
    for _ in range(3):
        bank.update(ClassSums(torch.tensor([[4.0], [0.0]]), torch.tensor([2.0, 0.0])), gamma=0.5)
    assert_close(bank.prototypes()[1], torch.tensor([5.0]))


def test_until_gamma_is_larger_the_average_is_the_mean_of_what_was_seen():
    bank = PrototypeBank(1, 1)
    seen = []
    for value in (8.0, 2.0, 5.0, 1.0, 9.0):
        bank.update(ClassSums(torch.tensor([[value]]), torch.tensor([1.0])), gamma=0.25)
        seen.append(float(bank.prototypes()))
    # 8; 10 / 2; 15 / 3; 16 / 4; then gamma: 0.75 * 4 + 0.25 * 9
    assert seen == pytest.approx([8.0, 5.0, 5.0, 4.0, 5.25], abs=1e-5)


def test_a_batch_without_words_changes_nothing():
    empty = ClassSums(torch.zeros(2, 1), torch.zeros(2))
    bank = PrototypeBank(2, 1)
    bank.update(empty, 0.1)
    bank.update(ClassSums(torch.tensor([[3.0], [4.0]]), torch.tensor([3.0, 1.0])), 0.1)
    bank.update(empty, 0.1)
    assert_close(bank.prototypes(), torch.tensor([[1.0], [4.0]]))
    assert_close(bank.prior(), torch.tensor([0.75, 0.25]))


def test_after_a_full_pass_a_batch_weighs_gamma_alone():
    bank = PrototypeBank(1, 1)
    assert not bank.from_full_pass
    bank.reset(ClassSums(torch.tensor([[10.0]]), torch.tensor([5.0])))
    assert bank.from_full_pass
    bank.update(ClassSums(torch.tensor([[12.0]]), torch.tensor([1.0])), gamma=0.1)
    assert float(bank.prototypes()) == pytest.approx(0.9 * 2 + 0.1 * 12)


def test_which_classes_have_a_prototype():
    assert bank_of([[1.0], [0.0], [3.0]], [0.7, 0.0, 0.3]).present().tolist() == [True, False, True]
    assert PrototypeBank(2, 3).present().tolist() == [False, False]


def test_the_bank_is_saved_with_the_model():
    bank = bank_of([[1.0, 2.0], [3.0, 4.0]], [0.25, 0.75])
    other = PrototypeBank(2, 2)
    other.load_state_dict(bank.state_dict())
    assert_close(other.prototypes(), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert other.from_full_pass


@pytest.mark.parametrize("scale", [1.0, 0.005])
def test_straight_through_has_the_value_of_the_slow_prototypes_and_the_gradient_of_the_batch(scale):
    bank = bank_of([[10.0, 20.0], [30.0, 40.0]], [0.5, 0.5])
    h = H.clone().requires_grad_()
    p = torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.25, 0.75]])  # mass 1 and 2
    result = straight_through(bank, class_sums(h, p), scale)
    assert_close(result.detach(), torch.tensor([[10.0, 20.0], [30.0, 40.0]]))
    upstream = torch.tensor([[1.0, -2.0], [4.0, 8.0]])
    (gradient,) = torch.autograd.grad((result * upstream).sum(), h)
    # d C_k / d h_j = p_jk / mass_k; word 1: 0.5 (1, -2) + 0.25 (4, 8) = (1.5, 1)
    # words 2 and 3: 0.25 (1, -2) + 0.375 (4, 8) = (1.75, 2.5)
    assert_close(gradient, scale * torch.tensor([[1.5, 1.0], [1.75, 2.5], [1.75, 2.5]]))


def test_distances_are_l2_and_not_squared():
    d = distances(torch.tensor([[0.0, 0.0], [3.0, 0.0]]), bank_of([[3.0, 4.0], [0.0, 0.0]], [0.5, 0.5]), "euclidean")
    assert_close(d, torch.tensor([[5.0, 0.0], [4.0, 3.0]]))


def test_distances_are_measured_in_the_banks_unit():
    bank = bank_of([[3.0, 4.0]], [1.0])
    bank.unit.copy_(torch.tensor([[2.0, 0.0], [0.0, 0.5]]))
    # (6, 2) from (0, 0)
    assert distances(torch.tensor([[0.0, 0.0]]), bank, "mahalanobis").item() == pytest.approx(40**0.5)


def test_cosine_distance_does_not_see_the_length():
    bank = bank_of([[0.0, 9.0], [30.0, 40.0], [-1.0, 0.0]], [0.5, 0.25, 0.25])
    d = distances(torch.tensor([[2.0, 0.0]]), bank, "cosine")
    assert_close(d, torch.tensor([[1.0, 0.4, 2.0]]))  # 1 - 0, 1 - 3/5, 1 + 1


# Class 0 at (0, 0) and (4, 0), so its prototype is (2, 0); class 1 at (0, 1) and (0, -1), around (0, 0)
SCATTERED = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
GOLD = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])


def moments_of(h: torch.Tensor, weights: torch.Tensor) -> Moments:
    moments = Moments(weights.shape[1], h.shape[1], h.device)
    for start in (0, 3):  # in two batches
        moments.add(h[start : start + 3], weights[start : start + 3])
    return moments


def test_scatter_is_measured_within_classes():
    moments = moments_of(SCATTERED, GOLD)
    assert_close(moments.sums.means(), torch.tensor([[2.0, 0.0], [0.0, 0.0]]), check_dtype=False)
    # first direction: (4 + 4) / 4 words; second: (1 + 1) / 4
    assert_close(moments.within_class_covariance(), torch.tensor([[2.0, 0.0], [0.0, 0.5]]), check_dtype=False)


def test_scatter_with_soft_weights():
    h, p = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    # prototypes 0.5 and 1.5: 0.75 * 0.25 + 0.25 * 2.25 + 0.25 * 2.25 + 0.75 * 0.25 = 1.5, over two words
    assert_close(moments_of(h, p).within_class_covariance(), torch.tensor([[0.75]]), check_dtype=False)


def test_mahalanobis_measures_each_direction_by_its_scatter():
    covariance = torch.tensor([[4.0, 1.0], [1.0, 2.0]])
    unit = measuring_unit(covariance, "mahalanobis")
    # mean variance 3, a tenth of it on the diagonal: U (covariance + 0.3) U' = 1
    assert_close(unit @ (covariance + 0.3 * torch.eye(2)) @ unit.T, torch.eye(2))


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_euclidean_measures_all_directions_by_the_mean_scatter(distance):
    unit = measuring_unit(torch.tensor([[6.0, 1.0], [1.0, 2.0]]), distance)
    assert_close(unit, 0.5 * torch.eye(2))  # mean variance 4, standard deviation 2


@pytest.mark.parametrize("distance", ["mahalanobis", "euclidean", "cosine"])
def test_one_word_again_and_again_has_no_scatter_and_still_a_unit(distance):
    h = 10 * torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    moments = Moments(3, 16, h.device)
    for _ in range(5):
        moments.add(h, torch.eye(3))
    bank = PrototypeBank(3, 16)
    bank.reset(moments.sums, measuring_unit(moments.within_class_covariance(), distance))
    assert prototype_probabilities(distances(h, bank, distance), bank, 0.7).argmax(dim=-1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("distance", ["mahalanobis", "euclidean", "cosine"])
def test_probabilities_do_not_depend_on_the_encoders_scale(distance):
    def probabilities(h):
        moments = moments_of(h, GOLD)
        bank = PrototypeBank(2, 2)
        bank.reset(moments.sums, measuring_unit(moments.within_class_covariance(), distance))
        return prototype_probabilities(distances(h, bank, distance), bank, 0.7)

    shifted = SCATTERED + 1.0  # cosine knows no zero vector
    assert_close(probabilities(shifted), probabilities(100 * shifted), atol=1e-4, rtol=0.0)


WORD = torch.tensor([[0.0, 0.0]])
TWO = [[0.0, 2.0], [0.0, -6.0]]  # at distances 1 and 3, halved by the unit


def probabilities_of(word: torch.Tensor, bank: PrototypeBank, tau: float, **settings) -> torch.Tensor:
    return prototype_probabilities(distances(word, bank, "mahalanobis"), bank, tau, **settings)


def half_unit(bank: PrototypeBank) -> PrototypeBank:
    bank.unit.mul_(0.5)
    return bank


def test_prototype_probabilities_as_printed_eq_8():
    pi = probabilities_of(WORD, half_unit(bank_of(TWO, [0.2, 0.8])), 2.0, prior=False)
    # distances over tau: 0.5 and 1.5; 1 / (1 + e^-1) = 0.7310586
    assert_close(pi, torch.tensor([[0.7310586, 0.2689414]]))


def test_prototype_probabilities_with_the_prior_eq_8():
    pi = probabilities_of(WORD, half_unit(bank_of(TWO, [0.2, 0.8])), 1.0)
    # 0.2 e^-1 = 0.0735759, 0.8 e^-3 = 0.0398297; 0.0735759 / 0.1134056 = 0.6487855
    assert_close(pi, torch.tensor([[0.6487855, 0.3512145]]), atol=1e-6, rtol=0.0)


def test_a_class_without_a_prototype_has_no_probability():
    pi = probabilities_of(WORD, bank_of([*TWO, [0.0, 0.0]], [0.2, 0.8, 0.0]), 0.5, prior=False)
    assert pi[0, 2] == 0.0  # though its zero vector would be nearest
    assert_close(pi.sum(), torch.tensor(1.0))


def test_far_words_still_have_probabilities():
    pi = probabilities_of(torch.tensor([[1e6, 0.0]]), bank_of(TWO, [0.2, 0.8]), 1e-3)
    assert torch.isfinite(pi).all()


def test_hybrid_eq_10():
    pi, p = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.2, 0.8]])
    assert_close(hybrid(pi, p, 0.75), torch.tensor([[0.725, 0.275]]))  # 0.675 + 0.05, 0.075 + 0.2
    assert_close(hybrid(pi, p, 1.0), pi)
    # Eq. 9: the hard label is its argmax, and it depends on beta
    assert hybrid(pi, p, 0.75).argmax(dim=-1).tolist() == [0]
    assert hybrid(pi, p, 0.2).argmax(dim=-1).tolist() == [1]
