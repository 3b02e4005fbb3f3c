"""What a conversion says of the texts themselves."""

from __future__ import annotations

import pytest
import spacy

from spacy_prokd.corpus.texts import Texts
from spacy_prokd.scripts import main_script


def gather(file: str, *texts: str) -> Texts:
    nlp, found = spacy.blank("xx"), Texts(file)
    for line, text in enumerate(texts, start=1):
        found.add(nlp.make_doc(text), line)
    return found


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Anna reist nach Москва", "LATIN"),
        ("Анна едет в Bonn", "CYRILLIC"),
        ("東京タワーへいく", "CJK"),  # Han, Katakana and Hiragana
        ("서울", "HANGUL"),
        ("1990 / 91 !", ""),
        ("", ""),
    ],
)
def test_the_main_script(text, script):
    assert main_script(text) == script


def test_texts_in_another_script_are_told_with_the_first_line():
    found = gather("nl/train.txt", *["Zij woont in Leiden ."] * 40, "Она живёт там .", "1990", "Она .")
    (warning,) = found.warn_of_scripts()
    assert warning.startswith("2 of 43 texts are mainly in the script CYRILLIC, 40 in LATIN (first nl/train.txt:41)")


def test_a_stray_text_is_no_warning():
    assert gather("nl/train.txt", *["Zij woont in Leiden ."] * 99, "Она").warn_of_scripts() == []
    assert gather("nl/train.txt", "1990").warn_of_scripts() == []


def test_texts_of_another_split_are_told():
    train = gather("nl/train.txt", "Een .", "Twee .", "Drie .")
    test = gather("nl/test.txt", "Twee .", "Vier .", "Twee .")
    assert test.warn_of_overlap(train) == ["2 of 3 texts are in nl/train.txt too, word for word."]
    assert gather("nl/test.txt", "Vier .").warn_of_overlap(train) == []
    held_out = gather("nl/train.txt", "Een .")
    assert held_out.warn_of_overlap(train) == ["1 of 1 texts held out are in the rest of the file too, word for word."]


def test_lengths():
    found = gather("nl/train.txt", "Een .", "Een twee drie vier .", "Een twee drie .")
    assert (found.median_length, max(found.lengths)) == (4, 5)
    assert Texts("nl/train.txt").median_length == 0
