"""A paragraph is read as it is by itself; hard-wrapped lines are none."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest
from conftest import initialize, make_nlp, to_examples
from hypothesis import example, given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_prokd.architectures import encoder_nodes
from spacy_prokd.paragraphs import split_paragraphs
from spacy_prokd.tokenizer import blank
from spacy_prokd.units import to_units

NLP = blank()
SEPARATORS = ["\n\n", "\n", "\r\n", "\n ", " \n\t", "\r\n\r\n"]
GERMAN = [
    "Angela Merkel besuchte gestern die Siemens AG in München. Mit ihr reisten Peter Weber und drei Minister, die in "
    "Bayern wohnen. Am Abend sprach sie vor vierhundert Gästen über die Donaudampfschifffahrt.",
    "Das Wetter war kalt.",
    "Die Deutsche Bank zahlt Weber nicht, wie ihr Sprecher in Frankfurt am Main sagte. Er wolle klagen, hieß es aus "
    "Berlin; das Gericht hat noch nicht entschieden, ob es die Klage annimmt.",
    "Paris.",
    "Merkel und Weber trafen sich in Berlin und fuhren danach gemeinsam nach Potsdam weiter.",
]
CHINESE = [
    "他在北京大学工作，每天早上坐地铁去上班。",
    "科比·布莱恩特是美国篮球运动员，曾效力于洛杉矶湖人队，获得过五次总冠军。他出生于费城，父亲也是篮球运动员。",
    "东京很大。",
    "上海位于中国东部，是中国最大的城市之一，也是重要的金融中心和港口。",
]


def words_of(text: str) -> list[str]:
    return [word.text for word in NLP(text)]


def paragraphs_of(text: str) -> list[list[str]]:
    """The paragraphs of a text, without what stands between them."""
    return [words for words in split_paragraphs(NLP(text)) if not "".join(words).isspace()]


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
@pytest.mark.parametrize("paragraphs", [GERMAN, GERMAN[:3], CHINESE, GERMAN * 20], ids=len)
def test_a_document_has_the_paragraphs_that_it_was_made_of(paragraphs, separator):
    assert paragraphs_of(separator.join(paragraphs)) == [words_of(paragraph) for paragraph in paragraphs]


@pytest.mark.parametrize(
    "text",
    [
        "Berlin\nHamburg\nMünchen\nKöln",
        "Die Kanzlerin in München\n" + GERMAN[0],
        GERMAN[0] + "\nParis.",  # one newline, behind the widest line
        "床前明月光\n疑是地上霜\n举头望明月\n低头思故乡",
        "\n" + "\n".join(GERMAN) + "\n",
    ],
)
def test_each_line_is_a_paragraph_where_lines_are_as_long_as_they_are(text):
    assert paragraphs_of(text) == [words_of(line) for line in text.split("\n") if line]


def wrap(paragraph: str, width: int) -> str:
    if " " in paragraph:
        return textwrap.fill(paragraph, width)
    return "\n".join(paragraph[start : start + width] for start in range(0, len(paragraph), width))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n  "], ids=ascii)
@pytest.mark.parametrize(
    ("paragraphs", "width"),
    [*((GERMAN, width) for width in (40, 60, 72, 80, 100)), (GERMAN[:1], 72), (CHINESE, 20), (CHINESE, 35)],
)
def test_hard_wrapped_text_is_cut_at_blank_lines_alone(paragraphs, width, newline):
    wrapped = [wrap(paragraph, width).replace("\n", newline) for paragraph in paragraphs]
    assert any(newline in paragraph for paragraph in wrapped)
    text = (newline.rstrip(" ") * 2).join(wrapped)
    assert paragraphs_of(text) == [words_of(paragraph) for paragraph in wrapped]


def test_an_address_wider_than_its_lines_makes_them_no_paragraphs():
    wrapped = [textwrap.fill(paragraph, 60) for paragraph in (*GERMAN, "https://example.com/" + "a" * 150, *GERMAN)]
    assert paragraphs_of("\n\n".join(wrapped)) == [words_of(paragraph) for paragraph in wrapped]


@given(
    st.lists(st.sampled_from(["\n", "\r\n", "\n\n", " ", "\t", "a", "Berlin ", "北京", "。", "x" * 30])).map("".join)
)
@example("")
@example("\n")
def test_paragraphs_have_every_word_once(text):
    doc = NLP(text)
    found = split_paragraphs(doc)
    assert [word for words in found for word in words] == [word.text for word in doc]
    assert all(found)


def test_words_that_were_given_with_newlines_in_them_are_words():
    doc = Doc(NLP.vocab, words=["Angela\n\nMerkel", "in", "Berlin"])
    assert split_paragraphs(doc) == [["Angela\n\nMerkel", "in", "Berlin"]]


# --- what the encoder sees


@pytest.fixture(scope="module")
def read(tiny_encoder, tiny_transformer):
    """Gives the vectors of a text's words, of a pipeline with our encoder."""
    nlp = make_nlp(tiny_transformer)
    initialize(nlp, to_examples([Doc(nlp.vocab, words=["Berlin"], ents=["B-LOC"])]), tiny_encoder)
    (encoder,) = encoder_nodes(nlp.get_pipe("prokd_ner").model)

    def read(text: str) -> np.ndarray:
        docs = to_units([NLP(text)], encoder.shims[0].module.pieces).docs
        (vectors,) = encoder.predict(docs)
        return vectors[[not word.is_space for word in docs[0]]]

    return read


@pytest.mark.parametrize("separator", SEPARATORS[:3], ids=ascii)
@pytest.mark.parametrize("paragraphs", [GERMAN, CHINESE])
def test_words_have_the_vectors_that_they_have_in_their_paragraph(read, paragraphs, separator):
    alone = np.concatenate([read(paragraph) for paragraph in paragraphs])
    np.testing.assert_allclose(read(separator.join(paragraphs)), alone, atol=1e-5)


def test_words_of_hard_wrapped_text_see_the_lines_around_theirs(read):
    first, second = textwrap.wrap("Merkel und Weber trafen sich in Berlin und fuhren", 30)
    assert np.abs(read(f"{first}\n{second}") - np.concatenate([read(first), read(second)])).max() > 0.01
