"""Table 1 of the paper: sentences and entities of each language and split.

Run it as `python benchmarks/corpus_statistics.py ../shared/data/conll ../shared/data/wikiann`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import spacy
import typer
from rich.console import Console
from rich.table import Table
from texts import read_split

from spacy_prokd.corpus.formats import find_split
from spacy_prokd.progress import progress_bar

SPLITS = ("train", "dev", "test")


def count(folder: Path, lang: str, split: str) -> dict[str, int | None]:
    """Sentences, and entities if there are labels."""
    docs = read_split(folder, lang, split, spacy.blank("xx"))
    labelled = any(doc.has_annotation("ENT_IOB") for doc in docs)
    return {"sentences": len(docs), "entities": sum(len(doc.ents) for doc in docs) if labelled else None}


def main(
    corpora: Annotated[list[Path], typer.Argument(help="Corpus folders: <lang>/{train,dev,test}.<ext>")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object")] = False,
) -> None:
    """Count sentences and entities."""
    files = [
        (corpus, folder.name, split)
        for corpus in corpora
        for folder in sorted(path for path in corpus.iterdir() if path.is_dir())
        for split in SPLITS
        if find_split(folder, split)
    ]
    with progress_bar() as progress:
        rows = [
            {"corpus": corpus.name, "language": lang, "split": split, **count(corpus, lang, split)}
            for corpus, lang, split in progress.track(files, description="Counting")
        ]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("corpus", "language", "split", "sentences", "entities")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else cell or "no labels" for cell in row.values()))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
