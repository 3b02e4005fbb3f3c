"""How a command ends that went well: with words and tables for people, or with one JSON object for machines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def show(facts: Mapping[str, Any], as_json: bool, *said: RenderableType) -> None:
    """Print what a command did; nothing else of it goes to stdout.

    facts (Mapping[str, Any]): What machines want to know.
    as_json (bool): Whether to print just these.
    said (RenderableType): What people read; lines of text are not broken, so that paths and commands can be copied.
    """
    from rich.console import Console

    from .files import to_json

    if as_json:
        typer.echo(to_json(facts), nl=False)
        return
    for each in said:
        if isinstance(each, str):
            typer.echo(each)
        else:
            Console().print(each)


def written(output: Path) -> dict[str, Any]:
    """What a step wrote, as facts for machines: `output`, and in `files` the bytes of each file."""
    from .files import sizes

    return {"output": output.as_posix(), "files": sizes(output)}


def size_table(sizes: Mapping[str, int]) -> Table:
    """The bytes of files."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("bytes", justify="right", no_wrap=True)
    for name, size in sizes.items():
        table.add_row(Text(name), f"{size:,}")
    return table
