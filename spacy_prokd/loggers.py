"""Training logs: spaCy's table on the console, and every named loss in a file that plots read."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from spacy.language import Language
from spacy.util import registry

OF_EPOCH = "pseudo_labels"  # among the losses: what an epoch's labels are like, set and not summed

LogStep = Callable[[dict[str, Any] | None], None]
Finalize = Callable[[], None]
LoggerSetup = Callable[[Language, IO[str], IO[str]], tuple[LogStep, Finalize]]


@registry.loggers("spacy-prokd.Logger.v1")
def create_logger(progress_bar: str | None = "train", output_file: str | None = None) -> LoggerSetup:
    """spaCy's console logger, and one JSON line an evaluation with every loss in it.

    The console shows one loss a component. The file also has the component's parts (`prokd_ner.alignment`),
    each as its mean over the steps since the last line: spaCy sums them, and the first evaluation comes
    after one step, so the sums would not compare. What pseudo-labels are like (`prokd_ner.pseudo_labels.relabelled`)
    is no sum, but of the epoch.

    progress_bar (str | None): "train" (to the end of the run), "eval" (to the next evaluation) or None.
    output_file (str | None): The JSON Lines file, replaced by each run; None for the console only.
    RETURNS (LoggerSetup): What `[training.logger]` expects.
    """
    console = registry.get("loggers", "spacy.ConsoleLogger.v3")(progress_bar=progress_bar)

    def setup(nlp: Language, stdout: IO[str] = sys.stdout, stderr: IO[str] = sys.stderr) -> tuple[LogStep, Finalize]:
        log_to_console, finalize_console = console(nlp, stdout, stderr)
        if output_file is None:
            return log_to_console, finalize_console
        path = Path(output_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf8")
        last_step = -1  # spaCy counts steps from 0

        def log_step(info: dict[str, Any] | None) -> None:
            nonlocal last_step
            log_to_console(info)
            if info is not None:
                line = evaluation_line(info, n_steps=info["step"] - last_step)
                print(json.dumps(line, ensure_ascii=False, allow_nan=False), file=file, flush=True)
                last_step = info["step"]

        def finalize() -> None:
            file.close()
            finalize_console()

        return log_step, finalize

    return setup


def evaluation_line(info: Mapping[str, Any], n_steps: int) -> dict[str, Any]:
    """One line of the log.

    info (Mapping[str, Any]): What spaCy's training loop says about an evaluation.
    n_steps (int): The steps that `info["losses"]` is summed over.
    RETURNS (dict[str, Any]): step, epoch, seconds, words, score; `scores` with dotted names for nested ones;
        `losses`, a mean a step, but those of the epoch as they are. A number that is not finite becomes None, which
        JSON can say.
    """
    counts = {key: info[key] for key in ("step", "epoch", "seconds", "words")}
    losses = {
        name: _finite(float(loss) / (1 if f".{OF_EPOCH}." in name else n_steps))
        for name, loss in info["losses"].items()
    }
    scores = {name: _finite(score) for name, score in _flatten(info["other_scores"])}
    return {**counts, "score": _finite(info["score"]), "scores": scores, "losses": losses}


def _flatten(scores: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in scores.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{name}", value


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
