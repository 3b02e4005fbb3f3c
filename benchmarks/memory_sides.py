"""What `measure_memory.py` runs in processes of their own: `python benchmarks/memory_sides.py SIDE SETTINGS`.

Each prints its resident memory in MB, one figure a line; its highest is read off from outside.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil


def report() -> None:
    """Print the memory that this process has now."""
    print(psutil.Process().memory_info().rss / 1e6, flush=True)


def tag(pipeline: str, texts: str, sentences: int, reports: int, zone: bool) -> None:
    """Tag texts again and again; in a memory zone each chunk has words that were never seen before."""
    import spacy

    nlp = spacy.load(pipeline)
    lines = Path(texts).read_text(encoding="utf8").splitlines()
    chunk = sentences // reports
    source = islice(cycle(lines), chunk * reports)
    if zone:
        numbered = (f"{line} Nr. {i}" for i, line in enumerate(source))
        for _ in range(reports):
            with nlp.memory_zone():
                for _doc in nlp.pipe(islice(numbered, chunk)):
                    pass
            report()
    else:
        for i, _doc in enumerate(nlp.pipe(source), start=1):
            if i % chunk == 0:
                report()


def document(pipeline: str, texts: str, characters: int) -> None:
    """Tag one long text."""
    import spacy

    nlp = spacy.load(pipeline)
    nlp.max_length = characters
    nlp("Ein Satz, damit alles geladen ist.")
    report()
    nlp(_long_text(texts, characters))


def _long_text(texts: str, characters: int) -> str:
    lines: Iterator[str] = cycle(Path(texts).read_text(encoding="utf8").splitlines())
    parts: list[str] = []
    length = 0
    while length < characters:
        parts.append(next(lines))
        length += len(parts[-1]) + 1
    return " ".join(parts)[:characters]


def hand_loop(encoder: str, words: str, settings: dict[str, Any], steps: int, batch_size: int = 32) -> None:
    """Train a student by hand; its texts are all in memory, as tensors."""
    import numpy as np
    from hand_loop import LoopSettings, StudentHandLoop

    texts: list[list[str]] = json.loads(Path(words).read_text(encoding="utf8"))
    loop = StudentHandLoop(Path(encoder), LoopSettings(**settings), alpha=0.5, beta=0.8, tau_proto=0.7, gamma=0.005)
    n_tags = loop.settings.n_tags
    soft = [np.eye(n_tags, dtype=np.float32)[[0] * len(text)] for text in texts]
    starts = range(0, len(texts), batch_size)
    prepared = [loop.prepare(texts[i : i + batch_size], soft[i : i + batch_size]) for i in starts]
    loop.make_prototypes(prepared)
    for step in islice(cycle(prepared), steps):
        loop.step(step)
    report()


SIDES: dict[str, Callable[..., None]] = {"tag": tag, "document": document, "hand_loop": hand_loop}

if __name__ == "__main__":
    SIDES[sys.argv[1]](**json.loads(sys.argv[2]))
