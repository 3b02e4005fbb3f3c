"""Does a document of fifty pages give what its paragraphs give?

python benchmarks/long_documents.py training/de/student/model-last corpus/de/de/dev.spacy
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch
from spacy.vocab import Vocab

from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.loading import load_pipeline

SEPARATORS = {"blank lines": "\n\n", "newlines": "\n"}
Place = tuple[int, int, str]  # start and end in characters, label


def main(
    pipeline: Annotated[Path, typer.Argument(help="Trained pipeline")],
    texts: Annotated[Path, typer.Argument(help=".spacy file; labels in it are not looked at")],
    words: Annotated[int, typer.Option(min=1, help="Of the document: fifty pages")] = 25_000,
    texts_a_paragraph: Annotated[int, typer.Option(min=1, help="Texts, mostly sentences")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object")] = False,
) -> None:
    """Compare the entities of paragraphs with those of the document that they make, by what stands between them."""
    nlp = load_pipeline(pipeline)
    docs = list(read_docs(texts, Vocab()))
    paragraphs, n_words = [], 0
    for batch in minibatch(docs, texts_a_paragraph):
        if n_words >= words:
            break
        paragraphs.append(" ".join(doc.text.strip() for doc in batch))
        n_words += sum(map(len, batch))
    alone = list(nlp.pipe(paragraphs))
    facts = {"paragraphs": len(alone), "words": sum(map(len, alone)), "entities": sum(len(doc.ents) for doc in alone)}
    shares = {name: round(share_of_same(nlp, alone, separator), 4) for name, separator in SEPARATORS.items()}
    if as_json:
        print(json.dumps({**facts, "same": shares}))
    else:
        print(", ".join(f"{name} {value:,}" for name, value in facts.items()))
        print("the same with", ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))


def share_of_same(nlp: Language, paragraphs: list[Doc], separator: str) -> float:
    """Of the entities found in paragraphs or in the document that they make, the share of those found in both."""
    expected: set[Place] = set()
    start = 0
    for paragraph in paragraphs:
        expected |= {(start + ent.start_char, start + ent.end_char, ent.label_) for ent in paragraph.ents}
        start += len(paragraph.text) + len(separator)
    document = nlp(separator.join(paragraph.text for paragraph in paragraphs))
    found = {(ent.start_char, ent.end_char, ent.label_) for ent in document.ents}
    return len(found & expected) / max(1, len(found | expected))


if __name__ == "__main__":
    typer.run(main)
