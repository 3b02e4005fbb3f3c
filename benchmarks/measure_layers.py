"""What a student of fewer layers gains in speed and loses in F1; and whether bf16 costs anything."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import spacy
from machine import take_turns
from spacy.language import Language
from spacy.util import load_config

from spacy_prokd.architectures import encoder_nodes
from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.errors import ProKDError
from spacy_prokd.evaluation import evaluate


def measure_layers(pipelines: Sequence[Path], data: Path, *, sentences: int = 512, rounds: int = 5) -> dict[str, Any]:
    """Tagging speed and F1 of some students, side by side.

    pipelines (Sequence[Path]): Trained pipelines; others are compared with the first.
    data (Path): A labelled .spacy file to score on, whose first texts are tagged for speed.
    """
    loaded = [spacy.load(path) for path in pipelines]
    texts = [doc.text for doc in read_docs(data, loaded[0].vocab)][:sentences]
    words = sum(len(doc) for doc in loaded[0].tokenizer.pipe(texts))

    def tag(nlp: Language) -> int:
        return sum(len(doc.ents) for doc in nlp.pipe(texts))

    sides = {str(path): lambda nlp=nlp: tag(nlp) for path, nlp in zip(pipelines, loaded)}
    seconds = take_turns(sides, rounds, "tagging")
    speed = {name: words / statistics.median(timed) for name, timed in seconds.items()}
    with TemporaryDirectory() as temporary:
        f1 = {str(path): _f1(path, data, Path(temporary)) for path in pipelines}
    first = str(pipelines[0])
    return {
        "group": "layers",
        "sentences": len(texts),
        "rounds": rounds,
        "students": [
            {
                "layers": _count_layers(nlp),
                "words_per_second": round(speed[name], 1),
                "times_as_fast": round(speed[name] / speed[first], 3),
                "f1": f1[name]["auto"],
                "f1_lost": round(f1[first]["auto"] - f1[name]["auto"], 2),
                "f1_fp32": f1[name]["fp32"],
            }
            for name, nlp in zip(speed, loaded)
        ],
    }


def _count_layers(nlp: Language) -> int:
    nodes = encoder_nodes(nlp.get_pipe("prokd_ner").model)
    if not nodes:
        raise ProKDError("A pipeline has no spacy-prokd.TransformerEncoder.v1, whose layers are counted here.")
    return int(nodes[0].shims[0].module.transformer.config.num_hidden_layers)


def _f1(pipeline: Path, data: Path, folder: Path) -> dict[str, float]:
    """Entity F1 in percent, in the precision that the machine prefers and in fp32."""
    found = {}
    for precision in ("auto", "fp32"):
        copy = folder / precision
        shutil.copytree(pipeline, copy, dirs_exist_ok=True)
        config = load_config(copy / "config.cfg", interpolate=False)
        config["components"]["prokd_ner"]["model"]["tok2vec"]["precision"] = precision
        config.to_disk(copy / "config.cfg")
        found[precision] = round(100 * evaluate(copy, data, folder / f"{precision}.json")["ents_f"], 2)
    return found
