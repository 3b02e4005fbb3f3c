"""How the cost of tagging grows: with the length of a text, the size of a batch and of the corpus, and with cores."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import spacy
import torch
from machine import progress_bar
from measure_tagging import HALF, make_ours
from spacy.language import Language
from texts import read_train_docs

BATCH_SIZES = (1, 8, 32, 128, 256, 1024)
MANY = 8  # times as many texts for processes, which take seconds to start
SHORT = 3  # words of the texts by which the size of the corpus is measured


def measure_scaling(
    encoder: Path,
    corpus: Path,
    *,
    target_lang: str = "de",
    sentences: int = 512,
    longest: int = 100_000,
    largest: int = 1_000_000,
    rounds: int = 3,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Words a second of a student's `nlp.pipe` over several texts of each size.

    sentences (int): Texts by which batch sizes and threads are measured; one process, of all threads, and two by eight
        times as many, and there a pipeline without any pipe as well: what spaCy itself needs to send texts and Docs
        to and fro.
    longest (int): Words of the longest text; from 10 on, each ten times as long.
    largest (int): Texts of the largest corpus; from 1,000 on, each ten times as large, of the first words of the
        corpus's own again and again. Each but the first is tagged once.
    """
    docs = read_train_docs(corpus, target_lang, spacy.blank("xx"))
    texts = [doc.text for doc in docs[:sentences]]
    many = [doc.text for doc in docs[: MANY * sentences]]
    short = [doc[:SHORT].text for doc in docs]
    words = [token.text for doc in docs for token in doc]
    nlp = make_ours(encoder, overrides or {}, layers=HALF)
    threads = torch.get_num_threads()
    speed, bare = _Speed(nlp, rounds), _Speed(spacy.blank("xx"), rounds)
    lengths, sizes = list(_powers(10, longest)), list(_powers(1000, largest))
    with progress_bar() as progress:
        task = progress.add_task("scaling", total=len(lengths) + len(BATCH_SIZES) + len(sizes) + threads + 3)

        def measure(name: str, cases: Iterable[int], run: Callable[[int], float]) -> dict[str, float]:
            found = {}
            for case in cases:
                progress.update(task, description=f"{name} {case:,}")
                found[str(case)] = round(run(case), 1)
                progress.advance(task)
            return found

        def with_threads(n: int) -> float:
            torch.set_num_threads(n)
            try:
                return speed.of(texts)
            finally:
                torch.set_num_threads(threads)

        speed.of(texts)  # warms up
        return {
            "group": "scaling",
            "rounds": rounds,
            "words_per_second": {
                "document_length": measure("words a text", lengths, lambda n: speed.of(_texts_of(words, n, lengths))),
                "batch_size": measure("texts a batch", BATCH_SIZES, lambda n: speed.of(texts, batch_size=n)),
                "corpus_size": measure("texts", sizes, lambda n: speed.of_stream(short, n, once=n > sizes[0])),
                "threads": measure("threads", range(1, threads + 1), with_threads),
                "processes": measure("processes", (1, 2), lambda n: speed.of(many, n_process=n)),
                "empty_pipeline_processes": measure("processes, no pipe", (2,), lambda n: bare.of(many, n_process=n)),
            },
        }


class _Speed:
    """Words a second of a pipeline."""

    def __init__(self, nlp: Language, rounds: int) -> None:
        self.nlp, self.rounds = nlp, rounds

    def of(self, texts: Sequence[str], **arguments: int) -> float:
        """The median of the rounds."""
        return statistics.median(self._time(texts, **arguments) for _ in range(self.rounds))

    def of_stream(self, texts: Sequence[str], n: int, once: bool) -> float:
        """n texts, given one by one."""
        rounds = 1 if once else self.rounds
        return statistics.median(self._time(islice(cycle(texts), n)) for _ in range(rounds))

    def _time(self, texts: Iterable[str], **arguments: int) -> float:
        start = time.perf_counter()
        n_words = sum(len(doc) for doc in self.nlp.pipe(texts, **arguments))
        return n_words / (time.perf_counter() - start)


def _powers(first: int, last: int) -> Iterator[int]:
    """first, ten times as much, and so on."""
    while first <= last:
        yield first
        first *= 10


def _texts_of(words: Sequence[str], n: int, lengths: Sequence[int]) -> list[str]:
    """Texts of n words; together as many words as a text of the second longest length has, or one text."""
    source = cycle(words)
    total = lengths[-2] if len(lengths) > 1 else n
    return [" ".join(islice(source, n)) for _ in range(max(1, total // n))]
