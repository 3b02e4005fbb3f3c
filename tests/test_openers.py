"""Words that open text after text: when they are no part of a name, and what that says of the words behind them."""

from collections import Counter

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc, DocBin

from spacy_prokd import soft_labels
from spacy_prokd.architectures import TaggerOutput
from spacy_prokd.decoding import ScoredSpan
from spacy_prokd.openers import begin_behind, begin_names_behind, count_boilerplate, find_common, find_opener
from spacy_prokd.soft_labels import get_soft_labels, label_corpus

VOCAB = spacy.blank("xx").vocab


def test_common_words_open_at_least_twenty_texts_and_one_in_fifty():
    counts = Counter({"Photo": 30, "The": 20, "A": 19})
    assert find_common(counts) == ["Photo", "The"]
    assert find_common(counts + Counter({"": 1431})) == ["", "Photo"]


def docs(*texts: str) -> list[Doc]:
    return [Doc(VOCAB, words=text.split()) for text in texts]


def test_an_opener_goes_on_as_long_as_three_texts_of_four_do():
    assert find_opener(docs("Photo : Ann", "Photo : Bo", "photo : Cy", "Photo by Di")) == ("photo", ":")
    assert find_opener(docs("R E D # a", "R E D # b", "R o m e")) == ("r",)
    assert find_opener(docs("Photo", "Photo")) == ("photo",)


def boilerplate(openers: list[tuple[str, ...]], *texts: str) -> dict[tuple[str, ...], int]:
    return count_boilerplate(lambda: docs(*texts), openers)


def test_boilerplate_stands_nowhere_but_there():
    texts = ["Photo : Ann", "PHOTO : Bo", "Siemens grows", "Siemens shrinks", "At Siemens"]
    assert boilerplate([("photo", ":"), ("siemens",)], *texts) == {("photo", ":"): 2}
    assert boilerplate([("photo", ":")], *9 * ["Photo : Ann"], "A photo of Ann") == {("photo", ":"): 9}
    assert boilerplate([("photo", ":")], *8 * ["Photo : Ann"], "A photo of Ann") == {}
    assert boilerplate([], "Photo : Ann") == {}


def test_a_name_in_an_opener_that_stands_elsewhere_too_is_none():
    assert boilerplate([("berlin", "(", "dpa", ")")], "BERLIN ( dpa ) Ann", "Ann went to Berlin") == {}


def test_letters_are_boilerplate_where_all_of_them_stand_nowhere_else():
    texts = ["R E D # a", "r e d # b", "R E D i s R E A D"]
    assert boilerplate([("r", "e", "d", "#")], *texts) == {("r", "e", "d", "#"): 2}
    assert boilerplate([("r", "e")], *texts) == {}


def name(start: int, end: int, score: float = 0.4) -> ScoredSpan:
    return ScoredSpan(start, end, "PER", score)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([[name(0, 3)], [name(2, 3)]], True),  # part of the name in some texts, left out in others
        ([[name(0, 2), name(2, 3)]], True),  # taken for a name by itself, which the teacher is not sure of
        ([[name(0, 2, 0.9), name(2, 3)]], False),  # which it is sure of
        ([[name(0, 2, 0.9), name(2, 3)]] * 9 + [[name(2, 3)]], True),
        ([[name(0, 3)]] * 10 + [[name(2, 3)]], False),
        ([[name(3, 4)], []], False),
    ],
)
def test_names_begin_behind_an_opener_in_one_text_of_ten(names, expected):
    assert begin_names_behind(names, 2) is expected


def test_what_goes_on_with_the_opener_begins_behind_it():
    p = np.array([[0.2, 0.6, 0.2], [0.3, 0.5, 0.2], [0.1, 0.2, 0.7], [0.5, 0.2, 0.3]])
    known = begin_behind(p, 2)
    assert known[:2].tolist() == [pytest.approx([1.0, 0.0, 0.0])] * 2
    assert known[2].tolist() == pytest.approx([0.1, 0.2 + 0.7 * 0.7, 0.7 - 0.7 * 0.7])
    assert known[3].tolist() == p[3].tolist()
    assert begin_behind(p[:2], 2).tolist() == [pytest.approx([1.0, 0.0, 0.0])] * 2


class Teacher:
    """Stands in for a pipeline: it has a few readings, as tags, and takes one after the other for the texts."""

    def __init__(self, vocab, readings):
        self.vocab, self.readings = vocab, readings
        self.labels, self.cfg = ("PER",), {"touching": 1.0, "joining": []}

    def get_pipe(self, name):
        return self

    def read(self, docs):
        numbers = [int(doc[1].text.removeprefix("Anna")) for doc in docs]
        classes = ["OBI".index(tag) for number in numbers for tag in self.readings[number % len(self.readings)]]
        logits = torch.nn.functional.one_hot(torch.tensor(classes), 3) * 10.0
        return TaggerOutput(torch.zeros(len(classes), 4), logits, [3] * len(docs))


@pytest.fixture
def label(tmp_path, monkeypatch):
    """Label forty texts "Photo Anna7 came" as a teacher does that reads them so."""

    def run(*readings, **settings):
        vocab = spacy.blank("xx").vocab
        texts = [Doc(vocab, words=["Photo", f"Anna{i}", "came"]) for i in range(40)]
        DocBin(docs=texts).to_disk(tmp_path / "corpus.spacy")
        monkeypatch.setattr(soft_labels, "_load", lambda path: Teacher(vocab, readings))
        monkeypatch.setattr(soft_labels, "_fingerprint", lambda path: [])
        monkeypatch.setattr(soft_labels, "tagger_output", Teacher.read)
        found = label_corpus([tmp_path], tmp_path / "corpus.spacy", tmp_path / "soft", **settings)
        docs = DocBin().from_disk(tmp_path / "soft" / "00000.spacy").get_docs(vocab)
        tags = {"".join("OBI"[i] for i in get_soft_labels(doc, 3).argmax(axis=1)) for doc in docs}
        return found, tags

    return run


def test_labels_leave_out_a_word_that_the_teacher_is_unsure_of(label):
    assert label("BIO", "OBO") == ((40, {"photo": 40}), {"OBO"})
    assert label("BIO", "OBO", openers=False) == ((40, {}), {"BIO", "OBO"})


@pytest.mark.parametrize("reading", ["BIO", "BOO", "OOO"])
def test_labels_keep_what_the_teacher_is_sure_of(label, reading):
    assert label(reading) == ((40, {}), {reading})
