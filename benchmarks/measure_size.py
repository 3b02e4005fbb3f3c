"""What a package of fewer pieces and half the bytes saves, and what it costs in F1."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import spacy
from machine import take_turns

from spacy_prokd.evaluation import evaluate
from spacy_prokd.shrinking import shrink

_LOAD = """
import sys, time
import torch
start = time.perf_counter()
import spacy
spacy.load(sys.argv[1])
print(time.perf_counter() - start)
"""


def measure_size(
    pipeline: Path, texts: Path, data: Sequence[Path], *, vocabulary_size: int, rounds: int = 5
) -> dict[str, Any]:
    """Bytes, load time and F1 of a trained pipeline as it is and as `package` makes it small.

    pipeline (Path): The trained pipeline.
    texts (Path): The text whose pieces are kept, a .spacy file.
    data (Sequence[Path]): Labelled .spacy files to score both on; other languages show what is lost there.
    vocabulary_size (int): Pieces to keep.
    rounds (int): How often each is loaded, in a process of its own.
    """
    with TemporaryDirectory() as temporary:
        folders = {"whole": pipeline, "small": Path(temporary) / "small"}
        shutil.copytree(pipeline, folders["small"])
        pieces = shrink(spacy.load(pipeline), folders["small"], texts, vocabulary_size)
        f1 = {
            str(path): {
                name: round(100 * evaluate(folder, path, Path(temporary) / f"{name}.json")["ents_f"], 2)
                for name, folder in folders.items()
            }
            for path in data
        }
        loads: dict[str, list[float]] = {name: [] for name in folders}

        def load(name: str) -> None:
            command = [sys.executable, "-c", _LOAD, str(folders[name])]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            loads[name].append(float(result.stdout))

        take_turns({"whole": lambda: load("whole"), "small": lambda: load("small")}, rounds, "loading")
        megabytes = {name: _megabytes(folder) for name, folder in folders.items()}
        compressed = {name: _compressed_megabytes(folder, Path(temporary)) for name, folder in folders.items()}
    return {
        "group": "size",
        "pieces": pieces,
        "megabytes": megabytes,
        "compressed_megabytes": compressed,
        "load_seconds_beyond_torch": {name: round(statistics.median(each[1:]), 2) for name, each in loads.items()},
        "f1": f1,
        "f1_lost": {path: round(each["whole"] - each["small"], 2) for path, each in f1.items()},
    }


def _megabytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)


def _compressed_megabytes(folder: Path, temporary: Path) -> float:
    """Of a zip archive, which a wheel is, compressed as `package` does."""
    archive = temporary / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        for path in folder.rglob("*"):
            zipped.write(path, path.relative_to(folder))
    return round(archive.stat().st_size / 1e6, 1)
