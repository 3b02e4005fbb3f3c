"""Metrics, logs and configs, as the steps before wrote them, with errors that say which step writes what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Config

from ..corpus.docbins import read_docs
from ..errors import ProKDError
from ..mistakes import is_labelled


def read_metrics(path: Path) -> dict[str, Any]:
    """Read the scores of one pipeline.

    path (Path): What the project command `evaluate` wrote.
    RETURNS (dict[str, Any]): Among others ents_p, ents_r, ents_f and token_f between 0 and 1, and ents_per_type.
    RAISES (ProKDError): If the file is missing, is no JSON or has no entity scores.
    """
    try:
        metrics = json.loads(_read(path, command="evaluate"))
    except json.JSONDecodeError as error:
        raise _damaged(path, error.lineno, "evaluate") from None
    if not isinstance(metrics, dict) or "ents_f" not in metrics:
        raise ProKDError(f"{path} has no entity scores (ents_f). Run `spacy project run evaluate` again.")
    return metrics


def read_log(path: Path, command: str) -> list[dict[str, Any]]:
    """Read what spacy-prokd.Logger.v1 wrote: a dict with step, epoch, scores and losses for each evaluation.

    path (Path): The JSON Lines file.
    command (str): The project command that writes it.
    RETURNS (list[dict[str, Any]]): The evaluations, first to last.
    RAISES (ProKDError): If the file is missing, empty or damaged.
    """
    evaluations = []
    for number, line in enumerate(_read(path, command).splitlines(), start=1):
        try:
            evaluation = json.loads(line)
            evaluations.append({key: evaluation[key] for key in ("step", "epoch", "scores", "losses")})
        except (json.JSONDecodeError, KeyError, TypeError):
            raise _damaged(path, number, command) from None
    if not evaluations:
        raise ProKDError(f"{path} is empty: the training wrote no evaluation. Run `spacy project run {command}` again.")
    return evaluations


def read_config(path: Path, command: str) -> Config:
    """Read the config of a trained pipeline, with its variables filled in.

    path (Path): The file `config.cfg` in the pipeline's folder.
    command (str): The project command that writes it.
    RETURNS (Config): The config; nothing in it is resolved.
    RAISES (ProKDError): If the file is missing.
    """
    return Config().from_str(_read(path, command))


def read_tagged(paths: Mapping[str, Path]) -> dict[str, list[Doc]]:
    """Read the scored texts as each pipeline tagged them, with the labels, and what was tagged without labels.

    paths (Mapping[str, Path]): What `evaluate --tagged` wrote, by the pipeline's name.
    RETURNS (dict[str, list[Doc]]): The same texts for each; empty if a file is missing, as of older workflows, or
        has none, as where a student did not train itself.
    RAISES (ProKDError): If a file is damaged or without labels, or they are of different texts.
    """
    if not all(path.is_file() for path in paths.values()):
        return {}
    vocab = Vocab()
    tagged = {role: list(read_docs(path, vocab)) for role, path in paths.items()}
    if not all(tagged.values()):
        return {}
    for role, docs in tagged.items():
        if not any(map(is_labelled, docs)):
            raise ProKDError(f"{paths[role]} has no labels. Run `python -m spacy project run evaluate --force` again.")
    if len({tuple(doc.text for doc in docs) for docs in tagged.values()}) > 1:
        names = " and ".join(map(str, paths.values()))
        raise ProKDError(f"{names} are of different texts. Run `python -m spacy project run evaluate --force` again.")
    return tagged


def read_word_map(path: Path) -> dict[str, Any] | None:
    """Read words of both languages as points of a plane.

    path (Path): What `evaluate --word-map` wrote.
    RETURNS (dict[str, Any] | None): As `write_word_map` describes it; None if it is missing, as of older workflows.
    RAISES (ProKDError): If it is no JSON.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(_read(path, command="evaluate"))
    except json.JSONDecodeError as error:
        raise _damaged(path, error.lineno, "evaluate") from None


def dotted(block: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a nested dict: {"a": {"b": 1}} is {"a.b": 1}.

    block (Mapping[str, Any]): The nested dict.
    prefix (str): What every key starts with.
    RETURNS (dict[str, Any]): The flat one, in the same order.
    """
    flat = {}
    for key, value in block.items():
        if isinstance(value, Mapping):
            flat.update(dotted(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _read(path: Path, command: str) -> str:
    if not path.is_file():
        raise ProKDError(f"{path} is missing. `python -m spacy project run {command}` makes it.")
    return path.read_text(encoding="utf8")


def _damaged(path: Path, line: int, command: str) -> ProKDError:
    return ProKDError(f"{path}, line {line}: damaged. Run `python -m spacy project run {command} --force` again.")
