"""Words that open text after text: when they are no part of a name, and what that says of the words behind them."""

from collections import Counter

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc, DocBin

from spacy_prokd import soft_labels
from spacy_prokd.architectures import TaggerOutput
from spacy_prokd.openers import begin_behind, find_common, is_opener
from spacy_prokd.soft_labels import get_soft_labels, label_corpus


def test_common_words_open_at_least_twenty_texts_and_one_in_fifty():
    counts = Counter({"Photo": 30, "The": 20, "A": 19})
    assert find_common(counts) == ["Photo", "The"]
    assert find_common(counts + Counter({"": 1431})) == ["", "Photo"]


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ([0, 1, 0, 1, None, 2], True),  # part of the name in some texts, left out in others
        ([0] * 9 + [1], True),
        ([0] * 19 + [1], False),  # a name that opens many texts
        ([1] * 19 + [0], False),  # known to be none
        ([None, 2, None, 3], False),
    ],
)
def test_an_opener_is_part_of_a_name_in_some_texts_and_not_in_others(starts, expected):
    assert is_opener(starts) is expected


def test_what_goes_on_with_the_opener_begins_behind_it():
    p = np.array([[0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.5, 0.2, 0.3]])
    known = begin_behind(p)
    assert known[0].tolist() == pytest.approx([1.0, 0.0, 0.0])
    assert known[1].tolist() == pytest.approx([0.1, 0.2 + 0.7 * 0.7, 0.7 - 0.7 * 0.7])
    assert known[2].tolist() == p[2].tolist()
    assert begin_behind(p[:1]).tolist() == [pytest.approx([1.0, 0.0, 0.0])]


class Teacher:
    """Stands in for a pipeline: it has a few readings, as tags, and takes one after the other for the texts."""

    def __init__(self, vocab, readings):
        self.vocab, self.readings = vocab, readings
        self.labels, self.cfg = ("PER",), {"touching": 1.0}

    def get_pipe(self, name):
        return self

    def read(self, docs):
        numbers = [int(doc[2].text.removeprefix("number")) for doc in docs]
        classes = ["OBI".index(tag) for number in numbers for tag in self.readings[number % len(self.readings)]]
        logits = torch.nn.functional.one_hot(torch.tensor(classes), 3) * 10.0
        return TaggerOutput(torch.zeros(len(classes), 4), logits, [3] * len(docs))


@pytest.fixture
def label(tmp_path, monkeypatch):
    """Label forty texts "Photo Anna ..." as a teacher does that reads them so."""

    def run(*readings):
        vocab = spacy.blank("xx").vocab
        texts = [Doc(vocab, words=["Photo", "Anna", f"number{i}"]) for i in range(40)]
        DocBin(docs=texts).to_disk(tmp_path / "corpus.spacy")
        monkeypatch.setattr(soft_labels, "_load", lambda path: Teacher(vocab, readings))
        monkeypatch.setattr(soft_labels, "_fingerprint", lambda path: [])
        monkeypatch.setattr(soft_labels, "tagger_output", Teacher.read)
        found = label_corpus([tmp_path], tmp_path / "corpus.spacy", tmp_path / "soft")
        docs = DocBin().from_disk(tmp_path / "soft" / "00000.spacy").get_docs(vocab)
        tags = {"".join("OBI"[i] for i in get_soft_labels(doc, 3).argmax(axis=1)) for doc in docs}
        return found, tags

    return run


def test_labels_leave_out_a_word_that_the_teacher_is_unsure_of(label):
    assert label("BIO", "OBO") == ((40, {"Photo": 40}), {"OBO"})


@pytest.mark.parametrize("reading", ["BIO", "BOO", "OBO", "OOO"])
def test_labels_keep_what_the_teacher_is_sure_of(label, reading):
    assert label(reading) == ((40, {}), {reading})
