"""Hard pseudo-labels of ProKD (Eq. 9 of arXiv 2301.08855), which of them are trusted, and those of a whole corpus.

As printed, each word counts and its label is the argmax of the hybrid; `margin_gate` and `trusted` are what other
works do with doubtful labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class PseudoLabels(NamedTuple):
    """The labels of some words and what is known about them, in 16 bytes a word: a corpus has many.

    labels (Tensor): int16 [n_words].
    sureness (Tensor): float32 [n_words], the probability of the label in the hybrid of Eq. 10.
    distance (Tensor): float32 [n_words], from the label's prototype.
    teacher (Tensor): int16 [n_words], the teacher's most probable class.
    teacher_sureness (Tensor): float32 [n_words], the probability of that class in the hybrid.
    """

    labels: Tensor
    sureness: Tensor
    distance: Tensor
    teacher: Tensor
    teacher_sureness: Tensor


def hard_labels(hybrid: Tensor, p: Tensor, distances: Tensor, labels: Tensor | None = None) -> PseudoLabels:
    """The most probable class of each word (Eq. 9).

    hybrid (Tensor): [n_words, n_classes], of Eq. 10.
    p (Tensor): [n_words, n_classes], the teacher's probabilities.
    distances (Tensor): [n_words, n_classes], from the prototypes.
    labels (Tensor | None): int64 [n_words], where others than each word's most probable ones are wanted.
    """
    if labels is None:
        labels = hybrid.argmax(dim=-1)
    teacher = p.argmax(dim=-1)
    return PseudoLabels(
        labels.short(),
        hybrid.gather(1, labels[:, None]).squeeze(1),
        distances.gather(1, labels[:, None]).squeeze(1),
        teacher.short(),
        hybrid.gather(1, teacher[:, None]).squeeze(1),
    )


def join(parts: Iterable[PseudoLabels]) -> PseudoLabels:
    """The labels of several batches as one."""
    return PseudoLabels(*map(torch.cat, zip(*parts)))


def margin_gate(found: PseudoLabels) -> PseudoLabels:
    """Let a prototype overrule the teacher only where the word is nearer to it than its class usually is (ContProto).

    RETURNS (PseudoLabels): With the teacher's label, and its sureness, for the other words.
    """
    labels = found.labels.long()
    n_classes = int(labels.max()) + 1 if len(labels) else 0
    sums = found.distance.new_zeros(n_classes).index_add_(0, labels, found.distance)
    mean = sums / labels.bincount(minlength=n_classes).clamp_min(1)
    near = found.distance <= mean[labels]
    return found._replace(
        labels=torch.where(near, found.labels, found.teacher),
        sureness=torch.where(near, found.sureness, found.teacher_sureness),
    )


def trusted(found: PseudoLabels, confidence: float, class_share: float) -> Tensor:
    """Which words count in Eq. 11.

    confidence (float): The least probability of a label.
    class_share (float): The share of each class's words that count, the surest first (Zou 2018): with one bound for
        all classes, rare ones would be left out.
    RETURNS (Tensor): bool [n_words].
    """
    counts = found.sureness >= confidence
    if class_share < 1.0:
        for label in found.labels.unique():
            of_class = found.labels == label
            sureness = found.sureness[of_class]
            first = math.ceil((1.0 - class_share) * (len(sureness) - 1))  # of those that count, the surest last
            counts &= ~of_class | (found.sureness >= sureness.kthvalue(first + 1).values)
    return counts


class LabelledTexts:
    """The pseudo-labels of a corpus, found again by text: 3 bytes a word (6 with weights), 24 a text.

    keys (np.ndarray): uint64 [n_texts], what tells each text from others.
    lengths (Sequence[int]): Words of each text.
    labels (Tensor): int16 [n_words], the texts' words one after the other.
    counts (Tensor): [n_words], how much each word counts.
    """

    def __init__(self, keys: np.ndarray, lengths: Sequence[int], labels: Tensor, counts: Tensor) -> None:
        order = np.argsort(keys)
        ends = np.cumsum(lengths)
        self._keys, self._starts, self._ends = keys[order], (ends - lengths)[order], ends[order]
        self._labels, self._counts = labels, counts

    def of(self, keys: np.ndarray) -> tuple[Tensor, Tensor]:
        """Find the labels of some texts.

        keys (np.ndarray): uint64 [n_texts], one or more.
        RETURNS (tuple): int64 [n_words] labels and [n_words], how much each counts.
        RAISES (KeyError): If a text is none of the corpus.
        """
        places = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        if missing := set(keys[self._keys[places] != keys].tolist()):
            raise KeyError(missing)
        spans = list(zip(self._starts[places], self._ends[places]))
        return (
            torch.cat([self._labels[start:end] for start, end in spans]).long(),
            torch.cat([self._counts[start:end] for start, end in spans]),
        )
