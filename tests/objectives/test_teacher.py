"""The teacher's objective: each setting of the paper's ablations does what it says."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from words import CLASSES, CLASSES_OF_WORDS, LATER, ONE_HOT, WIDTH, make_head, make_output, no_pass

from spacy_prokd.architectures import TaggerOutput, gradient_of, leaf
from spacy_prokd.errors import ProKDError
from spacy_prokd.network.head import TagHead
from spacy_prokd.network.losses import class_alignment, consistency, cross_entropy
from spacy_prokd.network.prototypes import ClassSums, class_sums
from spacy_prokd.objectives import Batch, Progress, make_teacher


@pytest.fixture
def head():
    return make_head()


class TestTeacher:
    @pytest.mark.parametrize("weight", [0.0, 1.0])
    def test_cross_entropy_falls_on_labelled_words_alone(self, head, weight):
        output = make_output(12)
        losses = make_teacher(alignment_weight=weight).losses(head, output, Batch(CLASSES_OF_WORDS, None), LATER)
        assert_close(losses["cross_entropy"], cross_entropy(output.logits[:6], CLASSES_OF_WORDS[:6]).detach())
        assert not gradient_of(losses["loss"], output).logits[6:].any()

    def test_without_alignment_it_is_exactly_eq_1(self, head):
        output = make_output(12)
        losses = make_teacher(alignment_weight=0.0).losses(head, output, Batch(CLASSES_OF_WORDS, None), LATER)
        assert set(losses) == {"loss", "cross_entropy"}
        assert torch.equal(losses["loss"], cross_entropy(output.logits[:6], CLASSES_OF_WORDS[:6]))
        assert not gradient_of(losses["loss"], output).vectors.any()
        assert not head.target.present().any()

    def test_the_whole_loss_is_eq_7(self, head):
        losses = make_teacher(alignment_weight=0.5).losses(head, make_output(12), Batch(CLASSES_OF_WORDS, None), LATER)
        assert_close(losses["loss"].detach(), losses["cross_entropy"] + 0.5 * losses["alignment"])

    def test_consistency_is_between_two_readings_of_the_same_words(self, head):
        first, second = make_output(12, seed=1), make_output(12, seed=2)
        both = TaggerOutput(*(torch.cat([a, b]) for a, b in zip(first[:2], second[:2])), [12, 12])
        teacher, classes = make_teacher(consistency_weight=0.5), CLASSES_OF_WORDS.repeat(2)
        losses = teacher.losses(head, leaf(both), Batch(classes), LATER)
        assert teacher.readings == 2
        assert make_teacher().readings == 1
        # on all words, those without a label too
        assert_close(losses["consistency"], consistency(first.logits, second.logits).detach())
        assert_close(losses["loss"].detach(), losses["cross_entropy"] + 0.5 * losses["consistency"])

    @pytest.mark.parametrize(("progress", "ramp"), [((0, 3, 0.0), 0.0), ((0, 3, 0.25), 0.25), ((1, 3, 0.0), 1.0)])
    def test_alignment_rises_over_the_first_epoch(self, head, progress, ramp):
        losses = make_teacher(alignment_weight=1.0).losses(
            head, make_output(12), Batch(CLASSES_OF_WORDS, None), Progress(*progress)
        )
        assert_close(losses["loss"].detach(), losses["cross_entropy"] + ramp * losses["alignment"])

    @pytest.mark.parametrize("reduction", ["mean", "paper"])
    @pytest.mark.parametrize("positive_in_denominator", [True, False])
    def test_alignment_is_eq_6_between_the_prototypes_of_both_languages(self, head, reduction, positive_in_denominator):
        output = make_output(12)
        p = torch.softmax(output.logits[6:], dim=-1)
        expected = class_alignment(
            class_sums(output.vectors[:6], ONE_HOT[CLASSES_OF_WORDS[:6]]).means(),
            class_sums(output.vectors[6:], p).means(),
            0.6,
            reduction=reduction,
            positive_in_denominator=positive_in_denominator,
        )
        teacher = make_teacher(
            alignment_weight=1.0,
            tau_align=0.6,
            reduction=reduction,
            positive_in_denominator=positive_in_denominator,
        )
        losses = teacher.losses(head, output, Batch(CLASSES_OF_WORDS, None), LATER)
        assert_close(losses["alignment"], expected.detach())
        # the first batch's slow prototypes are its own, so the straight-through gradient is the plain one
        expected_gradient = gradient_of(expected, output).vectors
        assert expected_gradient[:6].any()
        assert expected_gradient[6:].any()
        assert_close(gradient_of(losses["loss"], output).vectors, expected_gradient)

    def test_the_printed_gradient_goes_through_gamma(self, head):
        gradients = []
        for gradient in ("straight_through", "gamma"):
            output = make_output(12)
            teacher = make_teacher(alignment_weight=1.0, gamma=0.01, gradient=gradient)
            fresh = TagHead(WIDTH, CLASSES, 0.0)
            losses = teacher.losses(fresh, output, Batch(CLASSES_OF_WORDS, None), LATER)
            gradients.append(gradient_of(losses["loss"], output).vectors)
        assert_close(gradients[1], 0.01 * gradients[0])

    def test_the_sources_prototypes_alone_can_be_pulled(self, head):
        gradients = []
        for gradient in ("straight_through", "source"):
            output = make_output(12)
            teacher = make_teacher(alignment_weight=1.0, gradient=gradient)
            losses = teacher.losses(TagHead(WIDTH, CLASSES, 0.0), output, Batch(CLASSES_OF_WORDS, None), LATER)
            gradients.append(gradient_of(losses["loss"], output).vectors)
        both, source = gradients
        assert_close(source[:6], both[:6])
        assert both[6:].any()
        assert not source[6:].any()

    def test_sharper_weights_change_the_target_prototypes(self, head):
        output = make_output(12)
        make_teacher(alignment_weight=1.0, sharpness=50.0).losses(head, output, Batch(CLASSES_OF_WORDS, None), LATER)
        hard = ONE_HOT[output.logits[6:].detach().argmax(dim=-1)]
        expected = class_sums(output.vectors.detach()[6:], hard)
        both = expected.mass > 0
        assert_close(head.target.prototypes()[both], expected.means()[both], atol=0.05, rtol=0.0)

    def test_target_prototypes_move_by_gamma(self, head):
        head.target.reset(ClassSums(torch.ones(CLASSES, WIDTH) * 2.0, torch.full((CLASSES,), 2.0)))
        output = make_output(12)
        p = torch.softmax(output.logits[6:].detach(), dim=-1)
        sums = class_sums(output.vectors.detach()[6:], p)
        make_teacher(alignment_weight=1.0, gamma=0.25).losses(head, output, Batch(CLASSES_OF_WORDS, None), LATER)
        assert_close(head.target.vectors, 0.75 * torch.full((CLASSES, WIDTH), 1 / 3) + 0.25 * sums.vectors / 6)

    def test_source_prototypes_are_the_means_over_an_epoch_eq_3(self, head):
        teacher = make_teacher(alignment_weight=1.0)
        teacher.start_epoch(head, Progress(0, 2, 0.0), no_pass)
        outputs = [make_output(12, seed) for seed in range(5)]
        for output in outputs:
            teacher.losses(head, output, Batch(CLASSES_OF_WORDS, None), Progress(0, 2, 0.5))
        teacher.start_epoch(head, Progress(1, 2, 0.0), no_pass)
        h = torch.cat([output.vectors.detach()[:6] for output in outputs])
        gold = CLASSES_OF_WORDS[:6].repeat(5)
        expected = torch.stack([h[gold == k].mean(dim=0) for k in range(CLASSES)])
        assert_close(head.source.prototypes(), expected)
        # they stay until the next epoch ends, and then hold that epoch alone
        teacher.losses(head, make_output(12, seed=9), Batch(CLASSES_OF_WORDS, None), LATER)
        assert_close(head.source.prototypes(), expected)
        teacher.start_epoch(head, Progress(2, 3, 0.0), no_pass)
        alone = class_sums(make_output(12, seed=9).vectors.detach()[:6], ONE_HOT[CLASSES_OF_WORDS[:6]]).means()
        assert_close(head.source.prototypes(), alone)

    def test_source_prototypes_of_an_earlier_training_are_forgotten(self, head):
        teacher, fresh = make_teacher(alignment_weight=1.0), make_head()
        teacher.losses(head, make_output(12, seed=9), Batch(CLASSES_OF_WORDS, None), LATER)  # the last step of it
        teacher.start_epoch(fresh, Progress(0, 2, 0.0), no_pass)
        assert not fresh.source.present().any()
        output = make_output(12)
        teacher.losses(fresh, output, Batch(CLASSES_OF_WORDS, None), Progress(0, 2, 0.5))
        teacher.start_epoch(fresh, Progress(1, 2, 0.0), no_pass)
        expected = class_sums(output.vectors.detach()[:6], ONE_HOT[CLASSES_OF_WORDS[:6]]).means()
        assert_close(fresh.source.prototypes(), expected)

    @pytest.mark.parametrize("classes", [torch.full((6,), -1), torch.tensor([0, 1, 2, 0, 1, 0])])
    def test_a_batch_of_one_language_alone_aligns_nothing(self, head, classes):
        output = make_output(6)
        losses = make_teacher(alignment_weight=1.0).losses(head, output, Batch(classes, None), LATER)
        assert losses["alignment"] == 0.0
        assert torch.isfinite(losses["loss"])
        assert torch.isfinite(gradient_of(losses["loss"], output).vectors).all()

    def test_a_corpus_without_target_text_stops_training(self, head):
        source, both = torch.tensor([0, 1, 2, 0, 1, 0]), torch.tensor([0, 1, 2, -1, -1, -1])
        teacher = make_teacher(alignment_weight=1.0)
        for classes in [source] * 19 + [both] + [source] * 19:
            teacher.losses(head, make_output(6), Batch(classes, None), LATER)
        with pytest.raises(ProKDError, match=r"no target text to align with.*alignment_weight = 0"):
            teacher.losses(head, make_output(6), Batch(source, None), LATER)

    def test_a_class_that_one_side_lacks_is_left_out(self, head):
        output = make_output(12)
        classes = torch.where(CLASSES_OF_WORDS == 2, 0, CLASSES_OF_WORDS)  # no gold word of class 2
        losses = make_teacher(alignment_weight=1.0).losses(head, output, Batch(classes, None), LATER)
        source = class_sums(output.vectors[:6], ONE_HOT[classes[:6]]).means()[:2]
        target = class_sums(output.vectors[6:], torch.softmax(output.logits[6:], dim=-1)).means()[:2]
        assert_close(losses["alignment"], class_alignment(source, target, 0.7).detach())
