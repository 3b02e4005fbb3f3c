"""Symbols that join entities, and entities that touch: counted in the source language, and kept in the target's."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
from conftest import LABELS, found, initialize, make_docs, make_nlp, read_tagged, set_sure, to_examples
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_prokd.corpus.readers import GOLD_KEY
from spacy_prokd.decoding import ScoredSpan
from spacy_prokd.habits import Habits, is_symbol, join_spans

ONE = "Springfield/B-LOC (/I-LOC Illinois/I-LOC )/I-LOC grew ."
TWO = "Springfield/B-LOC (/O Lincoln/B-PER )/O grew ."
TOUCHING = "Springfield/B-LOC (/B-LOC Illinois/I-LOC ."
OUTSIDE = "Springfield/B-LOC (/O then small ) grew ."


def count(*texts: str) -> list[str]:
    counts = Habits()
    for doc in make_docs(Vocab(), texts):
        counts.add(doc)
    return counts.joining()


def test_a_symbol_joins_where_it_does_so_in_three_places_of_four():
    assert count(*15 * [ONE], *5 * [TWO]) == ["("]
    assert count(*14 * [ONE], *6 * [TWO]) == []


def test_a_few_places_are_no_habit():
    assert count(*19 * [ONE]) == []
    assert count(*20 * [ONE]) == ["("]


def test_an_entity_that_begins_at_the_symbol_is_another():
    assert count(*15 * [ONE], *5 * [TOUCHING]) == ["("]
    assert count(*15 * [ONE], *6 * [TOUCHING]) == []


def test_a_symbol_with_an_entity_on_one_side_alone_says_nothing():
    assert count(*20 * [ONE], *20 * [OUTSIDE]) == ["("]


def test_words_do_not_join():
    assert count(*20 * ["Trinidad/B-LOC and/I-LOC Tobago/I-LOC ."]) == []


def test_a_text_that_ends_with_a_symbol():
    assert count(*20 * [ONE], "(", "(/B-LOC", "") == ["("]


@pytest.mark.parametrize(("word", "expected"), [("(", True), ("``", True), ("،", True), ("A", False), ("-3", False)])
def test_a_symbol_has_no_letters_and_no_digits(word, expected):
    assert is_symbol(word) is expected


NEIGHBOURS = "Paris/B-LOC London/B-LOC Siemens/B-ORG grew ."


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([*10 * [ONE], NEIGHBOURS], 3 / 30),  # two touch, and one more is counted
        (10 * [ONE], 1 / 30),
        ([*6 * [ONE], *5 * [NEIGHBOURS]], 1.0),  # too few to tell
        ([*7 * [ONE], *20 * [NEIGHBOURS]], 1.0),  # no more than if none were seldom
        ([], 1.0),
    ],
)
def test_how_often_entities_touch_is_counted_beside_how_often_they_go_on(texts, expected):
    counts = Habits()
    for doc in make_docs(Vocab(), texts):
        counts.add(doc)
    assert counts.touching() == pytest.approx(expected)


def spans(*given: tuple[int, int, str, float]) -> list[ScoredSpan]:
    return [ScoredSpan(*each) for each in given]


def test_spans_around_a_joining_symbol_become_one_of_the_surer_label_and_the_lower_score():
    words = ["A", "(", "B", ")", "C"]
    assert join_spans(spans((0, 1, "LOC", 0.9), (2, 3, "PER", 0.4)), words, {"("}) == spans((0, 3, "LOC", 0.4))
    assert join_spans(spans((0, 1, "LOC", 0.2), (2, 3, "PER", 0.4)), words, {"("}) == spans((0, 3, "PER", 0.2))


@pytest.mark.parametrize("symbol", ["·", "‧", "-"])
def test_a_point_or_hyphen_between_characters_of_a_script_without_spaces_is_within_a_name(symbol):
    parts = spans((0, 2, "PER", 0.9), (3, 5, "LOC", 0.4))
    assert join_spans(parts, [*"科比", symbol, *"布莱"], ()) == spans((0, 5, "PER", 0.4))
    assert join_spans(parts, [*"科比", symbol, "A", "B"], ()) == parts
    assert join_spans(parts, ["A", "B", symbol, *"布莱"], ()) == parts
    assert join_spans(parts, [*"科比", "、", *"布莱"], ()) == parts


def test_three_spans_become_one():
    words = ["A", "-", "B", "-", "C"]
    three = spans((0, 1, "LOC", 0.9), (2, 3, "LOC", 0.8), (4, 5, "LOC", 0.7))
    assert join_spans(three, words, {"-"}) == spans((0, 5, "LOC", 0.7))


def test_other_spans_stay():
    words = ["A", "(", "(", "B", ",", "C", "D"]
    apart = spans((0, 1, "LOC", 0.9), (3, 4, "LOC", 0.8), (5, 6, "LOC", 0.7), (6, 7, "LOC", 0.7))
    assert join_spans(apart, words, {"("}) == apart
    assert join_spans([], words, {"("}) == []


@pytest.fixture
def source(nlp) -> list[Doc]:
    return make_docs(nlp.vocab, [*20 * [ONE], "Lincoln/B-PER of/O Siemens/B-ORG ."])


TARGET = read_tagged("Uruk/B-LOC (/O Irak/B-LOC )/O .")
TWO_ENTITIES = [(0, 1, "LOC"), (2, 3, "LOC")]


def test_a_teachers_habit_is_its_students(source, small_tok2vec, tmp_path):
    teacher = make_nlp(small_tok2vec)
    assert found(set_sure(initialize(teacher, to_examples(source)), *TARGET)) == [(0, 4, "LOC")]
    teacher.to_disk(tmp_path / "teacher")
    assert found(set_sure(spacy.load(tmp_path / "teacher"), *TARGET)) == [(0, 4, "LOC")]
    student = make_nlp(small_tok2vec, objective={"@misc": "spacy-prokd.Student.v1"})
    unlabelled = to_examples(make_docs(student.vocab, 20 * ["Uruk ( Irak ) ."]))
    initialize(student, unlabelled, labels=LABELS, start_from=str(tmp_path / "teacher"))
    assert found(set_sure(student, *TARGET)) == [(0, 4, "LOC")]


def test_habits_can_be_left_out(source, small_tok2vec):
    teacher = initialize(make_nlp(small_tok2vec), to_examples(source), habits=False)
    assert found(set_sure(teacher, *TARGET)) == TWO_ENTITIES
    assert teacher.get_pipe("prokd_ner").cfg["touching"] == 1.0


def test_labels_on_target_text_make_no_habit(source, small_tok2vec):
    student = make_nlp(small_tok2vec, objective={"@misc": "spacy-prokd.Student.v1"})
    assert found(set_sure(initialize(student, to_examples(source), labels=LABELS), *TARGET)) == TWO_ENTITIES
    assert student.get_pipe("prokd_ner").cfg["touching"] == 1.0


def test_where_entities_seldom_touch_a_doubtful_beginning_goes_on(source, small_tok2vec, tmp_path):
    teacher = initialize(make_nlp(small_tok2vec), to_examples(source))
    teacher.to_disk(tmp_path / "teacher")
    student = make_nlp(small_tok2vec, objective={"@misc": "spacy-prokd.Student.v1"})
    unlabelled = to_examples(make_docs(student.vocab, ["Uruk Irak ."]))
    initialize(student, unlabelled, labels=LABELS, start_from=str(tmp_path / "teacher"))
    for nlp in (teacher, spacy.load(tmp_path / "teacher"), student):
        pipe = nlp.get_pipe("prokd_ner")
        assert pipe.cfg["touching"] == pytest.approx(1 / 60)
        p = np.full((3, len(pipe.tags)), 0.01)
        for word, tag, of_tag in [(0, "B-LOC", 0.9), (1, "B-LOC", 0.7), (1, "I-LOC", 0.2), (2, "O", 0.9)]:
            p[word, pipe.tags.index(tag)] = of_tag
        doc = Doc(nlp.vocab, words=["Uruk", "Irak", "."])
        pipe.set_annotations([doc], [p])
        assert found(doc) == [(0, 2, "LOC")]


def test_a_few_labelled_texts_of_the_target_seen_again_and_again_make_no_habit(source, source_docs, small_tok2vec):
    for doc in source:
        doc.user_data[GOLD_KEY] = True
    examples = to_examples([*source_docs, *source])
    assert found(set_sure(initialize(make_nlp(small_tok2vec), examples), *TARGET)) == TWO_ENTITIES


def test_without_the_habit_they_are_two(source_docs, small_tok2vec):
    assert found(set_sure(initialize(make_nlp(small_tok2vec), to_examples(source_docs)), *TARGET)) == TWO_ENTITIES
