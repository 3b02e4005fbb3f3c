"""Memory of tagging and of training, each in a process of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import spacy
from hand_loop import read_tokenizer
from machine import progress_bar
from measure_scaling import SHORT
from measure_tagging import CONFIGS, HALF, LABELS, make_ours, read_config
from measure_training import loop_settings
from spacy.tokens import Doc, DocBin
from texts import fitting, read_train_docs

from spacy_prokd.corpus.readers import copy_words
from spacy_prokd.shrinking import shrink
from spacy_prokd.soft_labels import set_soft_labels

SIDES = Path(__file__).parent / "memory_sides.py"
REPORTS = 40
STEPS = 30
VOCABULARY_SIZE = 120_000  # what `package` keeps
ROOM = 32  # pieces for two words more
# Both corpora get batches of the same size and fill the buffers of reader and batcher, which are all that is held.
STREAMING = {
    "training.max_epochs": -1,
    "corpora.train.shuffle": 500,
    "training.batcher.smallest": 32,
    "training.batcher.min_steps": 30,
    "initialize.components.prokd_ner.epochs": 4,
    "training.optimizer.learn_rate.epochs": 4,
}


class Memory(NamedTuple):
    """Resident memory of a process in MB: its highest, and what it printed on the way."""

    peak: float
    reported: list[float]


# A process counts as its own what its parent had when it was started, so this one lies between: it has next to nothing.
_LAUNCH = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak * (1 if sys.platform == "darwin" else 1024) / 1e6)
sys.exit(code)
"""


def run(command: Sequence[str]) -> Memory:
    """Run a command to its end.

    RAISES (CalledProcessError): If it fails.
    """
    environment = {**os.environ, "NO_COLOR": "1"}
    launched = [sys.executable, "-c", _LAUNCH, *command]
    output = subprocess.run(launched, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    numbers = [float(line) for line in output.splitlines() if line.replace(".", "").isdigit()]
    return Memory(numbers[-1], numbers[:-1])


def run_side(side: str, **settings: Any) -> Memory:
    """Run a function of memory_sides.py."""
    return run([sys.executable, str(SIDES), side, json.dumps(settings)])


def train_student(
    folder: Path, encoder: Path, soft: Path, overrides: dict[str, Any], streaming: bool = False
) -> Memory:
    """Memory of `spacy train` with the student's config, self-training from the start."""
    paths = {"train": soft, "labels": soft / "labels.json", "dev": folder / "dev.spacy", "teacher": folder / "pipeline"}
    settings = {
        "paths.encoder": encoder,
        **{f"paths.{name}": path for name, path in paths.items()},
        **{f"components.prokd_ner.model.tok2vec.{name}": value for name, value in overrides.items()},
        "components.prokd_ner.objective.alpha": 0.5,
        "initialize.components.prokd_ner.layers": "null",  # as many as the loop by hand has
        "training.max_steps": STEPS,
        **(STREAMING if streaming else {}),
    }
    given = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    return run([sys.executable, "-m", "spacy", "train", str(CONFIGS / "student.cfg"), *given])


def write_soft(docs: Sequence[Doc], folder: Path) -> Path:
    """Soft labels as the label step writes them; all are O, which costs what any others cost."""
    folder.mkdir()
    p = np.full((1, 1 + 2 * len(LABELS)), 0.01, dtype=np.float32)
    p[0, 0] = 1.0 - p[0, 1:].sum()
    for start in range(0, len(docs), 2000):
        shard = DocBin(attrs=["ORTH", "SPACY"], store_user_data=True)
        for doc in docs[start : start + 2000]:
            plain = copy_words(doc)
            set_soft_labels(plain, np.repeat(p, len(doc), axis=0))
            shard.add(plain)
        shard.to_disk(folder / f"{start:09d}.spacy")
    (folder / "labels.json").write_text(json.dumps(LABELS), encoding="utf8")
    return folder


def tell_apart(docs: Sequence[Doc], n: int) -> list[Doc]:
    """n texts from fewer: each ends in two words that no other ends in, and none is a new one."""
    words = list(dict.fromkeys(token.text for doc in docs for token in doc))
    size = math.isqrt(n) + 1
    if len(words) < size:
        raise ValueError(f"{len(words)} words make no {n} pairs")
    return [
        Doc(doc.vocab, words=[*(token.text for token in doc), words[i // size], words[i % size]])
        for i, doc in enumerate(islice(cycle(docs), n))
    ]


def measure_memory(
    encoder: Path,
    corpus: Path,
    *,
    target_lang: str = "de",
    sentences: int = 200_000,
    characters: int = 1_000_000,
    training_sentences: int = 2_000,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Resident memory of a packaged student while it tags many texts and one long one, and the highest of training.

    sentences (int): Texts to tag, each the first words of one of the corpus: once as they are, and once with ever
        new words in memory zones.
    characters (int): Of the long text.
    training_sentences (int): Texts of the student, and ten times as many.
    """
    overrides = overrides or {}
    docs = read_train_docs(corpus, target_lang, spacy.blank("xx"))
    with TemporaryDirectory() as temporary, progress_bar() as progress:
        folder = Path(temporary)
        packaged, words = folder / "packaged", folder / "words.json"
        texts, beginnings = folder / "texts.txt", folder / "beginnings.txt"
        nlp = make_ours(encoder, overrides)
        nlp.to_disk(folder / "pipeline")
        make_ours(encoder, overrides, layers=HALF).to_disk(packaged)
        DocBin(docs=docs).to_disk(folder / "texts.spacy")
        shrink(spacy.load(packaged), packaged, folder / "texts.spacy", VOCABULARY_SIZE)
        for path, end in ((texts, None), (beginnings, SHORT)):
            path.write_text("\n".join(doc[:end].text.replace("\n", " ") for doc in docs), encoding="utf8")
        _config, component = read_config("student", overrides)
        max_length = component["model"]["tok2vec"]["max_length"]
        short = list(islice(fitting(docs, read_tokenizer(encoder), max_length - ROOM), training_sentences))
        DocBin(docs=short[:50]).to_disk(folder / "dev.spacy")
        once, ten_times = tell_apart(short, training_sentences), tell_apart(short, 10 * training_sentences)
        soft, more = write_soft(once, folder / "soft"), write_soft(ten_times, folder / "more")
        words.write_text(json.dumps([[token.text for token in doc] for doc in once]), encoding="utf8")
        hand_settings = asdict(loop_settings("student", len(nlp.get_pipe("prokd_ner").tags), overrides))

        tag = partial(run_side, "tag", pipeline=str(packaged), texts=str(beginnings), reports=REPORTS)
        hand_loop = {"encoder": str(encoder), "words": str(words), "settings": hand_settings, "steps": STEPS}
        train = partial(train_student, folder, encoder, overrides=overrides)
        sides: dict[str, Callable[[], Any]] = {
            "tagging": lambda: tag(sentences=sentences, zone=False),
            "memory zones": lambda: tag(sentences=sentences, zone=True),
            "long document": lambda: run_side(
                "document", pipeline=str(packaged), texts=str(texts), characters=characters
            ),
            "loop by hand": lambda: run_side("hand_loop", **hand_loop),
            "training": lambda: train(soft),
            "streaming": lambda: train(soft, streaming=True),
            "streaming ten times": lambda: train(more, streaming=True),
        }
        task = progress.add_task("memory", total=len(sides))
        memory = {}
        for name, side in sides.items():
            progress.update(task, description=name)
            memory[name] = side()
            progress.advance(task)
    plain, zone, document = (memory[name] for name in ("tagging", "memory zones", "long document"))
    peaks = {name: memory[name].peak for name in ("training", "loop by hand", "streaming", "streaming ten times")}
    return {
        "group": "memory",
        "sentences": sentences,
        "resident_megabytes": [round(each) for each in plain.reported],
        "last_tenth_vs_second": tenths(plain.reported),
        "zone_resident_megabytes": [round(each) for each in zone.reported],
        "zone_last_tenth_vs_second": tenths(zone.reported),
        "document_characters": characters,
        "document_megabytes_above_loaded": round(document.peak - document.reported[0]),
        "training_sentences": training_sentences,
        "training_peak_megabytes": {name: round(peak) for name, peak in peaks.items()},
        "training_vs_hand_loop": round(peaks["training"] / peaks["loop by hand"], 3),
        "ten_times_vs_once": round(peaks["streaming ten times"] / peaks["streaming"], 3),
    }


def tenths(reported: Sequence[float]) -> float:
    """Mean memory of the last tenth, as a share of that of the second."""
    tenth = len(reported) // 10
    return round(float(np.mean(reported[-tenth:]) / np.mean(reported[tenth : 2 * tenth])), 4)
