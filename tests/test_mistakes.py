"""Confusions, the worst texts and disagreements, of texts whose labels and tags are written here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest
from conftest import scored_doc
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_prokd.mistakes import count_alone, count_confusions, find_disagreements, find_worst, is_labelled, keep_gold

VOCAB = Vocab()
NUMBERS = count()


def tagged(gold: str, found: str, scores: Sequence[float] = ()) -> Doc:
    """A Doc of as many words as there are tags, in no other Doc, with the scores of its entities."""
    words = [f"w{next(NUMBERS)}" for _tag in gold.split()]
    doc = scored_doc(VOCAB, words, found.split(), scores) if scores else Doc(VOCAB, words=words, ents=found.split())
    return keep_gold(Example(doc, Doc(VOCAB, words=words, ents=gold.split())))


@pytest.mark.parametrize(
    ("gold", "found", "types", "other_borders"),
    [
        ("B-PER I-PER O", "B-PER I-PER O", {("PER", "PER"): 1}, {}),
        ("B-PER I-PER O", "B-LOC I-LOC O", {("PER", "LOC"): 1}, {}),
        ("B-PER I-PER O", "B-PER O O", {("PER", "PER"): 1}, {"PER": 1}),
        ("B-PER O O", "O O B-PER", {("PER", ""): 1, ("", "PER"): 1}, {}),
        # the longer part of a name that was cut in two is what was found of it
        ("B-ORG I-ORG I-ORG", "B-LOC B-ORG I-ORG", {("ORG", "ORG"): 1, ("", "LOC"): 1}, {"ORG": 1}),
        # of two parts as long as each other, the one of its type
        ("B-ORG I-ORG", "B-LOC B-ORG", {("ORG", "ORG"): 1, ("", "LOC"): 1}, {"ORG": 1}),
        ("B-LOC B-PER", "B-LOC I-LOC", {("LOC", "LOC"): 1, ("PER", ""): 1}, {"LOC": 1}),
    ],
)
def test_confusions(gold: str, found: str, types: dict, other_borders: dict) -> None:
    confusion = count_confusions([tagged(gold, found), tagged("", "")])
    assert (confusion.types, confusion.other_borders) == (types, other_borders)
    assert sum(confusion.total(label) for label in {label for label, _found in types}) == sum(types.values())


def test_the_worst_texts_have_the_most_errors_and_right_ones_are_none() -> None:
    docs = [
        tagged("B-PER O O", "B-PER O O"),
        tagged("B-PER O O", "O O O"),
        tagged("B-PER O O", "B-LOC O B-LOC"),
        tagged("O O", "B-LOC O"),
    ]
    assert find_worst(docs, most=10) == [2, 1, 3]
    assert find_worst(docs, most=1) == [2]


def test_disagreements_are_sorted_by_the_score_of_what_only_one_found() -> None:
    gold = ["B-PER O", "B-PER O", "O O", "B-PER B-LOC"]
    teacher = [
        tagged(gold[0], "B-PER O", [0.9]),
        tagged(gold[1], "B-PER O", [0.6]),
        tagged(gold[2], "O O"),
        tagged(gold[3], "B-PER B-LOC", [0.99, 0.2]),
    ]
    student = [
        tagged(gold[0], "B-PER O", [0.8]),
        tagged(gold[1], "B-LOC O", [0.3]),
        tagged(gold[2], "O B-LOC", [0.7]),
        tagged(gold[3], "B-PER O", [0.99]),
    ]
    assert find_disagreements(teacher, student, most=10) == [2, 1, 3]
    assert find_disagreements(teacher, student, most=2) == [2, 1]
    assert count_alone(teacher, student) == (2, 2)
    assert count_alone(student, teacher) == (0, 2)


def test_without_labels_nobody_knows_who_is_right() -> None:
    one, other = (Doc(VOCAB, words=["a", "b"], ents=tags) for tags in (["B-PER", "O"], ["B-PER", "B-LOC"]))
    assert count_alone([other], [one]) == (None, 1)
    assert not is_labelled(keep_gold(Example(one, Doc(VOCAB, words=["a", "b"])))) and is_labelled(tagged("O", "O"))


def test_without_scores_texts_are_in_their_order() -> None:
    without = [Doc(VOCAB, words=[word], ents=["B-LOC"]) for word in ("w0", "w1")]
    assert find_disagreements(without, [tagged("O", "O")] * 2, most=10) == [0, 1]


def test_a_text_that_is_there_twice_is_shown_once() -> None:
    docs = [tagged("B-PER O", "O O"), tagged("B-PER O", "O B-LOC")]
    twice = [*docs, *docs]
    assert find_worst(twice, most=10) == [1, 0]
    assert find_disagreements(twice, [tagged("O O", "O O")] * 4, most=10) == [1]


def test_labels_and_scores_are_kept_in_a_file() -> None:
    doc = tagged("B-PER I-PER O", "B-PER O B-LOC", [0.75, 0.25])
    (read,) = DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(Vocab())
    assert [(span.start, span.end, span.label_) for span in read.spans["gold"]] == [(0, 2, "PER")]
    assert [ent._.score for ent in read.ents] == [0.75, 0.25]
