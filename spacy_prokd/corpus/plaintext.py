"""Plain text, one text a line: what a target language has in abundance."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import ProKDError
from ..wording import counted
from .contents import Contents, Text, read_lines

# What the lines of other formats look like, and the extension that has them read as such.
_OTHER_FORMATS = (
    (".jsonl", re.compile(r"\s*\{\s*\".*\}\s*")),
    (".tsv", re.compile(r"(\S+[ \t]+)+(O|[BIESLU]-\S+)\s*")),
)
_MARKUP = re.compile(r"</?[A-Za-z][\w:-]*(\s[^<>]*)?/?>|&(#\w+|[A-Za-z]+);")
MARKUP_TOLD = 0.01  # share of texts above which it is worth a warning


def read_plain_text(path: Path) -> Contents:
    """Read a .txt file; blank lines are skipped.

    path (Path): The file.
    RETURNS (Contents): One `Text` without annotation a line.
    RAISES (ProKDError): If the file is empty, not UTF-8 or in another format.
    """
    lines, warnings = read_lines(path)
    texts = [Text(line.strip(), None, number) for number, line in enumerate(lines, start=1) if line.strip()]
    _check_format(path, texts)
    return Contents(list(texts), [*warnings, *_warn_of_markup(path, texts)])


def _check_format(path: Path, texts: list[Text]) -> None:
    first = texts[:100]
    for extension, pattern in _OTHER_FORMATS:
        if len(first) > 1 and all(pattern.fullmatch(text.text) for text in first):
            raise ProKDError(
                f"{path}:{first[1].line}: {first[1].text[:60]!r} is no plain text. "
                f"Rename the file to {path.stem}{extension}, to have it read as what it is."
            )


def _warn_of_markup(path: Path, texts: list[Text]) -> list[str]:
    marked = [text for text in texts if _MARKUP.search(text.text)]
    if len(marked) <= MARKUP_TOLD * len(texts):
        return []
    return [
        f"has HTML in {counted(len(marked), 'line')} (first {path.name}:{marked[0].line}: {marked[0].text[:60]!r}), "
        f"which is read as words. Take it out."
    ]
