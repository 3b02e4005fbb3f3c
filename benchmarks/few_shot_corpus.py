"""A corpus folder with a few labelled texts of the target, taken out of its dev set.

    python benchmarks/few_shot_corpus.py corpus/de corpus/few-shot --target-lang de --texts 50

Pipelines that learned from them and pipelines that did not are then scored on the same rest.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Annotated

import typer
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.files import atomic_folder


def main(
    corpus: Annotated[Path, typer.Argument(help="Folder of the converted corpus")],
    output: Annotated[Path, typer.Argument(help="Folder to write")],
    source_lang: Annotated[str, typer.Option(help="Language with labels")] = "en",
    target_lang: Annotated[str, typer.Option(help="Language without")] = "de",
    texts: Annotated[int, typer.Option(min=1, help="How many labelled texts")] = 50,
    seed: Annotated[int, typer.Option(help="They are drawn by")] = 0,
) -> None:
    """Draw labelled texts from the target's dev set."""
    docs = list(read_docs(corpus / target_lang / "dev.spacy", Vocab()))
    drawn = set(random.Random(seed).sample(range(len(docs)), texts))
    splits = {
        "labelled": [doc for i, doc in enumerate(docs) if i in drawn],
        "dev": [doc for i, doc in enumerate(docs) if i not in drawn],
    }
    with atomic_folder(output) as folder:
        for lang, names in ((source_lang, ("train", "dev")), (target_lang, ("train",))):
            (folder / lang).mkdir()
            for name in names:
                shutil.copyfile(corpus / lang / f"{name}.spacy", folder / lang / f"{name}.spacy")
        for name, chosen in splits.items():
            DocBin(docs=chosen).to_disk(folder / target_lang / f"{name}.spacy")
    print(", ".join(f"{len(chosen):,} {name}" for name, chosen in splits.items()))


if __name__ == "__main__":
    typer.run(main)
