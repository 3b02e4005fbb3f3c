"""Batches that fit the corpus: a small one needs small batches to have enough steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

import spacy
from spacy.training import Example
from spacy.util import minibatch

Batcher = Callable[[Iterable[Example]], Iterator[list[Example]]]


@spacy.registry.batchers("spacy-prokd.batch_by_corpus.v1")
def batch_by_corpus(largest: int = 32, smallest: int = 8, min_steps: int = 150) -> Batcher:
    """Batches as large as `largest`, but smaller where an epoch would else have fewer than `min_steps` steps.

    largest (int): Texts in a batch of a large corpus, where large batches are fast.
    smallest (int): Texts in a batch, however small the corpus.
    min_steps (int): Steps that an epoch should have.
    RETURNS (Batcher): Called with an epoch's examples, of which it holds no more than it takes to know the size.
    """

    def batch(examples: Iterable[Example]) -> Iterator[list[Example]]:
        examples = iter(examples)
        known = list(islice(examples, largest * min_steps))
        yield from minibatch(chain(known, examples), size=min(largest, max(smallest, len(known) // min_steps)))

    return batch
