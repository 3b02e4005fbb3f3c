"""The picture of both languages' words, and the numbers beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin
from typer import Typer
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("benchmarks_folder")


def test_prototypes_that_are_nearest_to_each_other() -> None:
    from representations import mutual_neighbours

    source = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    # the third is nearest to the second source prototype, and so is the second, by more
    target = np.array([[5.0, 0.1, 0.0], [0.0, 2.0, 0.1], [0.0, 1.0, 0.9]])
    assert mutual_neighbours(source, target).tolist() == [True, True, False]


def test_words_are_chosen_by_class() -> None:
    from representations import choose

    classes = np.array([0] * 100 + [2] * 3)
    chosen = choose(classes, 10, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 13
    assert np.bincount(classes[chosen]).tolist() == [10, 0, 3]


def test_prototypes_are_the_means_of_classes() -> None:
    from representations import prototypes

    h = np.array([[1.0, 2.0], [3.0, 4.0], [7.0, 8.0]], dtype=np.float32)
    assert prototypes(h, np.array([1, 1, 0]), 3).tolist() == [[7.0, 8.0], [2.0, 3.0], [0.0, 0.0]]


def test_the_picture(tmp_path: Path, source_examples, small_tok2vec) -> None:
    from representations import main

    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-prokd.PrototypeTagger.v1", "dropout": 0.0, "tok2vec": small_tok2vec}
    nlp.add_pipe("prokd_ner", config={"model": model})
    nlp.initialize(lambda: source_examples)
    nlp.to_disk(tmp_path / "teacher")
    for lang in ("en", "de"):
        (tmp_path / "corpus" / lang).mkdir(parents=True)
        DocBin(docs=[example.reference for example in source_examples]).to_disk(
            tmp_path / "corpus" / lang / "dev.spacy"
        )
    app = Typer()
    app.command()(main)
    picture = tmp_path / "teacher.svg"
    arguments = [str(tmp_path / "teacher"), str(tmp_path / "corpus"), str(picture), "--json"]
    result = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    # both languages are the same texts here
    assert result["share_aligned"] == 1.0 and "B-LOC" in result["aligned_classes"]
    assert -1.0 <= result["silhouette"] <= 1.0
    assert "B-LOC" in picture.read_text(encoding="utf8")
