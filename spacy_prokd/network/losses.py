"""The losses of ProKD (arXiv 2301.08855), each a function of tensors.

Where the paper leaves a reading open, the docstring says which one is taken and why.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Reduction = Literal["mean", "paper"]
ClassReduction = Literal["sum", "mean"]


def cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross entropy against gold tags (Eq. 1) or hard pseudo-labels (Eq. 11), mean over words.

    logits (Tensor): [n_words, n_classes].
    classes (Tensor): int64 [n_words].
    weights (Tensor | None): [n_words], how much each word counts; all the same if None.
    RETURNS (Tensor): Scalar; 0 for no words.
    """
    if len(logits) == 0:
        return logits.sum()
    losses = functional.cross_entropy(logits, classes, reduction="none")
    return losses.mean() if weights is None else (weights * losses).mean()


def distillation(logits: Tensor, p: Tensor, reduction: ClassReduction = "sum", weights: Tensor | None = None) -> Tensor:
    """Squared distance of the student's and the teacher's probabilities (Eq. 2), mean over words.

    logits (Tensor): [n_words, n_classes], the student's; q = softmax(logits).
    p (Tensor): [n_words, n_classes], the teacher's probabilities.
    reduction (ClassReduction): Over classes: "sum" as printed, or "mean" as in TSL's code, 9 times smaller for
        9 classes.
    weights (Tensor | None): [n_words], how much each word counts; all the same if None.
    RETURNS (Tensor): Scalar; 0 for no words.
    """
    if len(logits) == 0:
        return logits.sum()
    squares = (torch.softmax(logits, dim=-1) - p).square()
    losses = squares.sum(dim=-1) if reduction == "sum" else squares.mean(dim=-1)
    return losses.mean() if weights is None else (weights * losses).mean()


def vector_distillation(h: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of the student's and the teacher's word vectors, as a share of the teacher's squared length.

    Not in the paper: TinyBERT (Jiao et al., 2020) matches hidden states so that a student of fewer layers learns more
    from a word than its class. As a share, it has the same size for any encoder.

    h (Tensor): [n_words, width], the student's.
    teacher (Tensor): [n_words, width].
    RETURNS (Tensor): Scalar; 0 for no words.
    """
    if len(h) == 0:
        return h.sum()
    return (h - teacher).square().sum() / teacher.square().sum().clamp_min(1e-12)


def class_alignment(
    source: Tensor,
    target: Tensor,
    tau: float,
    *,
    reduction: Reduction = "mean",
    positive_in_denominator: bool = True,
) -> Tensor:
    """Pull the prototypes of a class together across languages and push those of others apart (Eq. 6).

    For class i the pair (source i, target i) is the positive; the negatives are the other classes'
    prototypes of both languages, for both anchors. The paper's minus sign was lost in print.

    source (Tensor): [n, width], source prototypes of the classes that both languages have.
    target (Tensor): [n, width], target prototypes of the same classes.
    tau (float): Temperature (tau 1 in the paper).
    reduction (Reduction): "mean" over classes of -log(ratio); "paper" is -log of the summed ratios as
        printed, which gives a badly aligned class less gradient than a good one.
    positive_in_denominator (bool): As in SimCLR, which the paper cites; as printed it is left out and the
        loss can become negative.
    RETURNS (Tensor): Scalar; 0 for fewer than two classes.
    """
    n = len(source)
    if n < 2:
        return (source.sum() + target.sum()) * 0.0
    z_s = functional.normalize(source, dim=-1)
    z_t = functional.normalize(target, dim=-1)
    cross = z_s @ z_t.T / tau
    same = torch.eye(n, dtype=torch.bool, device=source.device)
    others = [
        cross.masked_fill(same, -torch.inf),  # anchor in the source, negatives in the target
        cross.T.masked_fill(same, -torch.inf),  # anchor in the target, negatives in the source
        (z_s @ z_s.T / tau).masked_fill(same, -torch.inf),
        (z_t @ z_t.T / tau).masked_fill(same, -torch.inf),
    ]
    positive = cross.diagonal()
    terms = torch.cat([*others, positive[:, None]] if positive_in_denominator else others, dim=1)
    log_ratio = positive - torch.logsumexp(terms, dim=1)
    if reduction == "paper":
        return -torch.logsumexp(log_ratio, dim=0)
    return -log_ratio.mean()


def consistency(first: Tensor, second: Tensor) -> Tensor:
    """How far two readings of the same words are apart: the mean of KL(a || b) and KL(b || a), mean over words.

    R-Drop (Liang et al., 2021), which ConNER (Zhou et al., 2022) takes for cross-lingual NER: dropout differs from
    reading to reading, and what it changes is no property of the text.

    first, second (Tensor): [n_words, n_classes] logits.
    RETURNS (Tensor): Scalar; 0 for no words.
    """
    if len(first) == 0:
        return first.sum() + second.sum()
    a, b = torch.log_softmax(first, dim=-1), torch.log_softmax(second, dim=-1)
    return 0.5 * ((a.exp() - b.exp()) * (a - b)).sum(dim=-1).mean()


def distillation_weight(epoch: int, epochs: int) -> float:
    """Weight of distillation, from 1 in the first epoch towards 0: alpha = 1 - (e / E)^2 (Eq. 12).

    epoch (int): e, counted from 0.
    epochs (int): E, how many there are.
    RETURNS (float): alpha.
    """
    return 1.0 - (epoch / epochs) ** 2


def student_loss(distillation: Tensor, self_training: Tensor, alpha: float) -> Tensor:
    """The student's whole loss: alpha * Eq. 2 + (1 - alpha) * Eq. 11 (Eq. 13)."""
    return alpha * distillation + (1.0 - alpha) * self_training
