"""Learning rates that know how many steps a corpus has, so that one config suits a corpus of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import spacy
from spacy.language import Language
from spacy.training import Example

from .errors import ProKDError


@spacy.registry.schedules("spacy-prokd.warmup_linear.v1")
def warmup_linear(
    initial_rate: float,
    warmup: float,
    epochs: int,
    corpus: Callable[[Language], Iterable[Example]],
    batcher: Callable[[Iterable[Example]], Iterable[list[Example]]],
    last: float = 0.0,
) -> Iterator[float]:
    """Rise linearly to a rate, then fall linearly until the end of the last epoch.

    Corpus and batcher are those of the training block; they are run once to count the steps.

    initial_rate (float): The highest rate.
    warmup (float): Share of the steps in which it rises.
    epochs (int): How many there are: ${training.max_epochs}.
    corpus (Callable): ${corpora.train}.
    batcher (Callable): ${training.batcher}.
    last (float): Share of the highest rate to which it falls; 1 does not fall, for means of weights that look around.
    YIELDS (float): The rate of each step.
    RAISES (ProKDError): If the number of epochs is not fixed.
    """
    if epochs < 1:
        raise ProKDError(
            f"spacy-prokd.warmup_linear.v1 needs a fixed number of epochs; training.max_epochs is {epochs}."
        )
    total = epochs * sum(1 for _ in batcher(corpus(spacy.blank("xx"))))
    rising = max(1.0, warmup * total)
    step = 0
    while True:
        falling = max(0.0, (total - step) / max(1.0, total - rising))
        yield initial_rate * min((step + 1) / rising, last + (1.0 - last) * min(1.0, falling))
        step += 1
