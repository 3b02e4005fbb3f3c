"""What a corpus folder was made of, as far as `init` wrote it down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spacy_prokd.corpus.convert import convert_corpus
from spacy_prokd.corpus.origins import find_origin, write_origins
from spacy_prokd.errors import ProKDError


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Labelled English without a dev file and plain Dutch, as `init` copied them."""
    folder = tmp_path / "data"
    sentence = {"text": "Ruth flew.", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
    contents = {"en/train.jsonl": 20 * (json.dumps(sentence) + "\n"), "nl/train.txt": "Zij woont in Leiden.\n"}
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(content, encoding="utf8")
    given = ("/home/ada/my_en.jsonl", "hf://datasets/me/plain@v1/nl")
    write_origins(folder, {folder / name: Path(origin) for name, origin in zip(contents, given)})
    return folder


def test_convert_reports_what_init_was_given(corpus, tmp_path):
    convert_corpus(corpus, "en", "nl", tmp_path / "corpus")
    origins = {}
    for lang in ("en", "nl"):
        report = json.loads((tmp_path / "corpus" / lang / "convert.json").read_text(encoding="utf8"))
        origins |= {f"{lang} {split}": facts["origin"] for split, facts in report["splits"].items()}
    assert origins == {
        "en train": "my_en.jsonl",
        "en dev": "my_en.jsonl",  # held out of it
        "nl train": "hf://datasets/me/plain@v1/nl",
    }


def test_a_file_that_was_replaced_or_that_nobody_described_has_its_own_name(corpus):
    (corpus / "nl" / "train.txt").write_text("Hij woont in Delft.\n", encoding="utf8")
    (corpus / "nl" / "test.txt").write_text("Hij woont in Delft.\n", encoding="utf8")
    assert [find_origin(corpus / "nl" / name) for name in ("train.txt", "test.txt")] == ["train.txt", "test.txt"]
    assert find_origin(corpus / "en" / "train.jsonl") == "my_en.jsonl"


def test_convert_reports_the_first_line_of_the_corpus_folders_licence(corpus, tmp_path):
    assert convert_corpus(corpus, "en", "nl", tmp_path / "corpus").source.licence == ""
    (corpus / "LICENSE").write_text("CC0 1.0\n\nTo the extent possible under law ...", encoding="utf8")
    convert_corpus(corpus, "en", "nl", tmp_path / "corpus")
    reports = [tmp_path / "corpus" / lang / "convert.json" for lang in ("en", "nl")]
    assert [json.loads(path.read_text(encoding="utf8"))["licence"] for path in reports] == ["CC0 1.0", "CC0 1.0"]


@pytest.mark.parametrize("content", ["{", "[]", '{"nl/train.txt": 1}'])
def test_damaged_origins_are_named(corpus, content):
    (corpus / "origins.json").write_text(content, encoding="utf8")
    with pytest.raises(ProKDError, match=r"origins\.json is damaged\. Delete it"):
        find_origin(corpus / "nl" / "train.txt")
