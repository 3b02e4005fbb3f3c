"""Several target languages in one corpus: what of each goes where, and nothing of their labels into training text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import spacy

from spacy_prokd.corpus import convert_corpus
from spacy_prokd.corpus.convert import list_corpus
from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.corpus.joined import describe_target, folders_of
from spacy_prokd.errors import ProKDError
from spacy_prokd.languages import name_language

EN = "Anna\tB-PER\nworks\tO\nin\tO\nBonn\tB-LOC\n\nNothing\tO\n"


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Labelled English; eight German texts, one with a label, and two Spanish ones; a test file and labelled texts
    in German alone."""
    de = "\n\n".join(f"de{i}\t{'B-PER' if i == 0 else 'O'}" for i in range(8))
    ute = {"text": "Ute lebt", "spans": [[0, 3, "PER"]]}
    files = {
        **{"en/train.tsv": EN, "en/dev.tsv": EN, "de/train.tsv": de, "de/test.tsv": "Otto\tB-PER\n"},
        **{"es/train.txt": "es0\nes1\n", "de/labelled.jsonl": json.dumps(ute)},
    }
    for name, content in files.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf8")
    return tmp_path / "in"


def read(path: Path) -> list[tuple[str, bool, list[str]]]:
    """Of each Doc its text, whether it is annotated, and its entities."""
    docs = read_docs(path, spacy.blank("xx").vocab)
    return [(doc.text.strip(), doc.has_annotation("ENT_IOB"), [ent.label_ for ent in doc.ents]) for doc in docs]


def test_training_texts_are_mixed_evenly_and_without_labels(corpus, tmp_path):
    convert_corpus(corpus, "en", "de+es", tmp_path / "out")
    train = read(tmp_path / "out/de+es/train.spacy")
    assert " ".join(text for text, _annotated, _ents in train) == "de0 de1 es0 de2 de3 de4 de5 es1 de6 de7"
    assert not any(annotated or ents for _text, annotated, ents in train)
    assert read(tmp_path / "out/de+es/labelled.spacy") == [("Ute lebt", True, ["PER"])]


def test_beside_the_mixture_is_what_there_is_of_each(corpus, tmp_path):
    report = convert_corpus(corpus, "en", "de+es", tmp_path / "out")
    assert [(each.lang, each.splits["train"].docs) for each in report.targets] == [("de", 8), ("es", 2)]
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.spacy")}
    assert found == {
        *("en/train.spacy", "en/dev.spacy", "de+es/train.spacy", "de+es/labelled.spacy"),
        *("de+es/de/train.spacy", "de+es/de/test.spacy", "de+es/de/labelled.spacy"),
        *("de+es/es/train.spacy", "de+es/es/labelled.spacy"),
    }
    assert folders_of(tmp_path / "out/de+es") == [tmp_path / "out/de+es/de", tmp_path / "out/de+es/es"]
    assert folders_of(tmp_path / "out/de") == [tmp_path / "out/de"]
    assert read(tmp_path / "out/de+es/de/test.spacy") == [("Otto", True, ["PER"])]


def test_a_text_of_both_is_kept_and_told(corpus, tmp_path):
    (corpus / "es" / "train.txt").write_text("es0\nde1\n", encoding="utf8")
    report = convert_corpus(corpus, "en", "de+es", tmp_path / "out")
    assert "1 of 2 texts are in de/train.tsv too, word for word." in report.targets[1].splits["train"].warnings
    assert len(read(tmp_path / "out/de+es/train.spacy")) == 10


def test_the_files_of_all_are_listed(corpus, tmp_path):
    found = list_corpus(corpus, "en", "de+es", tmp_path / "files.json")
    assert sum(name.endswith(("de/train.tsv", "es/train.txt")) for name in found) == 2


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("de+", r"'de\+' lacks a language"),
        ("de+de", "de is named twice"),
        ("de+en", "both 'en'"),
        ("de+fr", "no folder 'fr'"),
    ],
)
def test_what_is_no_target_is_an_error_and_nothing_is_written(corpus, tmp_path, target, message):
    with pytest.raises(ProKDError, match=message):
        convert_corpus(corpus, "en", target, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_languages_are_named_as_people_do():
    assert [describe_target(target) for target in ("nl", "nl+sv", "nl+sv+da")] == ["nl", "nl and sv", "nl, sv and da"]
    assert describe_target("ht+als", name_language) == "Haitian Creole and als", "where there is no name, the code"
