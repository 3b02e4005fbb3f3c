"""What can be said of an epoch's pseudo-labels where nobody knows the right ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..decoding import mark_broken
from ..network.pseudo_labels import PseudoLabels


class LabelSummary(NamedTuple):
    """The pseudo-labels of a corpus in a few numbers.

    relabelled (float): Share of the words whose label is not the teacher's.
    sureness (float): Mean probability of the labels in the hybrid of Eq. 10.
    invalid (float): Share of the entity words whose tag is I-x after neither B-x nor I-x.
    words (list[float | None]): For each entity label, how many words have it, divided by how many the teacher gives
        it; None where it gives it to none.
    """

    relabelled: float
    sureness: float
    invalid: float
    words: list[float | None]

    def named(self, labels: Sequence[str]) -> dict[str, float]:
        """The numbers there are by name, those of entity labels as `words.PER`.

        labels (Sequence[str]): The entity labels, in the order of their classes.
        """
        of_labels = {f"words.{label}": ratio for label, ratio in zip(labels, self.words) if ratio is not None}
        return {"relabelled": self.relabelled, "sureness": self.sureness, "invalid": self.invalid, **of_labels}


def summarize(found: PseudoLabels, labels: Tensor, lengths: Sequence[int] | np.ndarray, n_classes: int) -> LabelSummary:
    """Sum up the labels of a corpus.

    found (PseudoLabels): What is known of its words.
    labels (Tensor): int16 [n_words], those that were selected: each the hybrid's or the teacher's.
    lengths (Sequence[int] | np.ndarray): Words of each text.
    n_classes (int): Number of tags, O included: O, then B-x and I-x of each entity label.
    """
    sureness = torch.where(labels == found.labels, found.sureness, found.teacher_sureness)
    broken = mark_broken(labels.cpu().numpy(), np.cumsum([0, *lengths]))
    counts = [_count_words(tags, n_classes) for tags in (labels, found.teacher)]
    return LabelSummary(
        float((labels != found.teacher).float().mean()),
        float(sureness.mean()),
        int(broken.sum()) / max(1, int((labels > 0).sum())),
        [own / teacher if teacher else None for own, teacher in zip(*counts)],
    )


def _count_words(tags: Tensor, n_classes: int) -> list[int]:
    """The words of each entity label."""
    counts = tags.bincount(minlength=n_classes)
    return (counts[1::2] + counts[2::2]).tolist()
