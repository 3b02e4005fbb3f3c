"""Measure spacy-prokd against its rivals: `python benchmarks/run.py GROUP [--json]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import transformers
import typer
from machine import describe_machine
from measure_gpu import measure_gpu
from measure_layers import measure_layers
from measure_memory import measure_memory
from measure_profile import measure_profile
from measure_scaling import measure_scaling
from measure_size import measure_size
from measure_startup import measure_startup
from measure_tagging import measure_tagging
from measure_training import measure_training
from rich.console import Console
from rich.table import Table

from spacy_prokd.errors import ProKDError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Measure spacy-prokd against its rivals.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table")]
Encoder = Annotated[Path, typer.Option(help="Hugging Face folder")]
Corpus = Annotated[Path, typer.Option(help="Folder with <lang>/train.<ext>, as it came or converted")]
Source = Annotated[str, typer.Option(help="Language of the teacher's texts")]
Target = Annotated[str, typer.Option(help="Language of the student's texts and of those to tag")]
Sentences = Annotated[int, typer.Option(min=1, help="Texts in a round")]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds that count; one before them warms up")]

ENCODER = Path("encoders/multilingual-e5-small")
CORPUS = Path("assets/sample")


@app.command()
def training(
    encoder: Encoder = ENCODER,
    corpus: Corpus = CORPUS,
    source_lang: Source = "en",
    target_lang: Target = "de",
    sentences: Sentences = 512,
    rounds: Rounds = 5,
    as_json: AsJson = False,
) -> None:
    """Training steps of teacher and student, against a hand-written PyTorch loop that does the same work."""
    _measure(
        lambda: measure_training(
            encoder, corpus, source_lang=source_lang, target_lang=target_lang, sentences=sentences, rounds=rounds
        ),
        as_json,
    )


@app.command()
def tagging(
    encoder: Encoder = ENCODER,
    corpus: Corpus = CORPUS,
    target_lang: Target = "de",
    sentences: Sentences = 512,
    rounds: Rounds = 5,
    as_json: AsJson = False,
) -> None:
    """`nlp.pipe` over raw texts, against spacy-transformers and spaCy's ner with the same encoder."""
    _measure(
        lambda: measure_tagging(encoder, corpus, target_lang=target_lang, sentences=sentences, rounds=rounds), as_json
    )


@app.command()
def size(
    pipeline: Annotated[Path, typer.Option(help="Trained pipeline")] = Path("training/de/student/model-last"),
    texts: Annotated[Path, typer.Option(help="Text whose pieces are kept")] = Path("corpus/de/de/train.spacy"),
    data: Annotated[list[Path], typer.Option(help="Labelled .spacy file to score on; can be repeated")] = [  # noqa: B006
        Path("corpus/de/de/dev.spacy")
    ],
    vocabulary_size: Annotated[int, typer.Option(min=1, help="Pieces to keep")] = 120_000,
    rounds: Rounds = 5,
    as_json: AsJson = False,
) -> None:
    """Bytes, load time and F1 of a package with fewer pieces in half precision, against the whole pipeline."""
    _measure(
        lambda: measure_size(pipeline, texts, data, vocabulary_size=vocabulary_size, rounds=rounds),
        as_json,
    )


@app.command()
def layers(
    pipelines: Annotated[list[Path], typer.Argument(help="Trained students; others are compared with the first")],
    data: Annotated[Path, typer.Option(help="Labelled .spacy file")] = Path("corpus/de/de/dev.spacy"),
    sentences: Sentences = 512,
    rounds: Rounds = 5,
    as_json: AsJson = False,
) -> None:
    """Speed and F1 of students with fewer layers, and F1 in fp32."""
    _measure(lambda: measure_layers(pipelines, data, sentences=sentences, rounds=rounds), as_json)


@app.command()
def startup(rounds: Rounds = 5, as_json: AsJson = False) -> None:
    """Import time beyond spaCy, and the command line's help."""
    _measure(lambda: measure_startup(rounds), as_json)


@app.command()
def profile(
    encoder: Encoder = ENCODER,
    corpus: Corpus = CORPUS,
    role: Annotated[str, typer.Option(help="teacher or student")] = "student",
    lang: Target = "de",
    sentences: Sentences = 192,
    as_json: AsJson = False,
) -> None:
    """Where a training step's time goes, with nothing padded and with padded batches of Hugging Face's modules."""
    _measure(lambda: measure_profile(encoder, corpus, role=role, lang=lang, sentences=sentences), as_json)


@app.command()
def memory(
    encoder: Encoder = ENCODER,
    corpus: Corpus = CORPUS,
    target_lang: Target = "de",
    sentences: Annotated[int, typer.Option(min=40, help="Texts to tag")] = 200_000,
    characters: Annotated[int, typer.Option(min=1, help="Length of the long text")] = 1_000_000,
    training_sentences: Annotated[int, typer.Option(min=1, help="Texts to train on; ten times as many too")] = 2_000,
    as_json: AsJson = False,
) -> None:
    """Resident memory while tagging, and the highest of training, against the hand-written loop."""
    _measure(
        lambda: measure_memory(
            encoder,
            corpus,
            target_lang=target_lang,
            sentences=sentences,
            characters=characters,
            training_sentences=training_sentences,
        ),
        as_json,
    )


@app.command()
def scaling(
    encoder: Encoder = ENCODER,
    corpus: Corpus = CORPUS,
    target_lang: Target = "de",
    sentences: Sentences = 512,
    longest: Annotated[int, typer.Option(min=10, help="Words of the longest text")] = 100_000,
    largest: Annotated[int, typer.Option(min=1000, help="Texts of the largest corpus")] = 1_000_000,
    rounds: Rounds = 3,
    as_json: AsJson = False,
) -> None:
    """How tagging's words a second depend on text length, batch size, corpus size, threads and processes."""
    _measure(
        lambda: measure_scaling(
            encoder,
            corpus,
            target_lang=target_lang,
            sentences=sentences,
            longest=longest,
            largest=largest,
            rounds=rounds,
        ),
        as_json,
    )


@app.command()
def gpu(
    encoder: Encoder = ENCODER,
    corpus: Corpus = CORPUS,
    source_lang: Source = "en",
    target_lang: Target = "de",
    sentences: Sentences = 1024,
    rounds: Rounds = 3,
    max_batch_pieces: Annotated[int, typer.Option(min=128, help="Pieces of a micro-batch, on both sides")] = 16_384,
    gpu_id: Annotated[int, typer.Option(help="The card; -1 for the CPU")] = 0,
    as_json: AsJson = False,
) -> None:
    """Tagging and training on a GPU, against the hand-written loops on the same card."""
    _measure(
        lambda: measure_gpu(
            encoder,
            corpus,
            source_lang=source_lang,
            target_lang=target_lang,
            sentences=sentences,
            rounds=rounds,
            max_batch_pieces=max_batch_pieces,
            gpu_id=gpu_id,
        ),
        as_json,
    )


def _measure(measure: Callable[[], dict[str, Any]], as_json: bool) -> None:
    transformers.logging.set_verbosity_error()  # that a pooling layer has no weights is nobody's concern here
    try:
        result = measure()
    except ProKDError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    result["machine"] = describe_machine()
    if as_json:
        json.dump(result, sys.stdout, indent=2)
        typer.echo()
    else:
        Console().print(_table(result))


def _table(result: dict[str, Any]) -> Table:
    table = Table(title=result["group"], show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for key, value in {**result, **result["machine"]}.items():
        if key not in ("group", "machine"):
            table.add_row(key.replace("_", " "), _cell(value))
    return table


def _cell(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "\n\n".join(map(_cell, value))
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_cell(each)}" for name, each in value.items())
    if isinstance(value, list):
        return " ".join(map(_cell, value))
    return f"{value:,}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    app()
