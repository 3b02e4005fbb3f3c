"""What a conversion says of the texts themselves."""

from __future__ import annotations

import pytest
import spacy
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_prokd.corpus.texts import Texts, script_of_language
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
    (warning,) = found.warn_of_scripts("nl")
    assert warning.startswith("2 of 43 texts are mainly in the script CYRILLIC, 40 in LATIN (first nl/train.txt:41)")


def test_a_stray_text_is_no_warning():
    assert gather("nl/train.txt", *["Zij woont in Leiden ."] * 99, "Она").warn_of_scripts("nl") == []
    assert gather("nl/train.txt", "1990").warn_of_scripts("nl") == []


@pytest.mark.parametrize(
    ("lang", "script"),
    [
        *(("nl", "LATIN"), ("ru", "CYRILLIC"), ("ar", "ARABIC"), ("el", "GREEK"), ("hi", "DEVANAGARI")),
        *(("zh", "CJK"), ("ja", "CJK"), ("ko", "HANGUL"), ("th", "THAI"), ("zh-Hans", "CJK")),
        *(("ha", ""), ("xx", ""), ("english", ""), ("char_classes", ""), ("", "")),
    ],
)
def test_the_script_of_a_language_is_that_of_what_spacy_has_of_it(lang, script):
    assert script_of_language(lang) == script


@pytest.mark.parametrize(
    ("lang", "text", "scripts"),
    [
        ("nl", "Она живёт там .", ("CYRILLIC", "LATIN")),
        ("ru", "She lives there .", ("LATIN", "CYRILLIC")),
        ("zh", "She lives there .", ("LATIN", "CJK")),
        ("ko", "東京タワーへいく", ("CJK", "HANGUL")),
    ],
)
def test_a_file_in_the_script_of_another_language_is_told(lang, text, scripts):
    found, expected = scripts
    assert gather("x/train.txt", "1990", *[text] * 9, "Ελένη").warn_of_scripts(lang) == [
        f"9 of 11 texts are mainly in the script {found} (first x/train.txt:2), but what spaCy has of '{lang}' is in "
        f"{expected}: check that this is the right file and '{lang}' the code of its language."
    ]


@pytest.mark.parametrize(
    ("lang", "text"),
    [("nl", "Zij woont daar ."), ("ja", "東京タワーへいく"), ("ja", "こんにちは"), ("ha", "Она"), ("ha", "Zij")],
)
def test_a_script_that_is_a_languages_own_or_unknown_is_no_warning(lang, text):
    assert gather("x/train.txt", text).warn_of_scripts(lang) == []


JAPANESE, CHINESE = "東京駅に着いた。", "列车从北京南站出发。"


@pytest.mark.parametrize(
    ("lang", "texts", "said"),
    [
        ("ja", [CHINESE] * 9 + [JAPANESE], ("only 1 of 10 texts have Kana", "'zh'")),
        ("ja-JP", [CHINESE], ("only 0 of 1 texts have Kana", "'zh'")),
        ("zh", [JAPANESE] * 3 + [CHINESE], ("3 of 4 texts have Kana, which Chinese has not", "'ja'")),
        ("zh-Hans", [JAPANESE], ("1 of 1 texts have Kana", "'ja'")),
    ],
)
def test_japanese_and_chinese_are_told_apart(lang, texts, said):
    (warning,) = gather("x/train.txt", *texts).warn_of_kana(lang)
    problem, meant = said
    assert warning.startswith(problem) and f"If its language is {meant}" in warning


@pytest.mark.parametrize(
    ("lang", "texts"),
    [
        ("ja", [JAPANESE, "東京都", "京都府"]),  # names alone
        ("ja", ["She lives there ."]),  # of which `warn_of_scripts` tells
        ("zh", [CHINESE] * 9 + [JAPANESE]),
        ("zh", ["阿尔弗雷德・诺贝尔ー"]),  # marks of Japanese, no letters
        ("ko", [JAPANESE]),
        ("nl", ["Zij woont daar ."]),
        ("ja", ["1990"]),
    ],
)
def test_what_may_be_japanese_or_chinese_is_no_warning(lang, texts):
    assert gather("x/train.txt", *texts).warn_of_kana(lang) == []


@pytest.mark.parametrize(
    "text", ["東京 駅 に 着い た 。", "列车 从 北京南站 出发 。", "แมว กิน ปลา", "JR 東日本 は 運休"]
)
def test_text_that_was_cut_into_words_is_told(text):
    (warning,) = gather("x/train.txt", JAPANESE, text).warn_of_spaces()
    assert warning.startswith("1 of 2 texts have spaces between words") and "(first x/train.txt:2)" in warning


@pytest.mark.parametrize(
    "text",
    [
        *(JAPANESE, "She lives there .", "1990 / 91 !", "가 나 다", "ＪＲ　東日本"),
        *("東京駅に着いた。 京都駅に着いた。", "สวัสดีครับผมชื่อสมชาย อยู่กรุงเทพมหานคร"),
    ],
)
def test_spaces_that_people_write_are_no_warning(text):
    assert gather("x/train.txt", text).warn_of_spaces() == []


def test_columns_say_nothing_of_spaces():
    found = Texts("x/train.tsv")
    found.add(Doc(Vocab(), words=["東京", "駅", "に"]), 1)
    assert found.warn_of_spaces() == []


def test_texts_that_are_there_again_are_counted():
    assert gather("nl/train.txt", "Een .", "Twee .", "Een .", "Drie .", "Een .").repeated == 2
    assert gather("nl/train.txt", "Een .", "Twee .").repeated == 0


def test_texts_of_another_split_are_told():
    train = gather("nl/train.txt", "Een .", "Twee .", "Drie .")
    test = gather("nl/test.txt", "Twee .", "Vier .", "Twee .")
    assert test.warn_of_overlap(train) == ["2 of 3 texts are in nl/train.txt too, word for word."]
    assert gather("nl/test.txt", "Vier .").warn_of_overlap(train) == []
    dev, other = gather("nl/dev.txt", "Vier .", "Twee ."), gather("nl/other.txt", "Vijf .")
    assert test.warn_of_overlap(train, dev, other) == [
        "3 of 3 texts are in nl/train.txt and nl/dev.txt too, word for word."
    ]
    of_its_name = gather("nl/train.txt", "Een .")
    assert of_its_name.warn_of_overlap(train) == ["1 of 1 texts are in nl/train.txt too, word for word."]
    held_out = gather("nl/train.txt", "Een .")
    held_out.is_held_out = True
    assert held_out.warn_of_overlap(train) == ["1 of 1 texts held out are in the rest of the file too, word for word."]


def test_lengths():
    found = gather("nl/train.txt", "Een .", "Een twee drie vier .", "Een twee drie .")
    assert (found.median_length, max(found.lengths)) == (4, 5)
    assert Texts("nl/train.txt").median_length == 0
