"""Table 5 of the paper: words that the two languages label differently, before and after self-training.

A word is one of those if most of its places in the source's training text have one tag and most in the target's dev set
another. Gold labels of the target choose them for this table alone.

    python benchmarks/label_preferences.py corpus/es distilled.spacy student.spacy

The files are what `spacy-prokd evaluate --tagged` writes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.mistakes import found_of
from spacy_prokd.preferences import count_tags, find_different, preferred, word_tags


def accuracy(gold: Iterable[Doc], tagged: Iterable[Doc], words: Iterable[str]) -> dict[str, float]:
    """The share of each word's places whose tag is right."""
    wanted = set(words)
    right: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for doc, found in zip(gold, tagged, strict=True):
        for (word, tag), (_word, said) in zip(*(word_tags(each, found_of(each)) for each in (doc, found))):
            if word in wanted:
                places[word] += 1
                right[word] += tag == said
    return {word: right[word] / places[word] for word in wanted}


def main(
    corpus: Annotated[Path, typer.Argument(help="Converted corpus: <source>/train.spacy and <target>/dev.spacy")],
    tagged: Annotated[list[Path], typer.Argument(help="The target's dev set as each pipeline tags it")],
    source_lang: str = "en",
    target_lang: str = "es",
    fewest: Annotated[int, typer.Option(min=1, help="Places of a word in each language")] = 5,
    shown: Annotated[int, typer.Option(min=0, help="Words to show, the most frequent")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object")] = False,
) -> None:
    """Compare pipelines on words with another preferred tag in the target language."""
    gold = list(read_docs(corpus / target_lang / "dev.spacy", Vocab()))
    source = count_tags(read_docs(corpus / source_lang / "train.spacy", Vocab()))
    target = count_tags(gold)
    words = find_different(source, target, fewest)
    accuracies = [accuracy(gold, read_docs(path, Vocab()), words) for path in tagged]
    rows: list[dict[str, Any]] = [
        {
            "word": word,
            "places": target[word].total(),
            "source": preferred(source[word]),
            "target": preferred(target[word]),
            "right": [found[word] for found in accuracies],
        }
        for word in words
    ]
    # over words, not places: "der" is a name in Dutch news and an article everywhere else
    together = [sum(found.values()) / max(1, len(words)) for found in accuracies]
    if as_json:
        print(json.dumps({"words": len(words), "right": together, "rows": rows}))
        return
    table = Table("word", "places", source_lang, target_lang, *(path.stem for path in tagged))
    for row in rows[:shown]:
        told = [f"{tag} {share:.0%}" for tag, share in (row["source"], row["target"])]
        table.add_row(row["word"], str(row["places"]), *told, *(f"{share:.0%}" for share in row["right"]))
    table.add_section()
    table.add_row(f"mean of {len(words)} words", "", "", "", *(f"{share:.1%}" for share in together))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
