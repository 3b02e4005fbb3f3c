"""What a conversion did, in numbers: a table for people, JSON for everything else."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

MAX_EXAMPLES = 5


@dataclass
class SplitReport:
    """The counts of one split.

    file (str): Where it came from, relative to the corpus folder.
    scheme (str | None): The tag scheme of the file; None if it has no tags.
    annotated (bool): Whether the Docs written have entity annotation.
    docs, words (int): What was written.
    median_words, longest (int): Words of a text.
    entities (dict[str, int]): Entities of each label, labels sorted, after the label map.
    repaired (int): Tags that broke the scheme's rules and were repaired.
    misaligned, overlapping (int): Spans left out because they end within a word, or share a word with a longer span.
    examples (list[str]): The first few of the spans left out, with file and line.
    warnings (list[str]): What else the user should hear.
    """

    file: str
    scheme: str | None = None
    annotated: bool = False
    docs: int = 0
    words: int = 0
    median_words: int = 0
    longest: int = 0
    entities: dict[str, int] = field(default_factory=Counter)
    repaired: int = 0
    misaligned: int = 0
    overlapping: int = 0
    examples: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class LanguageReport:
    """The counts of one language, by split."""

    lang: str
    splits: dict[str, SplitReport] = field(default_factory=dict)

    def to_json(self) -> str:
        """RETURNS (str): The report as JSON; the same input always gives the same text."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def __rich__(self) -> RenderableType:
        return _render([self])


@dataclass
class ConvertReport:
    """The counts of both languages."""

    source: LanguageReport
    target: LanguageReport

    def __rich__(self) -> RenderableType:
        return _render([self.source, self.target])


def _render(languages: list[LanguageReport]) -> RenderableType:
    table = Table("file", title="Corpus", title_justify="left")
    for column in ("docs", "words", "a text", "longest"):
        table.add_column(column, justify="right")
    table.add_column("entities")
    table.add_column("tags")
    for column in ("repaired", "misaligned", "overlapping"):
        table.add_column(column, justify="right")
    notes: list[Text] = []
    for language in languages:
        for split in language.splits.values():
            entities = ", ".join(f"{label} {count:,}" for label, count in split.entities.items())
            table.add_row(
                Text(split.file),
                f"{split.docs:,}",
                f"{split.words:,}",
                f"{split.median_words:,}",
                f"{split.longest:,}",
                Text(entities or ("none" if split.annotated else "not annotated")),
                split.scheme or "",
                f"{split.repaired:,}",
                f"{split.misaligned:,}",
                f"{split.overlapping:,}",
            )
            notes += [Text(f"{split.file}: {warning}", style="yellow") for warning in split.warnings]
            notes += [Text(f"left out {example}", style="yellow") for example in split.examples]
    return Group(table, *notes)
