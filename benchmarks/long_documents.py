"""Does a document of fifty pages give what its paragraphs give?

python benchmarks/long_documents.py training/de/student/model-last corpus/de/de/dev.spacy
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from spacy.util import minibatch
from spacy.vocab import Vocab

from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.loading import load_pipeline

Place = tuple[int, int, str]  # start and end in characters, label


def main(
    pipeline: Annotated[Path, typer.Argument(help="Trained pipeline")],
    texts: Annotated[Path, typer.Argument(help=".spacy file; labels in it are not looked at")],
    words: Annotated[int, typer.Option(min=1, help="Of the document: fifty pages")] = 25_000,
    texts_a_paragraph: Annotated[int, typer.Option(min=1, help="Texts, mostly sentences")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object")] = False,
) -> None:
    """Compare the entities of paragraphs with those of the document that they make, with blank lines between them."""
    nlp = load_pipeline(pipeline)
    docs = list(read_docs(texts, Vocab()))
    paragraphs, n_words = [], 0
    for batch in minibatch(docs, texts_a_paragraph):
        if n_words >= words:
            break
        paragraphs.append(" ".join(doc.text.strip() for doc in batch))
        n_words += sum(map(len, batch))
    document = nlp("\n\n".join(paragraphs))
    expected: set[Place] = set()
    start = 0
    for paragraph in nlp.pipe(paragraphs):
        expected |= {(start + ent.start_char, start + ent.end_char, ent.label_) for ent in paragraph.ents}
        start += len(paragraph.text) + 2
    found = {(ent.start_char, ent.end_char, ent.label_) for ent in document.ents}
    same = len(found & expected) / max(1, len(found | expected))
    facts = {"paragraphs": len(paragraphs), "words": len(document), "entities": len(expected), "same": round(same, 4)}
    print(json.dumps(facts) if as_json else ", ".join(f"{name} {value:,}" for name, value in facts.items()))


if __name__ == "__main__":
    typer.run(main)
