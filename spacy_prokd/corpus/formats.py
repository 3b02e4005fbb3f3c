"""The registry of formats: which reader opens which file. A new format is a new module and a line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import ProKDError
from .columns import read_columns
from .contents import Contents
from .docbins import read_docbin
from .jsonlines import read_json_lines
from .plaintext import read_plain_text

FORMATS: dict[str, Callable[[Path], Contents]] = {
    ".tsv": read_columns,
    ".conll": read_columns,
    ".iob": read_columns,
    ".iob2": read_columns,
    ".bio": read_columns,
    ".jsonl": read_json_lines,
    ".txt": read_plain_text,
    ".spacy": read_docbin,
}


def read_file(path: Path) -> Contents:
    """Read a file with the reader of its extension.

    path (Path): A file whose extension is in `FORMATS`.
    RETURNS (Contents): Its records.
    RAISES (ProKDError): If the file is malformed.
    """
    return FORMATS[path.suffix.lower()](path)


def check_format(path: Path) -> None:
    """See that a file can be read, by its name.

    RAISES (ProKDError): If its extension is none of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise _unknown_format(path)


def find_split(folder: Path, split: str) -> Path | None:
    """Find the one file of a split, whatever its format.

    folder (Path): The folder of one language.
    split (str): `train`, `dev` or `test`.
    RETURNS (Path | None): The file; None if there is none.
    RAISES (ProKDError): If there are two, or only one in an unknown format.
    """
    named = sorted(path for path in folder.iterdir() if path.is_file() and path.name.split(".")[0] == split)
    known = [path for path in named if path.stem == split and path.suffix.lower() in FORMATS]
    if len(known) > 1:
        raise ProKDError(f"{folder} has two files for '{split}': {', '.join(path.name for path in known)}. Keep one.")
    if named and not known:
        raise _unknown_format(named[0])
    return known[0] if known else None


def _unknown_format(path: Path) -> ProKDError:
    return ProKDError(
        f"{path} is in an unknown format. Known are {', '.join(FORMATS)}: convert it to one of them, or rename it "
        "if it is one already."
    )
