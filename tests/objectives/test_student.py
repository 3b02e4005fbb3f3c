"""The student's objective: each setting of the paper's ablations does what it says."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from words import CLASSES, LATER, ONE_HOT, WIDTH, make_head, make_output, make_soft, no_pass

from spacy_prokd.architectures import TaggerOutput, gradient_of, leaf
from spacy_prokd.errors import ProKDError
from spacy_prokd.network.head import TagHead
from spacy_prokd.network.losses import cross_entropy, distillation, vector_distillation
from spacy_prokd.network.neighbours import neighbour_weights
from spacy_prokd.network.prototypes import class_sums
from spacy_prokd.objectives import Batch, Progress, make_student


@pytest.fixture
def head():
    return make_head()


def one_pass(output: TaggerOutput, soft: torch.Tensor):
    """A corpus of one batch."""
    return lambda: iter([(plain(output), batch_of(soft))])


def plain(output: TaggerOutput) -> TaggerOutput:
    return TaggerOutput(output.vectors.detach(), output.logits.detach(), output.lengths)


def keys(*texts: int) -> np.ndarray:
    return np.array(texts, dtype=np.uint64)


def batch_of(soft: torch.Tensor, text: int = 0) -> Batch:
    """A batch of one text."""
    return Batch(torch.full((len(soft),), -1), soft, keys(text))


def clusters(n: int = 30) -> tuple[TaggerOutput, torch.Tensor]:
    """Words around the prototypes of three classes, which student and teacher both recognise."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(n) % CLASSES
    centres = 10 * torch.eye(CLASSES, WIDTH)
    vectors = centres[classes] + 0.3 * torch.randn(n, WIDTH, generator=generator)
    logits = 4.0 * ONE_HOT[classes]
    return leaf(TaggerOutput(vectors, logits, [n])), torch.softmax(2.0 * ONE_HOT[classes], dim=-1)


class TestStudent:
    @pytest.mark.parametrize("epoch", [0, 1, 3])
    def test_without_self_training_it_is_exactly_eq_2(self, head, epoch):
        output, soft = make_output(8), make_soft(8)
        student, progress = make_student(self_training=False), Progress(epoch, 4, 0.0)
        student.start_epoch(head, progress, no_pass)
        losses = student.losses(head, output, batch_of(soft), progress)
        assert set(losses) == {"loss", "distillation"}
        assert torch.equal(losses["loss"], distillation(output.logits, soft))
        assert not head.target.present().any()

    def test_the_first_epoch_is_pure_distillation(self, head):
        output, soft = make_output(8), make_soft(8)
        student, progress = make_student(), Progress(0, 4, 0.9)
        student.start_epoch(head, progress, no_pass)
        losses = student.losses(head, output, batch_of(soft), progress)
        assert torch.equal(losses["loss"], distillation(output.logits, soft))

    @pytest.mark.parametrize(("alpha", "weight"), [(1.0, 1.0), (0.5, 0.5)])
    def test_word_vectors_are_part_of_distillation(self, head, alpha, weight):
        output, soft = clusters()
        teacher = output.vectors.detach() + 0.5
        student = make_student(alpha=alpha, vector_weight=2.0)
        student.start_epoch(head, LATER, one_pass(output, soft))
        losses = student.losses(head, output, batch_of(soft)._replace(vectors=teacher), LATER)
        matching = vector_distillation(output.vectors, teacher)
        assert_close(losses["vectors"], matching.detach())
        expected = weight * (distillation(output.logits, soft) + 2.0 * matching)
        if weight < 1.0:
            expected = expected + 0.5 * losses["self_training"]
        assert_close(losses["loss"], expected)
        assert gradient_of(losses["loss"], output).vectors.any()
        assert student.needs_vectors and not make_student().needs_vectors

    def test_the_weight_falls_as_in_eq_12_or_is_fixed(self):
        progress = [Progress(e, 4, 0.0) for e in range(4)]
        assert [make_student().weight(p) for p in progress] == [1.0, 0.9375, 0.75, 0.4375]
        assert [make_student(alpha=0.5).weight(p) for p in progress] == [0.5] * 4
        assert [make_student(self_training=False, alpha=0.5).weight(p) for p in progress] == [1.0] * 4

    @pytest.mark.parametrize(("alpha", "weight"), [(None, 0.75), (0.5, 0.5), (0.0, 0.0)])
    def test_the_whole_loss_is_eq_13(self, head, alpha, weight):
        output, soft = clusters()
        student, progress = make_student(alpha=alpha), Progress(2, 4, 0.0)
        student.start_epoch(head, progress, one_pass(output, soft))
        losses = student.losses(head, output, batch_of(soft), progress)
        expected = weight * distillation(output.logits, soft) + (1 - weight) * cross_entropy(
            output.logits, torch.arange(30) % CLASSES
        )
        assert_close(losses["loss"], expected)
        assert losses["relabelled"] == 0.0
        gradient = gradient_of(losses["loss"], output)
        assert gradient.logits.any()
        assert not gradient.vectors.any()  # prototypes and labels get no gradient

    def labels(self, student, head: TagHead, output: TaggerOutput, soft: torch.Tensor) -> list[int]:
        """The pseudo-labels, read off the gradient of Eq. 11: only their logits rise."""
        losses = student.losses(head, output, batch_of(soft), LATER)
        return gradient_of(losses["loss"], output).logits.argmin(dim=-1).tolist()

    def test_beta_is_the_share_of_the_prototypes(self, head):
        output, soft = clusters()
        wrong = soft.roll(1, dims=-1)  # a teacher that is wrong about every word
        prototypes = [k % CLASSES for k in range(30)]
        teacher = [(k + 1) % CLASSES for k in range(30)]
        for beta, expected in ((1.0, prototypes), (0.0, teacher), (0.9, prototypes), (0.1, teacher)):
            student = make_student(alpha=0.0, beta=beta, relabel="batch")
            student.start_epoch(head, LATER, one_pass(output, soft))
            assert self.labels(student, head, output, wrong) == expected, beta

    def test_words_that_do_not_count_have_no_gradient(self, head):
        output, soft = clusters()
        doubtful = soft.clone()
        doubtful[::2] = 1 / CLASSES  # the teacher is sure of every second word
        for settings, counted in (({}, 30), ({"confidence": 0.5}, 15), ({"class_share": 0.1}, 15)):
            student = make_student(alpha=0.0, beta=0.01, relabel="batch", **settings)
            student.start_epoch(head, LATER, one_pass(output, soft))
            losses = student.losses(head, output, batch_of(doubtful), LATER)
            moved = gradient_of(losses["loss"], output).logits.abs().sum(dim=-1) > 0
            assert int(moved.sum()) == counted, settings
            assert moved[1::2].all()

    def test_with_the_margin_gate_far_words_keep_the_teachers_label(self, head):
        output, soft = clusters()
        wrong = soft.roll(1, dims=-1)
        prototypes, teacher = [k % CLASSES for k in range(30)], [(k + 1) % CLASSES for k in range(30)]
        student = make_student(alpha=0.0, beta=1.0, margin_gate=True, relabel="batch")
        student.start_epoch(head, LATER, one_pass(output, soft))
        found = self.labels(student, head, output, wrong)
        kept = [label == p for label, p in zip(found, prototypes)]
        assert all(label == (p if k else t) for label, k, p, t in zip(found, kept, prototypes, teacher))
        assert 5 < sum(kept) < 25

    @pytest.mark.parametrize("relabel", ["epoch", "batch"])
    def test_constrained_labels_are_valid_tags_of_each_text(self, head, relabel):
        output, soft = clusters()
        output = output._replace(lengths=[1, 29])
        taught = soft.roll(-1, dims=0)  # B-x, I-x, O, B-x, ...
        batch = Batch(torch.full((30,), -1), taught, keys(3, 5))
        for constrained, labels in ((False, [1, 2, 0] * 10), (True, [1, 1, 0, *[1, 2, 0] * 9])):
            student = make_student(alpha=0.0, beta=0.01, constrained=constrained, relabel=relabel)
            student.start_epoch(head, LATER, partial(iter, [(plain(output), batch)]))
            losses = student.losses(head, output, batch, LATER)
            assert gradient_of(losses["loss"], output).logits.argmin(dim=-1).tolist() == labels

    def test_with_neighbours_a_word_counts_by_how_many_of_them_have_its_type(self, head):
        output, soft = clusters(150)
        soft[0] = torch.tensor([0.02, 0.96, 0.02])  # one word of O is taken for B-x
        student, progress = make_student(beta=0.01, neighbours=True), Progress(2, 4, 0.0)
        student.start_epoch(head, progress, one_pass(output, soft))
        losses = student.losses(head, output, batch_of(soft), progress)
        labels = soft.argmax(dim=-1)
        weights = neighbour_weights([plain(output).vectors.numpy()], labels)
        assert weights[0] < 0.1 < 0.9 < weights[1:].min()
        assert_close(losses["self_training"], cross_entropy(output.logits, labels, weights).detach())
        assert_close(losses["distillation"], distillation(output.logits, soft, weights=weights).detach())

    def test_neighbours_are_of_an_epoch(self):
        with pytest.raises(ProKDError, match='relabel = "epoch"'):
            make_student(neighbours=True, relabel="batch")

    def test_the_reduction_of_eq_2(self, head):
        output, soft = make_output(8), make_soft(8)
        losses = [
            make_student(self_training=False, reduction=reduction).losses(head, output, batch_of(soft), LATER)["loss"]
            for reduction in ("sum", "mean")
        ]
        assert_close(losses[0], CLASSES * losses[1])

    def test_words_that_the_teacher_is_sure_of_count_more(self, head):
        output, soft = make_output(8), make_soft(8)
        loss = make_student(self_training=False, confidence_power=2.0).losses(head, output, batch_of(soft), LATER)[
            "loss"
        ]
        assert_close(loss, distillation(output.logits, soft, weights=soft.amax(dim=-1).square()))

    def test_the_teacher_is_left_out_with_beta_1(self, head):
        output, soft = clusters()
        student = make_student(alpha=0.0, beta=1.0, relabel="batch")
        student.start_epoch(head, LATER, one_pass(output, soft))
        batches = [batch_of(p) for p in (soft, make_soft(30), make_soft(30, seed=5))]
        values = [float(student.losses(head, output, batch, LATER)["self_training"]) for batch in batches]
        assert values[0] == values[1] == values[2]

    def test_the_prior_prefers_frequent_classes(self, head):
        # one word of class 1 for every ten of class 0, and a word exactly half-way between them
        vectors = torch.zeros(11, WIDTH)
        vectors[:10, 1] = torch.linspace(-1, 1, 10)
        vectors[10, 0] = 2.0
        output = leaf(TaggerOutput(vectors, 9.0 * ONE_HOT[[0] * 10 + [1]], [11]))
        soft = torch.softmax(2.0 * output.logits.detach(), dim=-1)
        between = leaf(TaggerOutput(torch.tensor([[1.01, 0.0, 0.0, 0.0]]), torch.zeros(1, CLASSES), [1]))
        found = {}
        for prior in (True, False):
            student = make_student(
                alpha=0.0, beta=1.0, prior=prior, distance="euclidean", tau_proto=2.0, relabel="batch"
            )
            student.start_epoch(head, LATER, one_pass(output, soft))
            found[prior] = self.labels(student, head, between, torch.full((1, CLASSES), 1 / 3))
        assert found == {True: [0], False: [1]}

    @pytest.mark.parametrize("distance", ["mahalanobis", "euclidean", "cosine"])
    def test_prototypes_come_from_a_full_pass_with_the_students_own_classes(self, head, distance):
        output, soft = clusters()
        student = make_student(distance=distance)
        student.start_epoch(head, LATER, one_pass(output, soft))
        classes = torch.arange(30) % CLASSES
        expected = torch.stack([output.vectors.detach()[classes == k].mean(dim=0) for k in range(CLASSES)])
        assert_close(head.target.prototypes(), expected)
        assert_close(head.target.prior(), torch.full((CLASSES,), 1 / 3))

    def test_soft_weights_as_printed(self, head):
        output, soft = clusters()
        make_student(sharpness=1.0).start_epoch(head, LATER, one_pass(output, soft))
        expected = class_sums(output.vectors.detach(), torch.softmax(output.logits.detach(), dim=-1)).means()
        assert_close(head.target.prototypes(), expected)

    def test_a_batch_moves_the_prototypes_by_gamma(self, head):
        output, soft = clusters()
        student = make_student(gamma=0.25, relabel="batch")
        student.start_epoch(head, LATER, one_pass(output, soft))
        before = head.target.prototypes()
        moved = leaf(TaggerOutput(output.vectors.detach() + 4.0, output.logits.detach(), output.lengths))
        student.losses(head, moved, batch_of(soft), LATER)
        assert_close(head.target.prototypes(), before + 1.0)

    def test_each_text_keeps_the_label_of_the_full_pass_for_an_epoch(self, head):
        output, soft = clusters()
        texts = keys(1, 2, 3)
        plain = TaggerOutput(output.vectors.detach(), output.logits.detach(), [5, 10, 15])
        student = make_student(alpha=0.0)
        student.start_epoch(head, LATER, lambda: iter([(plain, Batch(torch.full((30,), -1), soft, texts))]))
        before = head.target.prototypes()
        # one text and another, in a batch of a model that has changed since
        moved = leaf(TaggerOutput(torch.zeros(20, WIDTH), torch.zeros(20, CLASSES), [15, 5]))
        batch = Batch(torch.full((20,), -1), torch.cat([soft[15:], soft[:5]]), keys(3, 1))
        losses = student.losses(head, moved, batch, LATER)
        found = gradient_of(losses["loss"], moved).logits.argmin(dim=-1).tolist()
        assert found == [k % CLASSES for k in [*range(15, 30), *range(5)]]
        assert torch.equal(head.target.prototypes(), before)

    def test_the_surest_words_are_those_of_the_whole_corpus(self, head):
        output, soft = clusters(60)
        doubtful = soft.clone()
        doubtful[30:] = 0.9 * soft[30:] + 0.1 / CLASSES  # the second text

        def halves():
            for i in range(2):
                half = slice(30 * i, 30 * i + 30)
                plain = TaggerOutput(output.vectors.detach()[half], output.logits.detach()[half], [30])
                yield plain, batch_of(doubtful[half], i)

        student = make_student(alpha=0.0, beta=1e-6, class_share=0.5)
        student.start_epoch(head, LATER, halves)
        losses = []
        for i in range(2):
            flat = leaf(TaggerOutput(torch.zeros(30, WIDTH), torch.zeros(30, CLASSES), [30]))
            losses.append(float(student.losses(head, flat, batch_of(soft[:30], i), LATER)["self_training"]))
        assert losses[0] > 1.0
        assert losses[1] == 0.0

    def test_an_epoch_says_what_its_labels_are_like(self, head):
        output, soft = clusters()
        wrong = soft.clone()
        wrong[:3] = soft[:3].roll(1, dims=-1)  # a teacher that is wrong about one word of each class
        summary = make_student(beta=0.9).start_epoch(head, LATER, one_pass(output, wrong))
        assert summary.relabelled == pytest.approx(0.1) and 0.9 < summary.sureness < 1.0
        assert (summary.invalid, summary.words) == (0.0, [1.0])
        assert make_student().start_epoch(head, Progress(0, 4, 0.0), no_pass) is None

    def test_a_text_that_the_full_pass_did_not_see_is_an_error(self, head):
        output, soft = clusters()
        student = make_student()
        student.start_epoch(head, LATER, one_pass(output, soft))
        with pytest.raises(ProKDError, match=r"initialize\(\) did not see"):
            student.losses(head, output, batch_of(soft, 1), LATER)

    def test_labels_far_from_the_teachers_stop_training(self, head):
        output, soft = clusters()
        with pytest.raises(ProKDError, match=r"collapsed before epoch 2.*agrees with the teacher on 0%"):
            make_student(beta=1.0).start_epoch(head, LATER, one_pass(output, soft.roll(1, dims=-1)))

    def test_labels_without_entities_stop_training(self, head):
        # the student calls every word O; the teacher sees one entity in twenty words
        output = leaf(TaggerOutput(make_output(20).vectors.detach(), 9.0 * ONE_HOT[[0] * 20], [20]))
        soft = torch.softmax(5.0 * ONE_HOT[[0] * 19 + [1]], dim=-1)
        with pytest.raises(ProKDError, match=r"calls 0 of 20 words an entity, the teacher 1"):
            make_student(beta=1.0).start_epoch(head, LATER, one_pass(output, soft))

    @pytest.mark.parametrize("relabel", ["epoch", "batch"])
    def test_predictions_that_leave_the_teachers_stop_training_within_an_epoch(self, head, relabel):
        output, soft = clusters()
        student = make_student(relabel=relabel)
        student.start_epoch(head, LATER, one_pass(output, soft))
        astray = leaf(TaggerOutput(output.vectors.detach(), output.logits.detach().roll(1, dims=-1), [30]))
        for _ in range(19):
            student.losses(head, astray, batch_of(soft), LATER)
        with pytest.raises(ProKDError, match=r"collapsed in epoch 2.*agrees with the teacher on 0%"):
            student.losses(head, astray, batch_of(soft), LATER)

    def test_a_text_without_entities_is_no_collapse(self, head):
        output = leaf(TaggerOutput(make_output(20).vectors.detach(), 9.0 * ONE_HOT[[0] * 20], [20]))
        soft = torch.softmax(5.0 * ONE_HOT[[0] * 20], dim=-1)
        student = make_student()
        student.start_epoch(head, LATER, one_pass(output, soft))
        assert head.target.present().tolist() == [True, False, False]
        for _ in range(40):
            student.losses(head, output, batch_of(soft), LATER)


def test_gold_words_add_eq_1_to_a_students_loss(head):
    """Words 0 to 2 are of labelled source text, one of them without a tag; the others have soft labels."""
    output = make_output(6)
    soft = torch.cat([torch.zeros(3, CLASSES), make_soft(3)])
    classes = torch.tensor([2, -1, 0, -1, -1, 1])  # the last is a label of target text, which nobody looks at
    student = make_student(self_training=False, source_weight=0.5)
    losses = student.losses(head, output, Batch(classes, soft, keys(0), n_labelled=1), LATER)
    gold = cross_entropy(output.logits[[0, 2]], classes[[0, 2]])
    assert_close(losses["cross_entropy"], gold.detach())
    assert_close(losses["loss"], 0.5 * gold + distillation(output.logits[3:], soft[3:]))
    assert set(losses) == {"loss", "cross_entropy", "distillation"}


def test_a_batch_of_gold_words_alone(head):
    output = make_output(3)
    batch = Batch(torch.tensor([0, 1, 2]), torch.zeros(3, CLASSES), n_labelled=1)
    losses = make_student(source_weight=0.5).losses(head, output, batch, LATER)
    assert_close(losses["loss"], 0.5 * cross_entropy(output.logits, batch.classes))
