"""Outputs appear whole or not at all: write beside the destination, then rename. Checksums, arrays out of memory."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ProKDError


@contextmanager
def atomic_folder(destination: Path) -> Iterator[Path]:
    """Give a temporary folder that replaces `destination` when the block ends without an error.

    destination (Path): The folder to create or replace; of a link, what it leads to.
    YIELDS (Path): The folder to write to, on the same disk.
    """
    destination = Path(destination).resolve()
    if destination.is_file():
        raise FileExistsError(errno.EEXIST, "A file is where a folder should be", str(destination))
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
    new, old = temporary / "new", temporary / "old"
    new.mkdir()
    try:
        yield new
        for path in [new, *new.rglob("*")]:  # safetensors writes files that only their owner may read
            _let_read(path)
        if destination.exists():  # not deleted before the new one is there: that takes time, and may fail half-way
            os.replace(destination, old)
        os.replace(new, destination)
    finally:
        if old.exists() and not destination.exists():  # stopped between the two
            os.replace(old, destination)
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_file(destination: Path) -> Iterator[Path]:
    """Give a temporary path that replaces `destination` when the block ends without an error.

    destination (Path): The file to create or replace.
    YIELDS (Path): The path to write to, on the same disk and with the same suffix.
    """
    destination = Path(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=destination.suffix, dir=destination.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _let_read(temporary)  # not earlier: who writes may have put a new file in its place
        os.replace(temporary, destination)
    finally:
        temporary.unlink(missing_ok=True)


def _let_read(path: Path) -> None:
    """Let those read a file or folder whom the umask lets: a temporary one is its owner's alone."""
    mask = os.umask(0o077)  # the only way to read it
    os.umask(mask)
    path.chmod((0o755 if path.is_dir() else 0o644) & ~mask)


def check_inside(folder: Path, paths: Iterable[Path]) -> None:
    """See that what is passed on with a folder lies in it: a link or `..` could add any file of this machine.

    RAISES (ProKDError): With the first that does not.
    """
    root = folder.resolve()
    for path in paths:
        if not path.resolve().is_relative_to(root):
            raise ProKDError(f"{path} leads out of {folder}, to {path.resolve()}. Put a copy there, or delete it.")


def describe_contents(folder: Path, folders: bool = False) -> str:
    """What is in a folder, for an error that misses something there: "there is de, en".

    folders (bool): Name its folders alone.
    """
    paths = folder.iterdir() if folder.is_dir() else []
    names = sorted(path.name for path in paths if path.is_dir() or not folders)
    if names:
        return f"there is {', '.join(names[:20])}"
    return "there is none" if folders else "it is empty or missing"


def to_json(facts: Any) -> str:
    """Facts as JSON that people can read, too; the same ones always give the same text."""
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def sizes(path: Path) -> dict[str, int]:
    """The bytes of a file, or of each file in a folder, by its path."""
    paths = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {each.as_posix(): each.stat().st_size for each in paths if each.is_file()}


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class ArraySpool:
    """A list of arrays in a temporary file, for what grows with the corpus and is read once, in order."""

    def __enter__(self) -> ArraySpool:
        self._file = tempfile.TemporaryFile()
        self._n_arrays = 0
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def append(self, array: np.ndarray) -> None:
        """Write an array behind the others."""
        np.save(self._file, array, allow_pickle=False)
        self._n_arrays += 1

    def __iter__(self) -> Iterator[np.ndarray]:
        self._file.seek(0)
        for _ in range(self._n_arrays):
            yield np.load(self._file)
