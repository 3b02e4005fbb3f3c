"""The teacher's objective: cross entropy on source words, alignment of both languages' class prototypes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import spacy
import torch
from torch import Tensor

from ..architectures import TaggerOutput
from ..errors import ProKDError
from ..network.head import TagHead
from ..network.losses import Reduction, class_alignment, consistency, cross_entropy
from ..network.prototypes import ClassSums, class_sums, sharpen, straight_through
from .base import Batch, Pass, Progress, check_settings

Gradient = Literal["straight_through", "source", "gamma"]


@spacy.registry.misc("spacy-prokd.Teacher.v1")
def make_teacher(
    alignment_weight: float = 0.0,
    tau_align: float = 0.7,
    gamma: float = 0.005,
    sharpness: float = 1.0,
    reduction: Literal["mean", "paper"] = "mean",
    positive_in_denominator: bool = True,
    gradient: Gradient = "straight_through",
    consistency_weight: float = 0.0,
) -> Teacher:
    """The teacher's objective (Eq. 7): cross entropy on source words plus alignment of class prototypes.

    alignment_weight (float): Of Eq. 6; 0 leaves it out (the paper's "w/o CA") and then no target text is needed.
    tau_align (float): Temperature of Eq. 6 (tau 1).
    gamma (float): Weight of the new value in the target prototypes (Eq. 5).
    sharpness (float): Power of the weights p of Eq. 4; 1 as printed.
    reduction (str): "mean" over classes, or "paper": the log of the sum as printed.
    positive_in_denominator (bool): Of Eq. 6, as in SimCLR; false as printed.
    gradient (str): "straight_through" the moving average; "source", the same, of the source's prototypes alone, whose
        words have gold tags: what the teacher takes for an entity by mistake is not pulled to where entities are; or
        through "gamma" as printed.
    consistency_weight (float): Of R-Drop, for which each batch is read twice; the paper has none.
    RAISES (ProKDError): If a number is out of its range.
    """
    check_settings(above_zero={"tau_align": tau_align}, shares={"gamma": gamma})
    return Teacher(
        alignment_weight, tau_align, gamma, sharpness, reduction, positive_in_denominator, gradient, consistency_weight
    )


@dataclass(eq=False)
class Teacher:
    """See `make_teacher`."""

    needs_soft_labels: ClassVar[bool] = False
    needs_vectors: ClassVar[bool] = False

    alignment_weight: float
    tau_align: float
    gamma: float
    sharpness: float
    reduction: Reduction
    positive_in_denominator: bool
    gradient: Gradient
    consistency_weight: float
    _epoch_sums: ClassSums | None = field(default=None, init=False)
    _batches_without_target: int = field(default=0, init=False)

    @property
    def readings(self) -> int:
        """How often each batch is read."""
        return 2 if self.consistency_weight else 1

    def start_epoch(self, head: TagHead, progress: Progress, corpus: Pass) -> None:
        """Source prototypes are the means over the epoch that ended (Eq. 3): no pass of its own is needed."""
        if self._epoch_sums is not None and progress.epoch > 0:  # before the first they are of an earlier training
            head.source.reset(self._epoch_sums)
        self._epoch_sums = None

    def losses(self, head: TagHead, output: TaggerOutput, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Eq. 7: Eq. 1 on words with a gold tag, Eq. 6 between these and the others; R-Drop on all."""
        labelled = batch.classes >= 0
        loss = cross_entropy(output.logits[labelled], batch.classes[labelled])
        losses = {"cross_entropy": loss.detach()}
        if self.alignment_weight:
            self._expect_target(labelled)
            alignment = self._alignment(head, output, batch.classes, labelled)
            # p is noise at first: the weight rises over the first epoch
            ramp = progress.share if progress.epoch == 0 else 1.0
            loss = loss + ramp * self.alignment_weight * alignment
            losses["alignment"] = alignment.detach()
        if self.consistency_weight:
            apart = consistency(*output.logits.chunk(2))
            loss = loss + self.consistency_weight * apart
            losses["consistency"] = apart.detach()
        return {"loss": loss, **losses}

    def _expect_target(self, labelled: Tensor) -> None:
        """Batches are shuffled: a run of them without any target text means that there is none."""
        self._batches_without_target = self._batches_without_target + 1 if labelled.all() else 0
        if self._batches_without_target == 20:
            raise ProKDError(
                f"alignment_weight = {self.alignment_weight}, but the training corpus has no target text to align "
                "with: set paths.target to the target's train.spacy, or alignment_weight = 0."
            )

    def _alignment(self, head: TagHead, output: TaggerOutput, classes: Tensor, labelled: Tensor) -> Tensor:
        n_classes = output.logits.shape[-1]
        gold = torch.nn.functional.one_hot(classes[labelled], n_classes).to(output.vectors)
        source = class_sums(output.vectors[labelled], gold)
        p = torch.softmax(output.logits[~labelled].detach(), dim=-1)
        target = class_sums(output.vectors[~labelled], sharpen(p, self.sharpness))
        self._remember(head, source)
        head.target.update(_detached(target), self.gamma)
        both = (source.mass >= 0.5) & (target.mass >= 0.5)  # half a word: less has no direction worth following
        scale = self.gamma if self.gradient == "gamma" else 1.0
        z_s = straight_through(head.source, source, scale)[both]
        z_t = straight_through(head.target, target, 0.0 if self.gradient == "source" else scale)[both]
        return class_alignment(
            z_s,
            z_t,
            self.tau_align,
            reduction=self.reduction,
            positive_in_denominator=self.positive_in_denominator,
        )

    def _remember(self, head: TagHead, source: ClassSums) -> None:
        source = _detached(source)
        if self._epoch_sums is None:
            self._epoch_sums = source
        else:
            self._epoch_sums = ClassSums(*(a + b for a, b in zip(self._epoch_sums, source)))
        if not head.source.from_full_pass:
            head.source.update(source, 0.0)


def _detached(sums: ClassSums) -> ClassSums:
    return ClassSums(sums.vectors.detach(), sums.mass)
