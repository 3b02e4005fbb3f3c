"""The words of both languages that are drawn, for the report and by the benchmark."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
from conftest import LABELS, TARGET
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from typer import Typer
from typer.testing import CliRunner

from spacy_prokd.labels import tags_of
from spacy_prokd.word_map import Words, choose, make_map, mutual_neighbours, prototypes, read_words, write_word_map


@pytest.fixture
def pipeline(tmp_path: Path, trained: Language) -> Path:
    trained.to_disk(tmp_path / "student")
    return tmp_path / "student"


@pytest.fixture
def converted(tmp_path: Path, source_docs: list, target_docs: list) -> Path:
    """A converted corpus without labels in the target."""
    for lang, split, docs in (("en", "dev", source_docs), ("de", "train", target_docs)):
        (tmp_path / "corpus" / lang).mkdir(parents=True)
        DocBin(docs=docs).to_disk(tmp_path / "corpus" / lang / f"{split}.spacy")
    return tmp_path / "corpus"


def write(pipeline: Path, converted: Path) -> dict:
    output = converted.parent / "metrics" / "words.json"
    write_word_map(pipeline, converted, "en", "de", output)
    assert list(output.parent.iterdir()) == [output]
    return json.loads(output.read_text(encoding="utf8"))


def test_prototypes_that_are_nearest_to_each_other() -> None:
    source = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    # the third is nearest to the second source prototype, and so is the second, by more
    target = np.array([[5.0, 0.1, 0.0], [0.0, 2.0, 0.1], [0.0, 1.0, 0.9]])
    assert mutual_neighbours(source, target).tolist() == [True, True, False]


def test_words_are_chosen_by_class() -> None:
    classes = np.array([0] * 100 + [2] * 3)
    chosen = choose(classes, 10, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 13
    assert np.bincount(classes[chosen]).tolist() == [10, 0, 3]


def test_prototypes_are_the_means_of_classes() -> None:
    h = np.array([[1.0, 2.0], [3.0, 4.0], [7.0, 8.0]], dtype=np.float32)
    assert prototypes(h, np.array([1, 1, 0]), 3).tolist() == [[7.0, 8.0], [2.0, 3.0], [0.0, 0.0]]


def test_prototypes_are_of_all_words_and_of_classes_that_both_languages_have() -> None:
    source_vectors = np.array([[0, 1], [2, 1], [4, 1], [1, 1]], dtype=np.float32)
    source = Words(list("abcd"), source_vectors, np.array([0, 0, 0, 1]))
    target = Words(list("ef"), np.array([[5, 5], [6, 6]], dtype=np.float32), np.array([0, 2]))
    drawn = make_map([source, target], n_classes=3, n_words=2)
    assert [len(words.texts) for words in drawn.words] == [3, 2]
    assert drawn.words[0].texts[-1] == "d" and drawn.words[0].vectors[-1].tolist() == [1.0, 1.0]
    assert drawn.shared == [0]
    assert [means.tolist() for means in drawn.prototypes] == [[[2.0, 1.0]], [[5.0, 5.0]]]


def test_a_word_without_a_label_has_the_class_that_is_found(trained: Language, converted: Path) -> None:
    tags = tags_of(LABELS)
    source = read_words(trained, converted / "en" / "dev.spacy")
    assert [tags[i] for i in source.classes[:4]] == ["B-PER", "I-PER", "O", "B-LOC"]
    target = read_words(trained, converted / "de" / "train.spacy")
    assert target.texts[:2] == TARGET[0].split()[:2] and target.vectors.shape == (len(target.texts), 16)
    assert (target.classes >= 0).all() and (target.classes > 0).any()
    assert len(read_words(trained, converted / "de" / "train.spacy", most_docs=1).texts) == len(TARGET[0].split())


def test_the_map_of_words(pipeline: Path, converted: Path) -> None:
    drawn = write(pipeline, converted)
    assert drawn["files"] == ["en dev", "de train"]
    assert {word["text"] for word in drawn["words"]} >= {"Angela", "besuchte", "visited"}
    points = drawn["words"] + drawn["prototypes"]
    assert {point["language"] for point in points} == {0, 1}
    assert {point["tag"] for point in points} <= set(tags_of(LABELS))
    assert all(0.0 <= point[axis] <= 1.0 for point in points for axis in "xy")
    assert set(drawn["aligned"]) <= {point["tag"] for point in drawn["prototypes"]}
    assert write(pipeline, converted) == drawn


def test_labelled_target_text_comes_first(pipeline: Path, converted: Path, source_docs: list) -> None:
    DocBin(docs=source_docs).to_disk(converted / "de" / "test.spacy")
    drawn = write(pipeline, converted)
    assert drawn["files"] == ["en dev", "de test"]
    assert {"B-LOC", "O"} <= set(drawn["aligned"]), "both languages are the same texts here"


def test_without_opentsne_the_file_says_so(pipeline: Path, converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    assert "openTSNE, which is not installed" in write(pipeline, converted)["left_out"]


def test_what_cannot_be_drawn_stops_nothing(tmp_path: Path, converted: Path) -> None:
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "other")
    assert "no prokd_ner" in write(tmp_path / "other", converted)["left_out"]


def test_texts_without_a_class_in_common_stop_nothing(pipeline: Path, converted: Path, nlp: Language) -> None:
    for lang, split, tag in (("en", "dev", "B-PER"), ("de", "test", "B-LOC")):
        DocBin(docs=[Doc(nlp.vocab, words=["Paris"], ents=[tag])]).to_disk(converted / lang / f"{split}.spacy")
    assert "No class has words in both" in write(pipeline, converted)["left_out"]


@pytest.mark.usefixtures("benchmarks_folder")
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
