"""Letters of scripts without spaces are words; all else is cut as spaCy cuts it, and no text is changed."""

from __future__ import annotations

import pickle

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.util import get_words_and_spaces

from spacy_prokd.corpus.convert import convert_language
from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.errors import ProKDError
from spacy_prokd.tokenizer import ScriptTokenizer, blank

NLP = blank()
SPACYS_OWN = spacy.blank("xx")


def words_of(text: str, nlp: spacy.Language = NLP) -> list[str]:
    return [word.text for word in nlp(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我在北京。", ["我", "在", "北", "京", "。"]),
        ("2008年（LA）的NBA", ["2008", "年", "（", "LA", "）", "的", "NBA"]),
        ("科比·布莱恩特", ["科", "比", "·", "布", "莱", "恩", "特"]),
        ("東京タワーへ", ["東", "京", "タ", "ワ", "ー", "へ"]),
        ("อยู่ที่ Bangkok", ["อ", "ยู่", "ที่", "Bangkok"]),
        ("か\u3099", ["か\u3099"]),
        ("MTV台湾, U.K.", ["MTV", "台", "湾", ",", "U.K."]),
        (" a 中\n\n文 ", [" ", "a", "中", "\n\n", "文"]),
        ("二〇〇八年", ["二", "〇", "〇", "八", "年"]),
        ("ｿﾆｰのﾀﾞｲｴｰ", ["ｿ", "ﾆ", "ｰ", "の", "ﾀﾞ", "ｲ", "ｴ", "ｰ"]),
        ("ယူႉ꩷ꧠꩠ", ["ယူႉ", "꩷", "ꧠ", "ꩠ"]),  # with letters of Shan and of Khamti
    ],
)
def test_letters_are_words_with_their_marks(text, words):
    assert words_of(text) == words
    assert NLP(text).text == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("他在Google、Meta和IBM工作。", ["他", "在", "Google", "、", "Meta", "和", "IBM", "工", "作", "。"]),
        ("New York，London", ["New", "York", "，", "London"]),
        ("NHK、TBS、TV", ["NHK", "、", "TBS", "、", "TV"]),
        (
            "Apple（AAPL），《Time》（1923）",
            ["Apple", "（", "AAPL", "）", "，", "《", "Time", "》", "（", "1923", "）"],
        ),
        ("AKB48・NMB48｡", ["AKB48", "・", "NMB48", "｡"]),
        ("ＮＨＫ／ＢＳ１２：U.K.", ["ＮＨＫ", "／", "ＢＳ１２", "：", "U.K."]),
        ("Siehe https://example.com/a，dann", ["Siehe", "https://example.com/a", "，", "dann"]),
    ],
)
def test_their_punctuation_is_a_word_wherever_it_stands(text, words):
    assert words_of(text) == words
    assert NLP(text).text == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("※JR東日本", ["※", "JR", "東", "日", "本"]),
        ("①Suica→PASMO≪新≫", ["①", "Suica", "→", "PASMO", "≪", "新", "≫"]),
        ("•JR×SL―京都", ["•", "JR", "×", "SL", "―", "京", "都"]),
        ("■JR‥❤JR、", ["■", "JR", "‥", "❤", "JR", "、"]),
    ],
)
def test_signs_are_words_beside_such_letters(text, words):
    """As people write them there: without spaces, also before a name in Latin letters."""
    assert words_of(text) == words


def test_signs_are_spacys_where_there_are_no_such_letters():
    assert words_of("※A→B 3×4 ①a") == words_of("※A→B 3×4 ①a", SPACYS_OWN) == ["※A→B", "3×4", "①a"]


def test_full_width_digits_and_letters_are_words_as_those_of_ascii_are():
    assert words_of("第１２号 Ａｐｐｌｅ") == ["第", "１２", "号", "Ａｐｐｌｅ"]


@given(
    st.lists(
        st.sampled_from([*"aé9 .,-()·。、，（「」〇中文タガｶﾞไที่\u3099\u302a\u0e49\n\t", "U.K.", "don't", "http://a.b"])
    )
)
def test_no_text_is_changed(parts):
    text = "".join(parts)
    assert NLP(text).text == text


@given(st.lists(st.sampled_from([*"ab ,中文ไที่\n\t\u200b\u3000", "  "])))
def test_spaces_are_where_spacy_has_them(parts):
    text = "".join([*parts, "中"])
    doc = NLP(text)
    words = [word.text for word in doc]
    assert (words, [bool(word.whitespace_) for word in doc]) == get_words_and_spaces(words, text)


@given(st.text(st.characters(max_codepoint=0x5FF)))
def test_where_there_are_spaces_the_words_are_spacys(text):
    assert words_of(text) == words_of(text, SPACYS_OWN)


@pytest.mark.parametrize(
    ("lang", "text", "words"),
    [
        ("de", "Das z.B. im DFB-Pokal.", ["Das", "z.B.", "im", "DFB-Pokal", "."]),
        ("fr", "l'Allemagne", ["l'", "Allemagne"]),
        ("nl", "d.w.z. foto's", ["d.w.z.", "foto's"]),
    ],
)
def test_a_language_has_its_own_rules(lang, text, words):
    assert words_of(text, blank(lang)) == words_of(text, spacy.blank(lang)) == words
    assert words_of(text) != words


@pytest.mark.parametrize("lang", ["de", "ja", "ko", "th", "vi", "zh"])  # spaCy's own of all but one need a package
def test_letters_are_words_whatever_the_language(lang):
    assert words_of("我在 Seoul。", blank(lang)) == ["我", "在", "Seoul", "。"]


@pytest.mark.parametrize(
    ("lang", "message"), [("qq", "no language 'qq'"), ("../de", "no language"), ("deu", "'deu' is 'de'. Take that")]
)
def test_a_language_that_spacy_does_not_have(lang, message):
    with pytest.raises(ProKDError, match=message):
        blank(lang)


def test_a_plugin_that_does_not_import_is_not_taken_for_a_missing_language(monkeypatch):
    def fails(*args, **kwargs):
        raise ImportError("cannot import name 'BatchEncoding'")

    monkeypatch.setattr(spacy, "blank", fails)
    with pytest.raises(ImportError, match="BatchEncoding"):
        blank("de")


def test_it_is_saved_and_copied(tmp_path):
    NLP.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    for tokenizer in (loaded.tokenizer, pickle.loads(pickle.dumps(NLP.tokenizer))):
        assert isinstance(tokenizer, ScriptTokenizer)
        assert [word.text for word in tokenizer("在U.K.。")] == ["在", "U.K.", "。"]


def test_own_rules_and_pipe():
    nlp = blank()
    nlp.tokenizer.add_special_case("e.V.", [{"ORTH": "e.V."}])
    assert [[word.text for word in doc] for doc in nlp.tokenizer.pipe(["中e.V.", "e.V. b"])] == [
        ["中", "e.V."],
        ["e.V.", "b"],
    ]
    assert [len(doc) for doc in nlp.pipe(["我在", "a b c"] * 3, n_process=2)] == [2, 3] * 3


def test_raw_text_without_spaces_is_converted_with_its_entities(tmp_path):
    folder = tmp_path / "zh"
    folder.mkdir()
    (folder / "train.txt").write_text("我在北京。\n", encoding="utf8")
    (folder / "dev.jsonl").write_text(
        '{"text": "我在北京。", "spans": [{"start": 2, "end": 4, "label": "LOC"}]}\n', encoding="utf8"
    )
    convert_language(tmp_path, "zh", tmp_path / "out", unlabelled_train=True)
    (doc,) = read_docs(tmp_path / "out" / "zh" / "dev.spacy", NLP.vocab)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("北京", "LOC")]
    assert [len(doc) for doc in read_docs(tmp_path / "out" / "zh" / "train.spacy", NLP.vocab)] == [5]
