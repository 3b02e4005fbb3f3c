"""What a format reader gives back, and how text files are opened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ProKDError
from ..wording import counted
from .encodings import HINTS, guess_encoding, is_iso_2022_jp

# What UTF-8 looks like after it was read as Latin-1 or Windows-1252 and saved again (`Ã¼`), or after a lossy decoding.
_MOJIBAKE = re.compile(
    "Ã[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u2013-\u203a€™]|Â[\u00a0-\u00bf]|â€|\ufffd"
)
_LINE_END = re.compile(r"\r*\n|\r")  # \r alone: of spreadsheets; before \r\n: of files that were converted twice


@dataclass
class Words:
    """A sentence that comes in words.

    words (list[str]): The words, none empty.
    tags (list[str] | None): One tag a word in the file's own scheme; None without annotation.
    lines (Sequence[int]): The line of each word, counted from 1.
    spaces (list[bool] | None): Whether a space follows each word; None if the file does not say.
    """

    words: list[str]
    tags: list[str] | None
    lines: Sequence[int]
    spaces: list[bool] | None = None


@dataclass
class Text:
    """A text that the pipeline's tokenizer will split.

    text (str): The text.
    spans (list[tuple[int, int, str]] | None): Start and end in characters, and label; None without annotation.
    line (int): The line it stands on, counted from 1.
    """

    text: str
    spans: list[tuple[int, int, str]] | None
    line: int

    @property
    def lines(self) -> Sequence[int]:
        """The line as `Words` has it."""
        return (self.line,)


Record = Words | Text


@dataclass
class Contents:
    """Everything in one file: its records in order, and what its user should hear about it."""

    records: list[Record]
    warnings: list[str] = field(default_factory=list)


def is_annotated(record: Record) -> bool:
    """Whether a record has tags or spans, if only to say that there is no entity."""
    return (record.tags if isinstance(record, Words) else record.spans) is not None


def has_annotation(contents: Contents) -> bool:
    """Whether any record of a file has."""
    return any(map(is_annotated, contents.records))


def read_lines(path: Path) -> tuple[list[str], list[str]]:
    r"""Read a UTF-8 text file (with or without a byte order mark) in lines that end with \n, \r\n or \r.

    path (Path): The file.
    RETURNS (tuple[list[str], list[str]]): The lines without their ends, and warnings (mis-decoded text).
    RAISES (ProKDError): If the file is empty, not UTF-8 or no text.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProKDError(
            f"{path}:{_line_of(raw, error.start)}: byte {error.start} (0x{raw[error.start]:02x}) is not UTF-8. "
            f"Convert the file, for example {_conversion(path, raw)}"
        ) from None
    if "\0" in text:
        raise ProKDError(
            f"{path}:{_line_of(raw, raw.index(0))}: there are zero bytes, as no text has them. "
            f"Convert the file, for example {_conversion(path, raw)}"
        )
    if is_iso_2022_jp(raw):
        raise ProKDError(
            f"{path}:{_line_of(raw, raw.index(27))}: there are escape characters, as no text has them. "
            f"Convert the file, for example {_conversion(path, raw)}"
        )
    if not text.strip():
        raise ProKDError(f"{path} is empty. Put text into it, or delete it if this split is not wanted.")
    # Not splitlines(): a word may be or contain U+0085, U+2028 and the like.
    lines = _LINE_END.split(text)
    return lines, _warn_of_mojibake(path, lines)


def _line_of(raw: bytes, position: int) -> int:
    return raw.count(b"\n", 0, position) + 1


def _conversion(path: Path, raw: bytes) -> str:
    guess = guess_encoding(raw)
    return f"with `iconv -f {guess} -t UTF-8 {path.name} > utf8{path.suffix}` if it is {guess}{HINTS.get(guess, '.')}"


def _warn_of_mojibake(path: Path, lines: list[str]) -> list[str]:
    suspects = [number for number, line in enumerate(lines, start=1) if _MOJIBAKE.search(line)]
    if not suspects:
        return []
    number, found = suspects[0], counted(len(suspects), "mis-decoded line")
    return [
        f"seems to have {found} (first {path.name}:{number}: {lines[number - 1][:60]!r}): "
        f"UTF-8 that was read as Latin-1, or lost characters. Convert the original file again."
    ]
