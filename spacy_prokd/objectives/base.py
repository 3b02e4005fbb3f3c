"""What the pipe and an objective tell each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from ..architectures import TaggerOutput
from ..errors import ProKDError
from ..network.head import TagHead
from .label_summary import LabelSummary

NO_TEXTS = np.zeros(0, dtype=np.uint64)


class Batch(NamedTuple):
    """What is known of the words of some docs.

    classes (Tensor): int64 [n_words], the gold class; -1 where there is none.
    soft (Tensor | None): float32 [n_words, n_classes], the teacher's probabilities; all 0 for words of labelled docs.
    texts (np.ndarray): uint64, what tells each doc that has them from others, the same in every epoch.
    vectors (Tensor | None): float32 [n_words, width], the teacher's word vectors.
    n_labelled (int): How many docs are labelled ones of the source, which a student learns from beside the others.
    """

    classes: Tensor
    soft: Tensor | None = None
    texts: np.ndarray = NO_TEXTS
    vectors: Tensor | None = None
    n_labelled: int = 0


class Progress(NamedTuple):
    """How far training is: `epoch` of `epochs`, counted from 0, and the share of this epoch that is done."""

    epoch: int
    epochs: int
    share: float


Pass = Callable[[], Iterable[tuple[TaggerOutput, Batch]]]


class Objective(Protocol):
    """What the pipe asks of an objective. `losses` holds "loss", whose gradient is taken, and named parts of it.

    readings (int): How often each batch is read, with another dropout each time; the outputs follow one another.
    """

    readings: int
    needs_soft_labels: bool
    needs_vectors: bool

    def start_epoch(self, head: TagHead, progress: Progress, corpus: Pass) -> LabelSummary | None:
        """Called before each epoch; `corpus` is a full pass without dropout and gradients.

        RETURNS (LabelSummary | None): What the epoch's pseudo-labels are like; None where there are none.
        """

    def losses(self, head: TagHead, output: TaggerOutput, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """The losses of one batch."""


def check_settings(*, above_zero: Mapping[str, float], shares: Mapping[str, float]) -> None:
    """See that numbers of an objective are ones that its equations have a meaning for.

    above_zero (Mapping[str, float]): Temperatures.
    shares (Mapping[str, float]): From 0 to 1.
    RAISES (ProKDError): If one is not.
    """
    for name, value in above_zero.items():
        if not value > 0:
            raise ProKDError(f"objective.{name} is {value}, but a temperature is above 0: see docs/method.md.")
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ProKDError(f"objective.{name} is {value}, but it is a share, from 0 to 1: see docs/method.md.")
