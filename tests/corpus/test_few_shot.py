"""A few labelled texts of the target: its only labels that training sees, and only if someone gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import spacy

from spacy_prokd.corpus import convert_corpus
from spacy_prokd.corpus.convert import list_corpus
from spacy_prokd.corpus.docbins import read_docs

EN = "Anna\tB-PER\nworks\tO\nin\tO\nBonn\tB-LOC\n\nNothing\tO\n"
DE = "Otto\tB-PER\narbeitet\tO\n\nBonn\tB-LOC\nruft\tO\n"


@pytest.fixture
def corpus(tmp_path) -> Path:
    for name, content in {"en/train": EN, "en/dev": EN, "de/train": DE, "de/dev": DE}.items():
        path = tmp_path / "in" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf8")
    return tmp_path / "in"


def entities(path: Path) -> list[list[tuple[str, str]]]:
    return [[(ent.text, ent.label_) for ent in doc.ents] for doc in read_docs(path, spacy.blank("xx").vocab)]


def test_labelled_texts_keep_their_labels_and_train_does_not(corpus, tmp_path):
    ute = {"text": "Ute lebt in Ulm", "spans": [[0, 3, "PER"], [12, 15, "LOC"]]}
    (corpus / "de" / "labelled.jsonl").write_text(json.dumps(ute))
    report = convert_corpus(corpus, "en", "de", tmp_path / "out")
    assert entities(tmp_path / "out/de/labelled.spacy") == [[("Ute", "PER"), ("Ulm", "LOC")]]
    assert entities(tmp_path / "out/de/train.spacy") == [[], []]
    assert report.targets[0].splits["labelled"].entities == {"LOC": 1, "PER": 1}
    assert "de/labelled.jsonl" in {
        Path(name).relative_to(corpus).as_posix() for name in list_corpus(corpus, "en", "de", tmp_path / "files.json")
    }


def test_without_any_the_file_is_empty_also_where_there_were_some_before(corpus, tmp_path):
    labelled = corpus / "de" / "labelled.tsv"
    labelled.write_text(DE)
    convert_corpus(corpus, "en", "de", tmp_path / "out")
    assert len(entities(tmp_path / "out/de/labelled.spacy")) == 2
    labelled.unlink()
    convert_corpus(corpus, "en", "de", tmp_path / "out")
    assert entities(tmp_path / "out/de/labelled.spacy") == []


def test_a_file_of_that_name_in_the_source_is_not_read(corpus, tmp_path):
    (corpus / "en" / "labelled.tsv").write_text("not\ta\tcorpus")
    assert "labelled" not in convert_corpus(corpus, "en", "de", tmp_path / "out").source.splits
    assert not (tmp_path / "out/en/labelled.spacy").exists()


def test_what_is_learned_from_must_not_be_scored_on(corpus, tmp_path):
    (corpus / "de" / "labelled.tsv").write_text(DE)
    (warning,) = convert_corpus(corpus, "en", "de", tmp_path / "out").targets[0].splits["labelled"].warnings
    assert warning == "2 of 2 texts are in de/dev.tsv too, word for word."


def test_a_label_that_the_source_has_not_is_told_and_known_from_then_on(corpus, tmp_path):
    (corpus / "de" / "labelled.tsv").write_text("Duden\tB-MISC\n")
    (corpus / "de" / "test.tsv").write_text("Faust\tB-MISC\nBuch\tB-WORK\n")
    report = convert_corpus(corpus, "en", "de", tmp_path / "out").targets[0].splits
    assert report["labelled"].warnings == [
        "has labels that the source has not: MISC. These few texts alone teach them."
    ]
    assert report["test"].warnings == [
        "has labels that no training data has: WORK. They will never be found: map or drop them."
    ]
