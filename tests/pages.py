"""The pages of the documentation, and what stands in them between fences."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf8")
    for path in [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line of its page before which it begins."""

    language: str
    text: str
    line: int


@cache
def blocks(page: str, *languages: str) -> list[Block]:
    """Those of a page in one of these languages; "" is that of commands, whose fences name none."""
    fences = re.finditer(r"^```(\w*)\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)
    found = [Block(fence[1], fence[2], PAGES[page].count("\n", 0, fence.start(2))) for fence in fences]
    return [block for block in found if block.language in languages]


def run_python(page: str) -> None:
    """A page's blocks, one after the other, as one program."""
    names: dict[str, Any] = {}
    for block in blocks(page, "python"):
        exec(compile("\n" * block.line + block.text, page, "exec"), names)
