"""Words that two pipelines prefer another tag for, in texts whose labels and tags are written here."""

from __future__ import annotations

from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_prokd.mistakes import keep_gold
from spacy_prokd.preferences import compare_preferences

VOCAB = Vocab()


def tag(texts: list[tuple[str, str]], *found: str) -> list[Doc]:
    """Texts with their gold tags, as a pipeline that found these tags leaves them."""
    docs = []
    for (words, gold), tags in zip(texts, found, strict=True):
        doc = Doc(VOCAB, words=words.split(), ents=tags.split())
        docs.append(keep_gold(Example(doc, Doc(VOCAB, words=words.split(), ents=gold.split()))))
    return docs


TEXTS = [("In Bonn Rom", "O B-LOC B-LOC"), ("Bonn siegt Ulm", "B-ORG O B-LOC"), ("Bonn Ulm", "B-LOC B-LOC")]
TEACHER = tag(TEXTS, "O B-LOC B-LOC", "B-LOC O B-LOC", "B-LOC B-LOC")


def test_the_tags_of_most_places_are_compared_and_where_they_first_differ() -> None:
    student = tag(TEXTS, "O B-LOC O", "B-ORG O B-LOC", "B-ORG B-LOC")
    (bonn,) = compare_preferences({"teacher": TEACHER, "student": student}, 2)
    assert (bonn.word, bonn.places, bonn.example) == ("Bonn", 3, (1, 0))
    assert bonn.tags == {"labels": ("B-LOC", 2 / 3), "teacher": ("B-LOC", 1.0), "student": ("B-ORG", 2 / 3)}


def test_words_in_fewer_places_are_left_out_and_frequent_ones_come_first() -> None:
    student = tag(TEXTS, "O B-ORG B-ORG", "B-ORG O B-PER", "B-ORG B-PER")
    found = {
        fewest: [each.word for each in compare_preferences({"teacher": TEACHER, "student": student}, fewest)]
        for fewest in (1, 2, 3)
    }
    assert found == {1: ["Bonn", "Ulm", "Rom"], 2: ["Bonn", "Ulm"], 3: ["Bonn"]}


def test_half_of_the_places_are_no_preference() -> None:
    student = tag(TEXTS, "O B-LOC B-LOC", "B-LOC O B-LOC", "B-LOC O")  # "Ulm" is a place once, and nothing once
    assert compare_preferences({"teacher": TEACHER, "student": student}, 2) == []
