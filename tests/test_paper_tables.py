"""Tables 1 and 5 of the paper: what is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import make_docs
from spacy.tokens import DocBin
from spacy.vocab import Vocab
from typer import Typer
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("benchmarks_folder")

# "Madrid" is a club in most places of the source, and a city in the target's
SOURCE = [*3 * ["Madrid/B-ORG won in Rome/B-LOC ."], "He saw Madrid/B-LOC ."]
TARGET = [*3 * ["In Madrid/B-LOC ."], "Madrid/B-ORG won in Rome/B-LOC , Rome/B-LOC and Rome/B-LOC ."]
TAGGED = [
    "In Madrid/B-LOC .",
    *2 * ["In Madrid/B-ORG ."],
    "Madrid/B-ORG won in Rome/B-LOC , Rome/B-LOC and Rome/B-LOC .",
]


def run(main: Any, *arguments: object) -> Any:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


def write(path: Path, texts: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    DocBin(docs=make_docs(Vocab(), texts)).to_disk(path)
    return path


def test_sentences_and_entities_are_counted(tmp_path: Path) -> None:
    from corpus_statistics import main

    write(tmp_path / "en" / "train.spacy", SOURCE)
    (tmp_path / "de").mkdir()
    (tmp_path / "de" / "train.txt").write_text("Ein Satz .\nNoch einer .\n", encoding="utf8")
    assert run(main, tmp_path) == [
        {"corpus": tmp_path.name, "language": "de", "split": "train", "sentences": 2, "entities": None},
        {"corpus": tmp_path.name, "language": "en", "split": "train", "sentences": 4, "entities": 7},
    ]


def test_words_with_another_preferred_tag_and_who_gets_them_right(tmp_path: Path) -> None:
    from label_preferences import main

    write(tmp_path / "en" / "train.spacy", SOURCE)
    gold = write(tmp_path / "es" / "dev.spacy", TARGET)
    tagged = write(tmp_path / "tagged.spacy", TAGGED)
    found = run(main, tmp_path, tagged, gold, "--fewest", 3)
    assert found["right"] == [0.5, 1.0]
    assert found["rows"] == [
        {
            "word": "Madrid",
            "places": 4,
            "source": ["B-ORG", 0.75],
            "target": ["B-LOC", 0.75],
            "right": [0.5, 1.0],
        }
    ]
    assert run(main, tmp_path, tagged, "--fewest", 5)["words"] == 0
