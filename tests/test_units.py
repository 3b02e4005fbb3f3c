"""Characters read as the encoder's pieces, and what that says of each character."""

import numpy as np
import pytest
import spacy
import torch
from conftest import initialize, learn, make_encoder, make_nlp, make_tokenizer, to_examples
from spacy.tokens import Doc, DocBin, Span

from spacy_prokd.architectures import TaggerOutput
from spacy_prokd.corpus.readers import create_corpus
from spacy_prokd.shrinking import shrink
from spacy_prokd.soft_labels import label_corpus
from spacy_prokd.tokenizer import blank
from spacy_prokd.units import to_units, to_words


class Pieces:
    """Stands for an encoder that knows some pieces of more than one character."""

    known = ("北京", "大学", "2009", "Eternal", "AB", "กรุง")

    def starts(self, texts):
        return [self._starts(text) for text in texts]

    def _starts(self, text):
        found, at = [0] if not text else [], 0
        while at < len(text):
            found.append(at)
            at += next((len(piece) for piece in self.known if text.startswith(piece, at)), 1)
        return found


PIECES = Pieces()


def units_of(*texts, pieces=PIECES):
    vocab = spacy.blank("xx").vocab
    docs = [Doc(vocab, words=text) for text in texts]
    return docs, to_units(docs, pieces)


def words_of(doc):
    return [word.text for word in doc]


def test_characters_are_joined_to_the_pieces_of_the_encoder():
    _, units = units_of([*"他在北京大学"])
    assert words_of(units.docs[0]) == ["他", "在", "北京", "大学"]
    assert units.firsts[0].tolist() == [0, 1, 2, 4]


def test_digits_and_latin_letters_beside_them_are_joined_too():
    _, units = units_of([*"2009年《Eternal》北京"])
    assert words_of(units.docs[0]) == ["2009", "年", "《", "Eternal", "》", "北京"]


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("北 京大学", ["北", "京", "大学"]),
        ("Plan A B\n\n北京", ["Plan", "A", "B", "\n\n", "北京"]),  # the first paragraph as it is read alone
    ],
)
def test_letters_that_a_space_parts_are_not_joined(text, units):
    (joined,) = to_units([blank()(text)], PIECES).docs
    assert words_of(joined) == units
    assert joined.text == text


def test_a_letter_with_its_marks_is_one_word_of_a_piece():
    _, units = units_of(["ก", "รุ", "ง", "ยู่"], ["が", "\u304b\u3099"])
    assert words_of(units.docs[0]) == ["กรุง", "ยู่"]
    assert units.firsts[0].tolist() == [0, 3]


@pytest.mark.parametrize(
    "words",
    [
        ["A", "B", "2", "0", "0", "9"],  # no such script
        ["北京大学", "在", "北京"],  # words already
        [],
    ],
)
def test_a_doc_of_words_is_read_as_it_is(words):
    docs, units = units_of(words)
    assert units.docs[0] is docs[0]
    assert units.firsts[0].tolist() == list(range(len(words)))


def test_without_our_encoder_nothing_is_joined():
    docs, units = units_of([*"北京"], pieces=None)
    assert units.docs == docs


def test_the_characters_of_a_piece_go_on_with_what_it_begins():
    docs, units = units_of([*"北京大学"], ["in", "Berlin"])
    p = torch.tensor([[0.1, 0.6, 0.3], [0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # O, B-LOC, I-LOC
    vectors = torch.arange(4.0)[:, None]
    words = to_words(TaggerOutput(vectors, p.log(), [2, 2]), units, docs)
    assert words.lengths == [4, 2]
    assert words.vectors.flatten().tolist() == [0, 0, 1, 1, 2, 3]
    expected = [[0.1, 0.6, 0.3], [0.1, 0, 0.9], [0.2, 0.3, 0.5], [0.2, 0, 0.8], [1, 0, 0], [0, 1, 0]]
    np.testing.assert_allclose(torch.softmax(words.logits, dim=-1), expected, atol=1e-6)


def test_what_is_said_of_words_stays_as_it_is():
    docs, units = units_of(["in", "Berlin"], [])
    output = TaggerOutput(torch.zeros(2, 1), torch.zeros(2, 3), [2, 0])
    assert to_words(output, units, docs) is output


# --- from text to entities

SENTENCES = [
    ("他在北京大学", (2, 4, "LOC")),
    ("东京很大", (0, 2, "LOC")),
    ("他在家", None),
    ("北京很大", (0, 2, "LOC")),
]


@pytest.fixture(scope="module")
def chinese_encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chinese") / "encoder"
    make_encoder(folder, make_tokenizer(["北京", "大学", "东京", *"他在北京大学东很家"]))
    return folder


def test_teacher_student_and_package_read_units(chinese_encoder, tiny_transformer, tmp_path):
    vocab = spacy.blank("xx").vocab
    docs = [Doc(vocab, words=[*text]) for text, _ in SENTENCES]
    DocBin(docs=docs).to_disk(tmp_path / "plain.spacy")
    gold = [[] if ent is None else [ent] for _, ent in SENTENCES]
    for doc, ents in zip(docs, gold):
        doc.set_ents([Span(doc, *ent) for ent in ents])
    teacher = initialize(make_nlp(tiny_transformer), to_examples(docs), chinese_encoder)
    learn(teacher, to_examples(docs), steps=100)
    teacher.to_disk(tmp_path / "teacher")
    label_corpus([tmp_path / "teacher"], tmp_path / "plain.spacy", tmp_path / "soft")
    soft = list(create_corpus(path=tmp_path / "soft")(teacher))
    student = make_nlp(tiny_transformer, objective={"@misc": "spacy-prokd.Student.v1"})
    initialize(student, soft, labels=["LOC"], start_from=str(tmp_path / "teacher"), epochs=2)
    learn(student, soft, steps=4, rate=0.001)
    student.to_disk(tmp_path / "student")
    shrink(student, tmp_path / "student", tmp_path / "plain.spacy", 100)
    for nlp in (teacher, student, spacy.load(tmp_path / "student")):
        read = [nlp(Doc(nlp.vocab, words=[*text])) for text, _ in SENTENCES]
        assert [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in read] == gold
