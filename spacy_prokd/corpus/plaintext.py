"""Plain text, one text a line: what a target language has in abundance."""

from __future__ import annotations

from pathlib import Path

from .contents import Contents, Text, read_lines


def read_plain_text(path: Path) -> Contents:
    """Read a .txt file; blank lines are skipped.

    path (Path): The file.
    RETURNS (Contents): One `Text` without annotation a line.
    RAISES (ProKDError): If the file is empty or not UTF-8.
    """
    lines, warnings = read_lines(path)
    texts = [Text(line.strip(), None, number) for number, line in enumerate(lines, start=1) if line.strip()]
    return Contents(list(texts), warnings)
