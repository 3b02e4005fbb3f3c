"""Texts as a pipeline tags them, for people to correct, and back."""

from __future__ import annotations

import json

import pytest
from conftest import TEXTS

from spacy_prokd.annotating import annotate
from spacy_prokd.corpus.contents import Text
from spacy_prokd.corpus.formats import read_file
from spacy_prokd.errors import ProKDError


@pytest.fixture
def saved(trained, tmp_path):
    trained.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def read(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def test_the_least_sure_texts_come_first_with_all_that_the_pipeline_found(trained, saved, tmp_path):
    texts, output = tmp_path / "texts.txt", tmp_path / "out.jsonl"
    texts.write_text("\n".join(TEXTS), encoding="utf8")
    n_texts = annotate(saved, texts, output)
    records = read(output)
    assert n_texts == len(records) == len([text for text in TEXTS if text.strip()])
    scores = [record["meta"]["score"] for record in records]
    assert scores == sorted(scores)
    for record in records:
        doc = trained(record["text"])
        assert [record["text"][span["start"] : span["end"]] for span in record["spans"]] == [e.text for e in doc.ents]
        assert [span["label"] for span in record["spans"]] == [ent.label_ for ent in doc.ents]
        assert [span["score"] for span in record["spans"]] == pytest.approx([e._.score for e in doc.ents], abs=1e-3)
        for span in record["spans"]:
            words = record["tokens"][span["token_start"] : span["token_end"] + 1]
            assert (words[0]["start"], words[-1]["end"]) == (span["start"], span["end"])
        assert record["meta"]["score"] == min((span["score"] for span in record["spans"]), default=1.0)


def test_what_was_written_can_be_read_and_a_refused_text_is_left_out(saved, tmp_path):
    texts, output = tmp_path / "texts.txt", tmp_path / "out.jsonl"
    texts.write_text("\n".join(TEXTS), encoding="utf8")
    assert annotate(saved, texts, output, most=3) == 3
    records = read(output)
    answered = [{**record, "answer": answer} for record, answer in zip(records, ("accept", "reject", "accept"))]
    output.write_text("\n".join(map(json.dumps, answered)), encoding="utf8")
    kept = read_file(output).records
    assert kept == [
        Text(record["text"], [(span["start"], span["end"], span["label"]) for span in record["spans"]], line)
        for line, record in enumerate(records, start=1)
        if line != 2
    ]


def test_corrections_are_not_written_over(tmp_path):
    (tmp_path / "texts.txt").write_text("Otto", encoding="utf8")
    (tmp_path / "out.jsonl").write_text("corrected", encoding="utf8")
    with pytest.raises(ProKDError, match=r"out\.jsonl is there already"):
        annotate("no-pipeline", tmp_path / "texts.txt", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text(encoding="utf8") == "corrected"


def test_labels_of_the_texts_are_not_looked_at(saved, tmp_path):
    (tmp_path / "gold.tsv").write_text("Nothing\tB-PER\nhere\tO\n", encoding="utf8")
    annotate(saved, tmp_path / "gold.tsv", tmp_path / "out.jsonl")
    (record,) = read(tmp_path / "out.jsonl")
    assert record["text"].split() == ["Nothing", "here"]
    assert all(span["label"] != "PER" or span["score"] < 1.0 for span in record["spans"])


@pytest.mark.parametrize(
    ("texts", "output", "message"),
    [
        ("gone.txt", "out.jsonl", r"no file .*gone\.txt"),
        ("words.docx", "out.jsonl", r"words\.docx is in an unknown format"),
        ("texts.txt", "out.json", r"out\.json must end in \.jsonl"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(tmp_path, texts, output, message):
    (tmp_path / "texts.txt").write_text("Otto", encoding="utf8")
    (tmp_path / "words.docx").write_text("Otto", encoding="utf8")
    with pytest.raises(ProKDError, match=message):
        annotate("no-pipeline", tmp_path / texts, tmp_path / output)
    assert not (tmp_path / output).exists()
