"""Columns (CoNLL and its relatives): one word a line, its tag in a column, a blank line between sentences."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ..errors import ProKDError
from .contents import Contents, Record, Words, read_lines

_TAG = re.compile(r"O|[A-Z]-.+")
_INDEX = re.compile(r"\d+([-.]\d+)?")
_LANGUAGE_PREFIX = re.compile(r"[a-z]{2,12}(-[a-z]{1,12})*:")
_CSV = re.compile(r"[^ ]+[,;]\"?(O|[A-Z]-[^,;]+)\"?")
_DOCUMENT = "-DOCSTART-"


class Layout(NamedTuple):
    """Where things stand in the lines of one file.

    separator (str): A tab, or a space (then any number of spaces).
    indexed (bool): Whether lines begin with the word's index. Then `#` begins a comment, and lines may go on
        after the tag: Universal NER adds the annotator to entities only, GermEval a column of inner entities.
    tag (int | None): The column of the tag; None without annotation.
    n_columns (int): How many columns a line has; at least so many if indexed.
    line (int): The line that was the model.
    """

    separator: str
    indexed: bool
    tag: int | None
    n_columns: int
    line: int


def read_columns(path: Path) -> Contents:
    """Read a file of columns: the word first and its tag last, or the word's index, the word and its tag.

    One column (two with an index) is text without annotation. `-DOCSTART-` lines are no sentences. WikiANN's
    language prefix (`de:Wort`) is taken off when all words of the file have the same one.

    path (Path): The file.
    RETURNS (Contents): One `Words` a sentence.
    RAISES (ProKDError): If the lines differ in their number of columns, or a word or tag is empty.
    """
    lines, warnings = read_lines(path)
    layout = _find_layout(path, lines)
    sentences: list[list[tuple[int, str, str | None]]] = [[]]
    for number, line in enumerate(lines, start=1):
        if _is_boundary(line):
            sentences.append([])
        elif not (layout.indexed and line.startswith("#")):
            row = _read_row(path, number, line, layout)
            if row is not None:
                sentences[-1].append((number, *row))
    records: list[Record] = []
    for sentence in filter(None, sentences):
        tags = [tag for _, _, tag in sentence if tag is not None]
        records.append(
            Words(
                words=[word for _, word, _ in sentence],
                tags=tags if layout.tag is not None else None,
                lines=[number for number, _, _ in sentence],
            )
        )
    _strip_language_prefix(records)
    return Contents(records, warnings)


def _is_boundary(line: str) -> bool:
    return not line.strip(" \t") or line.startswith(_DOCUMENT)


def _split(line: str, separator: str) -> list[str]:
    # Not str.split(): words may contain other white space, such as a no-break space.
    if separator == "\t":
        return [part.strip(" ") for part in line.split("\t")]
    return [part for part in line.split(" ") if part]


def _find_layout(path: Path, lines: list[str]) -> Layout:
    rows = [(number, line) for number, line in enumerate(lines, start=1) if not _is_boundary(line)]
    if not rows:
        raise ProKDError(f"{path} has no words, only blank and {_DOCUMENT} lines. Put sentences into it, or delete it.")
    separator = "\t" if any("\t" in line for _, line in rows[:100]) else " "
    words = [(number, _split(line, separator)) for number, line in rows if not line.startswith("#")]
    if words and _is_indexed([columns for _, columns in words]):
        tag = _find_tag_column([columns for _, columns in words])
        return Layout(separator, True, tag, 2 if tag is None else tag + 1, words[0][0])
    n_columns = len(_split(rows[0][1], separator))
    if n_columns == 1 and all(_CSV.fullmatch(line) for _, line in rows[1:100]) and len(rows) > 1:
        raise ProKDError(
            f"{path}:{rows[1][0]}: word and tag have no tab or space between them: {rows[1][1][:60]!r}. "
            f"Save the table with tabs instead of commas."
        )
    return Layout(separator, False, n_columns - 1 if n_columns > 1 else None, n_columns, rows[0][0])


def _is_indexed(rows: list[list[str]]) -> bool:
    """Words may be numbers too, so every line must begin with one, and the first with 0 or 1."""
    starts_low = len(rows[0]) > 1 and re.fullmatch(r"[01]([-.]\d+)?", rows[0][0]) is not None
    return starts_low and all(_INDEX.fullmatch(columns[0]) for columns in rows)


def _find_tag_column(rows: list[list[str]]) -> int | None:
    """Of the columns after index and word that the lines share: the one with most tags, the first among equals."""
    long_rows = [columns for columns in rows if len(columns) > 2]
    if not long_rows:
        return None
    candidates = range(2, min(map(len, long_rows)))
    return max(candidates, key=lambda column: sum(_TAG.fullmatch(columns[column]) is not None for columns in long_rows))


def _read_row(path: Path, number: int, line: str, layout: Layout) -> tuple[str, str | None] | None:
    """Give the word and tag of one line; None for what CoNLL-U has beside words (`1-2`, `3.1`)."""
    columns = _split(line, layout.separator)
    if len(columns) < layout.n_columns or (len(columns) > layout.n_columns and not layout.indexed):
        raise ProKDError(
            f"{path}:{number}: {len(columns)} column(s), line {layout.line} has {layout.n_columns}: {line[:60]!r}. "
            f"Every line needs the same columns, separated by {'tabs' if layout.separator == chr(9) else 'spaces'}. "
            f"Plain text, one text a line, belongs into a .txt file."
        )
    if layout.indexed and not columns[0].isdecimal():
        return None
    word = columns[1 if layout.indexed else 0]
    tag = None if layout.tag is None else columns[layout.tag]
    if not word or tag == "":
        missing = "tag" if tag == "" else "word"
        raise ProKDError(f"{path}:{number}: the {missing} is empty: {line[:80]!r}. Complete or delete the line.")
    return word, tag


def _strip_language_prefix(records: list[Record]) -> None:
    words = [word for record in records for word in record.words]
    match = _LANGUAGE_PREFIX.match(words[0])
    if match is None or not all(word.startswith(match[0]) and len(word) > len(match[0]) for word in words):
        return
    for record in records:
        record.words = [word[len(match[0]) :] for word in record.words]
