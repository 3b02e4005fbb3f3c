"""Gold annotation as classes: the fast path for equal words says what spaCy's alignment says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.lang.xx import MultiLanguage
from spacy.tokens import Doc
from spacy.training import Example

from spacy_prokd.errors import ProKDError
from spacy_prokd.training_data import _bio, gold_classes

NLP = MultiLanguage()
TAGS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
WORDS = st.sampled_from(["Paris", "in", "U.S.", "-", "é"])
STRETCHES = st.lists(st.tuples(st.sampled_from(["LOC", "PER", "outside", "missing", "blocked"]), st.integers(1, 3)))


@settings(max_examples=100, deadline=None)
@given(STRETCHES, st.data())
def test_fast_path_equals_alignment(stretches: list[tuple[str, int]], data: st.DataObject) -> None:
    n_words = sum(length for _kind, length in stretches)
    words = data.draw(st.lists(WORDS, min_size=n_words, max_size=n_words))
    doc = Doc(NLP.vocab, words=words)
    groups: dict[str, list] = {"outside": [], "missing": [], "blocked": []}
    entities, start = [], 0
    for kind, length in stretches:
        span = doc[start : start + length]
        if kind in groups:
            groups[kind].append(span)
        else:
            entities.append(doc.char_span(span.start_char, span.end_char, label=kind))
        start += length
    doc.set_ents(entities, **groups)
    example = Example(Doc(NLP.vocab, words=words), doc)
    expected = [-1] * n_words
    if doc.has_annotation("ENT_IOB"):
        expected = [-1 if tag is None else TAGS.index(_bio(tag)) for tag in example.get_aligned_ner()]
    assert gold_classes([example], ["LOC", "PER"]).tolist() == expected


def test_other_words_are_aligned() -> None:
    reference = Doc(NLP.vocab, words=["New", "York", "City", "rocks"], ents=["B-LOC", "I-LOC", "I-LOC", "O"])
    predicted = Doc(NLP.vocab, words=["New", "York", "City", "ro", "cks"], spaces=[True, True, True, False, False])
    same = Example(Doc(NLP.vocab, words=[word.text for word in reference]), reference)
    found = gold_classes([Example(predicted, reference), same], ["LOC"])
    assert found.tolist() == [1, 2, 2, 0, 0, 1, 2, 2, 0]


def test_no_annotation_and_no_examples() -> None:
    plain = Example(Doc(NLP.vocab, words=["a", "b"]), Doc(NLP.vocab, words=["a", "b"]))
    assert gold_classes([plain], ["LOC"]).tolist() == [-1, -1]
    assert gold_classes([], ["LOC"]).tolist() == []


def test_unknown_label() -> None:
    doc = Doc(NLP.vocab, words=["Paris"], ents=["B-GPE"])
    with pytest.raises(ProKDError, match=r"'B-GPE'.*LOC alone"):
        gold_classes([Example(Doc(NLP.vocab, words=["Paris"]), doc)], ["LOC"])
