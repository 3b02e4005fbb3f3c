"""What a pipeline finds in texts, as JSON Lines for people to correct: what it is least sure of comes first."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span

from .corpus.docs import DocMaker
from .corpus.formats import check_format, read_file
from .corpus.report import SplitReport
from .errors import ProKDError
from .files import atomic_file
from .loading import load_pipeline
from .progress import progress_bar


def annotate(pipeline: str | Path, texts: Path, output: Path, most: int = 0) -> int:
    """Tag texts and write them as Prodigy reads them; `init --target-labelled` takes the corrected file.

    pipeline (str | Path): A saved pipeline's folder, or the name of an installed one.
    texts (Path): A file of any format that `convert` reads; labels in it are not looked at.
    output (Path): The .jsonl file to write; it appears whole or not at all.
    most (int): How many texts to write; all if 0.
    RETURNS (int): How many were written.
    RAISES (ProKDError): If pipeline or texts cannot be read, or the output is no .jsonl file or is there
        already.
    """
    if output.suffix.lower() != ".jsonl":
        raise ProKDError(f"{output} must end in .jsonl: what is written is a JSON object a line.")
    if output.is_file():
        raise ProKDError(f"{output} is there already, with corrections perhaps. Name another file, or delete it.")
    if not texts.is_file():
        raise ProKDError(f"There is no file {texts}.")
    check_format(texts)
    nlp = load_pipeline(pipeline)
    docs = sorted(_tag(nlp, texts), key=sureness)
    with atomic_file(output) as temporary, temporary.open("w", encoding="utf8") as lines:
        for doc in islice(docs, most or None):
            print(json.dumps(to_record(doc), ensure_ascii=False), file=lines)
    return min(most or len(docs), len(docs))


def _tag(nlp: Language, texts: Path) -> list[Doc]:
    maker = DocMaker(
        nlp, texts, read_file(texts), label_map={}, drop_annotation=True, report=SplitReport(file=texts.name)
    )
    with progress_bar() as progress:
        docs = nlp.pipe(map(maker.make, maker.records))
        return list(progress.track(docs, total=len(maker.records), description=f"Tagging {texts.name}"))


def sureness(doc: Doc) -> float:
    """The lowest score of an entity; texts without any come last."""
    return min((_score(ent) for ent in doc.ents), default=1.0)


def to_record(doc: Doc) -> dict[str, Any]:
    """A tagged Doc as Prodigy has it, with the score of each entity and the lowest of them."""
    return {
        "text": doc.text,
        "tokens": [
            {
                "text": word.text,
                "start": word.idx,
                "end": word.idx + len(word),
                "id": word.i,
                "ws": bool(word.whitespace_),
            }
            for word in doc
        ],
        "spans": [
            {
                "start": ent.start_char,
                "end": ent.end_char,
                "token_start": ent.start,
                "token_end": ent.end - 1,
                "label": ent.label_,
                "score": round(_score(ent), 4),
            }
            for ent in doc.ents
        ],
        "meta": {"score": round(sureness(doc), 4)},
    }


def _score(ent: Span) -> float:
    """1 for entities of components that give none, such as a ruler's."""
    return 1.0 if ent._.score is None else ent._.score
