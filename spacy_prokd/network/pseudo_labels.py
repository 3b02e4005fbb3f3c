"""Hard pseudo-labels of ProKD (Eq. 9 of arXiv 2301.08855), and which of them are trusted.

As printed, each word counts and its label is the argmax of the hybrid; the functions below it are what other
works do with doubtful labels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hard_labels(hybrid: Tensor) -> Tensor:
    """The most probable class of each word (Eq. 9).

    hybrid (Tensor): [n_words, n_classes], of Eq. 10.
    RETURNS (Tensor): int64 [n_words].
    """
    return hybrid.argmax(dim=-1)


def margin_gate(labels: Tensor, teacher: Tensor, distances: Tensor) -> Tensor:
    """Let a prototype overrule the teacher only where the word is nearer to it than its class usually is (ContProto).

    labels (Tensor): int64 [n_words], of Eq. 9.
    teacher (Tensor): int64 [n_words], the teacher's own.
    distances (Tensor): [n_words, n_classes], from the prototypes.
    RETURNS (Tensor): int64 [n_words].
    """
    own = distances.gather(1, labels[:, None]).squeeze(1)
    sums = torch.zeros(distances.shape[1], dtype=own.dtype, device=own.device).index_add_(0, labels, own)
    mean = sums / labels.bincount(minlength=distances.shape[1]).clamp_min(1)
    return torch.where(own <= mean[labels], labels, teacher)


def trusted(hybrid: Tensor, labels: Tensor, confidence: float, class_share: float) -> Tensor:
    """Which words count in Eq. 11.

    hybrid (Tensor): [n_words, n_classes], of Eq. 10.
    labels (Tensor): int64 [n_words].
    confidence (float): The least probability of a label.
    class_share (float): The share of each class's words that count, the surest first (Zou 2018): with one bound for
        all classes, rare ones would be left out.
    RETURNS (Tensor): float32 [n_words], 1 or 0.
    """
    sureness = hybrid.gather(1, labels[:, None]).squeeze(1)
    counts = sureness >= confidence
    if class_share < 1.0:
        for label in labels.unique():
            of_class = labels == label
            counts &= ~of_class | (sureness >= torch.quantile(sureness[of_class], 1.0 - class_share))
    return counts.float()
