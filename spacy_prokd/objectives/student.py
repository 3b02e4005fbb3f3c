"""The student's objective: distil the teacher, then train on labels from its own prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import spacy
import torch
from torch import Tensor

from ..architectures import TaggerOutput
from ..decoding import best_path
from ..errors import ProKDError
from ..files import ArraySpool
from ..network.head import TagHead
from ..network.losses import (
    ClassReduction,
    cross_entropy,
    distillation,
    distillation_weight,
    student_loss,
    vector_distillation,
)
from ..network.neighbours import neighbour_weights
from ..network.prototypes import (
    Distance,
    Moments,
    class_sums,
    distances,
    hybrid,
    measuring_unit,
    prototype_probabilities,
    sharpen,
)
from ..network.pseudo_labels import LabelledTexts, PseudoLabels, hard_labels, join, margin_gate, trusted
from .base import Batch, Pass, Progress, check_settings
from .label_summary import LabelSummary, summarize


@spacy.registry.misc("spacy-prokd.Student.v1")
def make_student(
    self_training: bool = True,
    alpha: float | None = None,
    beta: float = 0.8,
    tau_proto: float = 0.7,
    gamma: float = 0.005,
    prior: bool = True,
    distance: Literal["mahalanobis", "euclidean", "cosine"] = "mahalanobis",
    sharpness: float | None = None,
    reduction: Literal["sum", "mean"] = "sum",
    confidence_power: float = 0.0,
    constrained: bool = False,
    neighbours: bool = False,
    margin_gate: bool = False,
    confidence: float = 0.0,
    class_share: float = 1.0,
    relabel: Literal["epoch", "batch"] = "epoch",
    vector_weight: float = 0.0,
    source_weight: float = 1.0,
) -> Student:
    """The student's objective (Eq. 13): distil the teacher, then train on labels from its own prototypes.

    self_training (bool): False leaves Eq. 11 out (the paper's "w/o ST"), which is plain distillation.
    alpha (float | None): A fixed weight of distillation ("w/o CL": 0.5); falling as in Eq. 12 if None.
    beta (float): Share of the prototypes in the pseudo-labels (Eq. 10); 1 leaves the teacher out ("w/o PK").
    tau_proto (float): Temperature of Eq. 8 (tau 2).
    gamma (float): Weight of the new value in the prototypes (Eq. 5), where batches move them (relabel = "batch").
    prior (bool): Whether Eq. 8 knows how frequent a class is; false as printed.
    distance (str): Of Eq. 8, in units of the scatter within classes: "mahalanobis" by direction, "euclidean"
        by its mean (as printed but for the unit), or "cosine".
    sharpness (float | None): Power of the weights q of Eq. 4; 1 as printed, None for the argmax alone.
    reduction (str): Of Eq. 2 over classes: "sum" as printed, "mean" as in TSL's code.
    confidence_power (float): Of the teacher's highest probability of a word, by which it counts in Eq. 2: 2 in MTMT
        (Li et al., 2022); 0 for all the same, as printed.
    constrained (bool): Whether Eq. 9 takes the most probable valid path of tags in a text, as the pipe does when it
        decodes; else each word's most probable tag, as printed.
    neighbours (bool): Whether a word counts in Eq. 2 and 11 by how many of its nearest words have its type (CoLaDa);
        with labels of each epoch alone.
    margin_gate (bool): Whether a prototype overrules the teacher only for words that are nearer to it than usual.
    confidence (float): Words whose pseudo-label is less probable do not count in Eq. 11.
    class_share (float): Share of each class's words that count in Eq. 11, the surest first.
    relabel (str): When a word gets its pseudo-label: each "epoch", by a full pass of the model as it then is, or
        each "batch" as printed, by prototypes that follow the batches.
    vector_weight (float): Of the teacher's word vectors in distillation, for a student with fewer layers; needs
        `spacy-prokd label --vectors`.
    source_weight (float): Of Eq. 1 on source text, where the training corpus has some (corpora.train.labelled); the
        paper's student reads target text alone.
    RAISES (ProKDError): If a number is out of its range, or two settings do not go together.
    """
    shares = {"beta": beta, "gamma": gamma, "confidence": confidence, "class_share": class_share}
    if alpha is not None:
        shares["alpha"] = alpha
    check_settings(above_zero={"tau_proto": tau_proto}, shares=shares)
    if neighbours and relabel != "epoch":
        raise ProKDError(
            'objective.neighbours looks for each word\'s neighbours once an epoch: set objective.relabel = "epoch".'
        )
    power = float("inf") if sharpness is None else sharpness
    return Student(
        self_training, alpha, beta, tau_proto, gamma, prior, distance, power, reduction, confidence_power, constrained,
        neighbours, margin_gate, confidence, class_share, relabel, vector_weight, source_weight,
    )  # fmt: skip


@dataclass(eq=False)
class Student:
    """See `make_student`."""

    readings: ClassVar[int] = 1
    needs_soft_labels: ClassVar[bool] = True
    least_agreement: ClassVar[float] = 0.75  # with the teacher; far below it, prototypes chase their own labels
    least_entities: ClassVar[float] = 0.25  # of those that the teacher finds
    guarded_batches: ClassVar[int] = 20  # which the guard looks at together: a few hundred entities

    self_training: bool
    alpha: float | None
    beta: float
    tau_proto: float
    gamma: float
    prior: bool
    distance: Distance
    sharpness: float
    reduction: ClassReduction
    confidence_power: float
    constrained: bool
    neighbours: bool
    margin_gate: bool
    confidence: float
    class_share: float
    relabel: Literal["epoch", "batch"]
    vector_weight: float
    source_weight: float
    _labels: LabelledTexts | None = field(default=None, init=False)  # of this epoch
    # predictions and the teacher's labels, since the guard looked
    _recent: list[tuple[Tensor, Tensor]] = field(default_factory=list, init=False)

    @property
    def needs_vectors(self) -> bool:
        """Whether batches need the teacher's word vectors."""
        return self.vector_weight > 0.0

    def weight(self, progress: Progress) -> float:
        """alpha of Eq. 13 in this epoch."""
        if not self.self_training:
            return 1.0
        return distillation_weight(progress.epoch, progress.epochs) if self.alpha is None else self.alpha

    def start_epoch(self, head: TagHead, progress: Progress, corpus: Pass) -> LabelSummary | None:
        """Take prototypes and pseudo-labels from a full pass, unless this epoch only distils.

        Both come from the same state of the model. Within an epoch they do not follow it: where they do, a drift of
        all words' vectors looks like words of another class, which moves that class's prototype towards them.
        """
        if self.weight(progress) == 1.0:
            return None
        self._recent.clear()
        n_classes, width = head.target.vectors.shape
        device = head.target.vectors.device
        moments = Moments(n_classes, width, device)
        texts: list[np.ndarray] = []
        lengths: list[Sequence[int]] = []
        with ArraySpool() as vectors, ArraySpool() as soft:
            for output, batch in corpus():
                moments.add(output.vectors, self._weights(output.logits))
                vectors.append(output.vectors.cpu().numpy())
                soft.append(batch.soft.cpu().numpy())
                texts.append(batch.texts)
                lengths.append(output.lengths)
            head.target.reset(moments.sums, measuring_unit(moments.within_class_covariance(), self.distance))
            found = join(
                self._pseudo_labels(head, torch.from_numpy(h).to(device), torch.from_numpy(p).to(device), n_words)
                for h, p, n_words in zip(vectors, soft, lengths)
            )
            labels, counts = self._select(found)
            if self.neighbours:
                counts = counts * neighbour_weights(vectors, labels)
        self._guard(labels, found.teacher, f"before epoch {progress.epoch + 1}")
        of_texts = np.concatenate(lengths)
        if self.relabel == "epoch":
            self._labels = LabelledTexts(np.concatenate(texts), of_texts, labels, counts)
        return summarize(found, labels, of_texts, n_classes)

    def losses(self, head: TagHead, output: TaggerOutput, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Eq. 13 on target words, Eq. 1 on labelled ones of the source."""
        if not batch.n_labelled:
            return self._target_losses(head, output, batch, progress)
        target = batch.soft.any(dim=-1)
        labelled = ~target & (batch.classes >= 0)
        source = cross_entropy(output.logits[labelled], batch.classes[labelled])
        losses = {"loss": self.source_weight * source, "cross_entropy": source.detach()}
        if len(batch.texts):
            found = self._target_losses(head, *_words_where(target, output, batch), progress)
            losses |= {**found, "loss": found["loss"] + losses["loss"]}
        return losses

    def _target_losses(
        self, head: TagHead, output: TaggerOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Eq. 13."""
        alpha = self.weight(progress)
        labels, counts = None, None
        if alpha < 1.0:
            labels, counts = self._labels_of(batch) if self.relabel == "epoch" else self._relabel(head, output, batch)
        weights = counts if self.neighbours else None
        if self.confidence_power:
            sureness = batch.soft.amax(dim=-1) ** self.confidence_power
            weights = sureness if weights is None else weights * sureness
        kd = distillation(output.logits, batch.soft, self.reduction, weights)
        losses = {"distillation": kd.detach()}
        if self.needs_vectors:
            matching = vector_distillation(output.vectors, batch.vectors)
            losses["vectors"] = matching.detach()
            kd = kd + self.vector_weight * matching
        if labels is None:
            return {"loss": kd, **losses}
        teacher = batch.soft.argmax(dim=-1)
        st = cross_entropy(output.logits, labels, counts.float())
        self._recent.append((output.logits.detach().argmax(dim=-1), teacher))
        if len(self._recent) == self.guarded_batches:
            found, expected = (torch.cat(tensors) for tensors in zip(*self._recent))
            self._recent.clear()
            self._guard(found, expected, f"in epoch {progress.epoch + 1}", fewest=20)
        changed = (labels != teacher).float().mean()
        return {"loss": student_loss(kd, st, alpha), **losses, "self_training": st.detach(), "relabelled": changed}

    def _labels_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        try:
            return self._labels.of(batch.texts)
        except KeyError:
            raise ProKDError(
                "Self-training got a text that nlp.initialize() did not see: initialize with the whole training "
                'corpus, or set objective.relabel = "batch".'
            ) from None

    def _relabel(self, head: TagHead, output: TaggerOutput, batch: Batch) -> tuple[Tensor, Tensor]:
        """Label a batch as the prototypes are now, and move these."""
        h = output.vectors.detach()
        labels, counts = self._select(self._pseudo_labels(head, h, batch.soft, output.lengths))
        head.target.update(class_sums(h, self._weights(output.logits)), self.gamma)
        return labels.long(), counts

    def _weights(self, logits: Tensor) -> Tensor:
        return sharpen(torch.softmax(logits.detach(), dim=-1), self.sharpness)

    def _pseudo_labels(self, head: TagHead, h: Tensor, p: Tensor, lengths: Sequence[int]) -> PseudoLabels:
        """Hard labels of the hybrid of prototypes and teacher (Eq. 8 to 10)."""
        far = distances(h, head.target, self.distance)
        pi = prototype_probabilities(far, head.target, self.tau_proto, prior=self.prior)
        both = hybrid(pi, p, self.beta)
        if not self.constrained:
            return hard_labels(both, p, far)
        path = best_path(both.cpu().numpy(), np.cumsum([0, *lengths]))
        return hard_labels(both, p, far, torch.from_numpy(path).to(both.device))

    def _select(self, found: PseudoLabels) -> tuple[Tensor, Tensor]:
        """The labels of Eq. 11, and which words count in it."""
        if self.margin_gate:
            found = margin_gate(found)
        return found.labels, trusted(found, self.confidence, self.class_share)

    def _guard(self, labels: Tensor, teacher: Tensor, when: str, fewest: int = 1) -> None:
        """Stop where labels or predictions are no longer those of a student of this teacher.

        teacher (Tensor): The teacher's labels of the same words.
        fewest (int): Entities of the teacher by which the student's can be judged.
        """
        agreement = float((labels == teacher).float().mean())
        entities, expected = int((labels > 0).sum()), int((teacher > 0).sum())
        if agreement < self.least_agreement or (expected >= fewest and entities < self.least_entities * expected):
            raise ProKDError(
                f"Training collapsed {when}: the student agrees with the teacher on {agreement:.0%} of the words and "
                f"calls {entities} of {len(labels)} words an entity, the teacher {expected}. Nothing was gained from "
                "here on, so training stopped. Use a lower beta or learning rate, or objective.self_training = false."
            )


def _words_where(mask: Tensor, output: TaggerOutput, batch: Batch) -> tuple[TaggerOutput, Batch]:
    """Output and batch of some words, those of whole docs."""
    vectors = None if batch.vectors is None else batch.vectors[mask]
    lengths = [len(of_doc) for of_doc in mask.split(output.lengths) if of_doc.any()]
    return (
        output._replace(vectors=output.vectors[mask], logits=output.logits[mask], lengths=lengths),
        batch._replace(classes=batch.classes[mask], soft=batch.soft[mask], vectors=vectors),
    )
