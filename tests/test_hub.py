"""Data sets of the Hugging Face hub: read as files are, without a network here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from spacy_prokd.corpus.hub import fetch, is_on_hub
from spacy_prokd.corpus.origins import find_origin
from spacy_prokd.errors import ProKDError
from spacy_prokd.project import Files, make_project

NAMES = ["O", "B-PER", "I-PER", "B-LOC"]
TEXT, TOKENS = SimpleNamespace(dtype="string"), SimpleNamespace(feature=SimpleNamespace(dtype="string"))
NAMED = SimpleNamespace(feature=SimpleNamespace(dtype="int64", names=NAMES))
ROWS = [{"id": "7", "tokens": ["Ruth", "Baker", "flew", "to", "Oslo"], "ner_tags": [1, 2, 0, 0, 3]}] * 20
LABELLED = ({"id": TEXT, "tokens": TOKENS, "ner_tags": NAMED}, ROWS)
PLAIN = (
    {"text": TEXT, "label": SimpleNamespace(dtype="int64", names=["good", "bad"])},
    [{"text": "Zij woont.", "label": 1}],
)


class FakeDataset(list):
    """What `datasets.load_dataset` gives, as far as we look at it."""

    def __init__(self, features: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        super().__init__(rows)
        self.features = features


@pytest.fixture
def hub(monkeypatch):
    """The data sets of a hub that is not there, by name; `calls` are the downloads."""
    module = ModuleType("datasets")
    module.__version__ = "4.8.5"
    stored: dict[str, tuple] = {}
    calls: list[tuple] = []

    def load_dataset(name, config=None, *, split, revision=None):
        calls.append((name, config, split, revision))
        if name not in stored:
            raise FileNotFoundError(f"Dataset '{name}'\n doesn't exist on the Hub")
        return FakeDataset(*stored[name])

    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return SimpleNamespace(stored=stored, calls=calls, module=module)


def records(hub: SimpleNamespace, folder: Path, features: dict[str, Any], *rows: dict[str, Any]) -> list[dict]:
    hub.stored["me/mine"] = (features, list(rows))
    file = fetch(Path("hf://datasets/me/mine"), "train", folder)
    return [json.loads(line) for line in file.read_text(encoding="utf8").splitlines()]


@pytest.mark.parametrize(
    ("uri", "split", "call", "file"),
    [
        ("hf://datasets/me/mine", "train", ("me/mine", None, "train", None), "me-mine-train"),
        ("hf://datasets/me/mine", "dev", ("me/mine", None, "validation", None), "me-mine-validation"),
        ("hf://datasets/me/mine/en", "test", ("me/mine", "en", "test", None), "me-mine-en-test"),
        ("hf://datasets/me/mine@v1.0/en/extra", "test", ("me/mine", "en", "extra", "v1.0"), "me-mine-en-extra"),
    ],
)
def test_a_uri_names_a_data_set_a_config_and_a_split(hub, tmp_path, uri, split, call, file):
    hub.stored["me/mine"] = LABELLED
    assert is_on_hub(Path(uri))
    assert fetch(Path(uri), split, tmp_path) == tmp_path / f"{file}.jsonl"
    assert hub.calls == [call]


@pytest.mark.parametrize(
    "uri", ["hf://me/mine", "hf://datasets/mine", "hf://datasets/a/b/c/d/e", "hf://datasets/../x/y"]
)
def test_a_uri_of_something_else_is_an_error(uri):
    with pytest.raises(ProKDError, match=rf"^{uri} names no data set. Write hf://datasets/OWNER/NAME/CONFIG/SPLIT"):
        is_on_hub(Path(uri))


def test_a_file_is_not_on_the_hub():
    assert not any(map(is_on_hub, (Path("train.jsonl"), Path("datasets/me/mine"), Path("/data/hf:/x"))))


def test_columns_are_found_by_name(hub, tmp_path):
    words, span = ["Ruth", "flew"], {"start": 0, "end": 4, "label": "PER"}
    strings = {"text": TEXT, "tokens": TOKENS, "tags": TOKENS, "spans": SimpleNamespace(feature={})}
    row = {"text": "Ruth flew", "tokens": words, "tags": ["B-PER", "O"], "ner_tags": [1, 0], "spans": [span]}
    assert records(hub, tmp_path, {**strings, "ner_tags": NAMED}, row) == [
        {"tokens": words, "ner_tags": ["B-PER", "O"]}
    ]
    assert records(hub, tmp_path, strings, row) == [{"tokens": words, "tags": ["B-PER", "O"]}]
    del strings["tags"]
    assert records(hub, tmp_path, strings, row) == [{"text": "Ruth flew", "spans": [span]}]
    del strings["spans"]
    assert records(hub, tmp_path, strings, row) == [{"tokens": words}]
    assert records(hub, tmp_path, *PLAIN[:1], *PLAIN[1]) == [{"text": "Zij woont."}]


def test_a_project_from_the_hub_has_files_of_its_own(hub, tmp_path):
    hub.stored |= {"me/labelled": LABELLED, "me/plain": PLAIN}
    files = Files("en", Path("hf://datasets/me/labelled@v1.0/en")), [Files("nl", Path("hf://datasets/me/plain"))]
    for dry_run in (True, False):
        report = make_project(tmp_path / "made", *files, dry_run=dry_run)
        assert report.source.splits["train"].entities == {"LOC": 18, "PER": 18}
        assert report.source.splits["train"].file == "en/me-labelled-en-train.jsonl"
        assert (tmp_path / "made").exists() is not dry_run
    data = tmp_path / "made" / "data"
    assert {find_origin(path) for path in data.glob("*/*")} == {
        "hf://datasets/me/labelled@v1.0/en",
        "hf://datasets/me/plain",
    }
    assert sorted(str(path.relative_to(data)) for path in data.rglob("*.*")) == [
        *("en/train.jsonl", "nl/train.jsonl", "origins.json")
    ]
    assert json.loads((data / "nl" / "train.jsonl").read_text(encoding="utf8")) == {"text": "Zij woont."}


def test_a_wrong_uri_or_file_is_said_before_anything_is_downloaded(hub, tmp_path):
    hub.stored["me/labelled"] = LABELLED
    for target in ("gone.txt", "hf://datasets/nl"):
        with pytest.raises(ProKDError, match=r"no file gone\.txt|names no data set"):
            make_project(tmp_path / "made", Files("en", Path("hf://datasets/me/labelled")), [Files("nl", Path(target))])
    assert hub.calls == []


@pytest.mark.parametrize(
    ("features", "row", "message"),
    [
        ({"words": TOKENS, "ner": NAMED}, {}, r"mine has the columns words, ner\. Needed are `tokens`"),
        (
            {"tokens": TOKENS, "ner_tags": SimpleNamespace(feature=SimpleNamespace(dtype="int32"))},
            {},
            "without their names",
        ),
        (
            {"tokens": TOKENS, "ner_tags": NAMED},
            {"tokens": ["A"], "ner_tags": [-1]},
            r"me-mine-train\.jsonl:1: tags must be",
        ),
    ],
)
def test_what_cannot_be_read_is_said(hub, tmp_path, features, row, message):
    hub.stored["me/mine"] = (features, [row])
    mine = Path("hf://datasets/me/mine")
    with pytest.raises(ProKDError, match=message):
        make_project(tmp_path / "made", Files("en", mine), [Files("nl", mine)])
    assert not (tmp_path / "made").exists()


def test_what_datasets_says_of_a_failure_is_one_paragraph(hub, tmp_path):
    with pytest.raises(ProKDError) as error:
        fetch(Path("hf://datasets/me/gone/en"), "train", tmp_path)
    assert str(error.value) == (
        "hf://datasets/me/gone/en cannot be loaded (FileNotFoundError): Dataset 'me/gone' doesn't exist on the Hub"
    )


def test_without_datasets_or_with_one_that_runs_code_of_the_hub(hub, tmp_path, monkeypatch):
    hub.stored["me/mine"] = LABELLED
    hub.module.__version__ = "3.6.0"
    with pytest.raises(ProKDError, match=r'pip install "spacy-prokd\[hub\]"'):
        fetch(Path("hf://datasets/me/mine"), "train", tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ProKDError, match=r'pip install "spacy-prokd\[hub\]"'):
        fetch(Path("hf://datasets/me/mine"), "train", tmp_path)
    assert hub.calls == []
