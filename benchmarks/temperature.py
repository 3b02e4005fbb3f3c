"""What a temperature from the source's dev set does to scores in the target language, and what one of its own would do.

    python benchmarks/temperature.py training/de/student/model-last corpus/de --target-lang de

Labels of the target are looked at for this table alone.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from spacy_prokd.calibration import calibration, fit_temperature, tag_and_collect
from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.decoding import soften
from spacy_prokd.loading import load_pipeline


def main(
    pipeline: Annotated[Path, typer.Argument(help="Trained pipeline")],
    corpus: Annotated[Path, typer.Argument(help="Folder of the converted corpus")],
    source_lang: Annotated[str, typer.Option(help="Language with labels")] = "en",
    target_lang: Annotated[str, typer.Option(help="Language without")] = "de",
    source_texts: Annotated[int, typer.Option(help="Of the source's dev set, as many as in the configs")] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object")] = False,
) -> None:
    """Measure the expected calibration error with three temperatures."""
    nlp = load_pipeline(pipeline)
    nlp.get_pipe("prokd_ner").cfg["temperature"] = 1.0
    source, target = (
        tag_and_collect(nlp, list(islice(read_docs(corpus / lang / "dev.spacy", nlp.vocab), most)))
        for lang, most in ((source_lang, source_texts), (target_lang, None))
    )
    rows = {}
    for name, temperature in {
        "none": 1.0,
        f"of {source_lang}": fit_temperature(*source),
        f"of {target_lang}": fit_temperature(*target),
    }.items():
        errors = (calibration(soften(scores, temperature), right)["ece"] for scores, right in (source, target))
        rows[name] = {"temperature": temperature, **dict(zip((source_lang, target_lang), errors))}
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("temperature", "", f"{source_lang} dev, points off", f"{target_lang} dev, points off")
    for name, row in rows.items():
        table.add_row(
            name, f"{row['temperature']:.2f}", *(f"{100 * row[lang]:.1f}" for lang in (source_lang, target_lang))
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
