"""What a student's prototypes say of words, without its classifier."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SOURCE, found, make_docs
from spacy.language import Language
from spacy.tokens import Doc

from spacy_prokd.architectures import get_head
from spacy_prokd.prototype_tags import find_prototypes, tag_by_prototypes
from spacy_prokd.units import Units


@pytest.fixture
def references(student_nlp: Language) -> list[Doc]:
    return make_docs(student_nlp.vocab, SOURCE)


def spans(nlp: Language, references: list[Doc]) -> list[list[tuple[int, int, str]]]:
    return [found(example.predicted) for example in tag_by_prototypes(nlp, references)]


def test_prototypes_of_words_that_a_student_knows_say_what_it_says(student_nlp: Language, references: list) -> None:
    examples = tag_by_prototypes(student_nlp, references)
    assert [example.reference for example in examples] == references
    said = [found(example.predicted) for example in examples]
    assert said[:2] == [[(0, 2, "PER"), (3, 4, "LOC")], [(0, 2, "ORG"), (6, 7, "LOC")]]
    assert all(0 < ent._.score <= 1 for example in examples for ent in example.predicted.ents)


def test_the_prototypes_decide_and_not_the_classifier(student_nlp: Language, references: list) -> None:
    before = spans(student_nlp, references)
    pipe, bank = find_prototypes(student_nlp)
    per, loc = (pipe.tags.index(f"B-{label}") for label in ("PER", "LOC"))
    order = list(range(len(pipe.tags)))
    order[per : per + 2], order[loc : loc + 2] = order[loc : loc + 2], order[per : per + 2]
    bank.vectors.copy_(bank.vectors[order])
    bank.mass.copy_(bank.mass[order])
    other = {"PER": "LOC", "LOC": "PER", "ORG": "ORG"}
    assert spans(student_nlp, references) == [[(a, b, other[label]) for a, b, label in each] for each in before]


def test_labels_of_the_texts_are_not_read(student_nlp: Language, references: list) -> None:
    plain = [Doc(student_nlp.vocab, words=[word.text for word in doc]) for doc in references]
    assert spans(student_nlp, plain) == spans(student_nlp, references)


def test_a_class_without_words_is_never_said(student_nlp: Language, references: list) -> None:
    pipe, bank = find_prototypes(student_nlp)
    bank.mass[pipe.tags.index("B-PER")] = 0.0
    said = spans(student_nlp, references)
    assert any(said) and not any(label == "PER" for each in said for _start, _end, label in each)


def test_a_word_within_a_unit_goes_on_with_what_its_first_is(
    student_nlp: Language, references: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As characters of Chinese do: "Siemens AG opened" read as "Siemens"."""
    pipe, _bank = find_prototypes(student_nlp)
    doc = references[1]
    rest = [word.text for word in doc[3:]]
    units = Units([Doc(doc.vocab, words=[doc[0].text, *rest])], [np.array([0, *range(3, len(doc))])])
    monkeypatch.setattr(pipe, "to_units", lambda docs: units)
    assert spans(student_nlp, [doc])[0][0] == (0, 3, "ORG")


def test_a_pipeline_that_did_not_train_itself_has_none(
    trained: Language, student_nlp: Language, references: list
) -> None:
    assert find_prototypes(trained) is None and tag_by_prototypes(trained, references) == []
    get_head(student_nlp.get_pipe("prokd_ner").model).target.updates.fill_(7)  # as with prototypes of some batches
    assert tag_by_prototypes(student_nlp, references) == []
