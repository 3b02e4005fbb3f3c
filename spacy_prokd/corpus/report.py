"""What a conversion did, in numbers, which people see as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

MAX_EXAMPLES = 5


@dataclass
class SplitReport:
    """The counts of one split.

    file (str): Where it came from, relative to the corpus folder.
    origin (str): The name of the file, or the data set of the hub, that this file was made of by `init`; else its own.
    scheme (str | None): The tag scheme of the file; None if it has no tags.
    annotated (bool): Whether the Docs written have entity annotation.
    docs, words (int): What was written.
    median_words, longest (int): Words of a text.
    entities (dict[str, int]): Entities of each label, labels sorted, after the label map.
    repeated (int): Texts that are the same as an earlier one, word for word.
    repaired (int): Tags that broke the scheme's rules and were repaired.
    misaligned, overlapping (int): Spans left out because they start or end within a word or are not in the text, or
        share a word with a longer or an earlier span.
    examples (list[str]): The first few of the spans left out, with file and line.
    warnings (list[str]): What else the user should hear.
    """

    file: str
    origin: str = ""
    scheme: str | None = None
    annotated: bool = False
    docs: int = 0
    words: int = 0
    median_words: int = 0
    longest: int = 0
    entities: dict[str, int] = field(default_factory=Counter)
    repeated: int = 0
    repaired: int = 0
    misaligned: int = 0
    overlapping: int = 0
    examples: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class LanguageReport:
    """The counts of one language, by split, and the licence that its corpus folder has."""

    lang: str
    splits: dict[str, SplitReport] = field(default_factory=dict)
    licence: str = ""

    def __rich__(self) -> RenderableType:
        return _render([self])


@dataclass
class ConvertReport:
    """The counts of the source and of each target language."""

    source: LanguageReport
    targets: list[LanguageReport]

    def __rich__(self) -> RenderableType:
        return _render([self.source, *self.targets])


def _render(languages: list[LanguageReport]) -> RenderableType:
    named = [(name, split) for language in languages for name, split in language.splits.items()]
    splits = [split for _name, split in named]
    # held out of another split's file
    names = [split.file if f"/{name}." in split.file else f"{split.file} ({name})" for name, split in named]
    notes = [
        Text(note, style="yellow")
        for split in splits
        for note in (
            *(f"{split.file}: {warning}" for warning in split.warnings),
            *(f"left out {example}" for example in split.examples),
        )
    ]
    return Group(_render_texts(dict(zip(names, splits))), _render_entities(dict(zip(names, splits))), *notes)


def _render_texts(splits: dict[str, SplitReport]) -> Table:
    """What there is; what is repeated, was repaired or left out has a column only if anything was."""
    columns: dict[str, Callable[[SplitReport], str]] = {
        "texts": lambda split: f"{split.docs:,}",
        "words": lambda split: f"{split.words:,}",
        "median": lambda split: f"{split.median_words:,}",
        "longest": lambda split: f"{split.longest:,}",
        "tags": lambda split: split.scheme or ("spans" if split.annotated else "not annotated"),
        **{
            name: (lambda split, name=name: f"{getattr(split, name):,}")
            for name in ("repeated", "repaired", "misaligned", "overlapping")
            if any(getattr(split, name) for split in splits.values())
        },
    }
    table = _table("Texts")
    table.add_column("file", overflow="fold")  # where there is little room, names are broken and numbers are not
    for name in columns:
        is_text = name == "tags"
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for name, split in splits.items():
        table.add_row(Text(name), *(cell(split) for cell in columns.values()))
    return table


def _render_entities(splits: dict[str, SplitReport]) -> Table:
    """A row for each label: there may be many."""
    annotated = {name: split for name, split in splits.items() if split.annotated}
    table = _table("Entities")
    table.add_column("label", overflow="fold")
    for name in annotated:
        table.add_column(Text(name), justify="right", overflow="fold")
    for label in sorted({label for split in annotated.values() for label in split.entities}):
        table.add_row(Text(label), *(f"{split.entities.get(label, 0):,}" for split in annotated.values()))
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
