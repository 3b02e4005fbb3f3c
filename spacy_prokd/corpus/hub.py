"""Data sets of the Hugging Face hub as JSON Lines, which are then read as any other file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ProKDError

# As a path, which has one slash where the URI has two.
_URI = re.compile(
    r"hf:/datasets/(?P<name>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[^/@]+))?(/(?P<config>[^/]+)(/(?P<split>[^/]+))?)?"
)
_SPLITS = {"train": "train", "dev": "validation", "test": "test", "labelled": "train"}  # ours: what the hub calls them
_COLUMNS = (
    ("tokens", "ner_tags"),
    ("tokens", "tags"),
    ("text", "spans"),
    ("text", "entities"),
    ("tokens", None),
    ("text", None),
)


def is_on_hub(path: Path) -> bool:
    """Whether this names a data set of the hub and not a file: `hf://datasets/OWNER/NAME[@REVISION][/CONFIG[/SPLIT]]`.

    RAISES (ProKDError): If it is a URI of the hub, but of no data set.
    """
    if path.parts[:1] != ("hf:",):
        return False
    if not _URI.fullmatch(path.as_posix()):
        raise ProKDError(
            f"{to_uri(path)} names no data set. Write hf://datasets/OWNER/NAME/CONFIG/SPLIT; @REVISION after the name, "
            "the config and the split may be left out."
        )
    return True


def fetch(path: Path, split: str, folder: Path) -> Path:
    """Download a data set with `datasets`, which runs no code of the hub, and write one split of it.

    path (Path): The URI, see `is_on_hub`.
    split (str): `train`, `dev`, `test` or `labelled`: which to take where the URI names none.
    folder (Path): Where the file goes.
    RETURNS (Path): A .jsonl file that is named after the data set.
    RAISES (ProKDError): If `datasets` is missing, cannot load this, or there are no columns to read.
    """
    parts = _URI.fullmatch(path.as_posix())
    name, revision, config = parts["name"], parts["revision"], parts["config"]
    split = parts["split"] or _SPLITS[split]
    datasets = _import_datasets()
    try:
        dataset = datasets.load_dataset(name, config, split=split, revision=revision)
    except Exception as error:  # whatever the network, the hub, parquet or a wrong name make of it
        message = " ".join(str(error).split())
        raise ProKDError(f"{to_uri(path)} cannot be loaded ({type(error).__name__}): {message[:600]}") from error
    file = folder / f"{'-'.join(filter(None, (name.replace('/', '-'), config, split)))}.jsonl"
    with file.open("w", encoding="utf8") as lines:
        for record in _read_records(dataset, to_uri(path)):
            print(json.dumps(record, ensure_ascii=False), file=lines)
    return file


def to_uri(path: Path) -> str:
    """What the user wrote, of which a path has lost a slash."""
    return path.as_posix().replace("hf:/", "hf://", 1)


def _import_datasets() -> ModuleType:
    try:
        import datasets
    except ImportError:
        datasets = None
    if datasets is None or int(datasets.__version__.partition(".")[0]) < 4:  # 3 may run a data set's own code
        raise ProKDError(
            'A data set of the hub needs the package `datasets`, version 4: pip install "spacy-prokd[hub]"'
        )
    return datasets


def _read_records(dataset: Any, uri: str) -> Iterator[Mapping[str, Any]]:
    """Records as `jsonlines` reads them, of the first pair of columns that the data set has."""
    features = dataset.features
    of_text, of_labels = next(
        (pair for pair in _COLUMNS if all(column is None or column in features for column in pair)), (None, None)
    )
    if of_text is None:
        raise ProKDError(
            f"{uri} has the columns {', '.join(features)}. Needed are `tokens` and `ner_tags`, or `text` and `spans`: "
            "rename them with `datasets`, write the result with `to_json`, and give that file."
        )
    kind = getattr(features.get(of_labels), "feature", None)  # of each label in the list
    names = getattr(kind, "names", None)  # of a ClassLabel
    if names is None and "int" in getattr(kind, "dtype", ""):
        raise ProKDError(
            f"The column `{of_labels}` of {uri} has numbers without their names. Look for these on the data set's "
            "page, write words and tags as JSON Lines, and give that file."
        )
    for row in dataset:
        record = {of_text: row[of_text]}
        if of_labels is not None:
            record[of_labels] = row[of_labels] if names is None else [_name(label, names) for label in row[of_labels]]
        yield record


def _name(label: int | None, names: Sequence[str]) -> str | None:
    return names[label] if label in range(len(names)) else None  # -1 is no label, and an error that names the line
