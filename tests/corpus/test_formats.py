"""Every format, as far as words, tags, spans and places; every malformed file, as far as the message."""

from __future__ import annotations

import json
import re

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_prokd.corpus.contents import Text
from spacy_prokd.corpus.formats import FORMATS, find_split, read_file
from spacy_prokd.errors import ProKDError


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
        return path

    return write_file


def sentences(path):
    return [(record.words, record.tags) for record in read_file(path).records]


TWO = [(["Anna", "lebt"], ["B-PER", "O"]), (["Bonn"], ["B-LOC"])]


@pytest.mark.parametrize(
    "text",
    [
        "Anna\tB-PER\nlebt\tO\n\nBonn\tB-LOC\n",
        "Anna B-PER\nlebt O\n\nBonn B-LOC",
        "Anna NNP  I-NP B-PER\nlebt VB I-VP O\n \nBonn NNP I-NP B-LOC\n",
        "-DOCSTART- -X- -X- O\n\nAnna N N B-PER\nlebt V V O\n\n-DOCSTART- -X- -X- O\nBonn N N B-LOC\n",
        "-DOCSTART-\nAnna\tB-PER\r\nlebt\tO\r\n\r\n\r\nBonn\tB-LOC\r\n",
        "\ufeffAnna\tB-PER\nlebt\tO\n\nBonn\tB-LOC\n",
        "de:Anna\tB-PER\nde:lebt\tO\n\nde:Bonn\tB-LOC\n",
        "# sent_id = 1\n1\tAnna\tB-PER\n2\tlebt\tO\n\n# text = Bonn\n1\tBonn\tB-LOC\n",
        "# id\n1\tAnna\tB-PER\t-\tstephen\n2\tlebt\tO\n\n1\tBonn\tB-LOC\t-\tstephen\n",  # Universal NER: ragged
        "1\tAnna\tNNP\tB-PER\n2\tlebt\tVBZ\tO\n\n1\tBonn\tNNP\tB-LOC\n",
        "#\tNZZ\n1\tAnna\tB-PER\tO\n2\tlebt\tO\tO\n\n1\tBonn\tB-LOC\tO\n",  # GermEval: outer, then inner entities
        "Anna \tB-PER \nlebt\tO\n \t\nBonn\tB-LOC  \n",  # spaces that a spreadsheet keeps
        "Anna\tB-PER\rlebt\tO\r\rBonn\tB-LOC\r",
        "Anna\tB-PER\r\r\nlebt\tO\r\r\n\r\r\nBonn\tB-LOC\r\r\n",
        "1-2\tAnnas\tO\n1\tAnna\tB-PER\n2\tlebt\tO\n2.1\tnie\tO\n\n1\tBonn\tB-LOC\n",
    ],
)
def test_columns(write, text):
    assert sentences(write("train.conll", text)) == TWO


def test_one_column_is_not_annotated(write):
    assert sentences(write("a.tsv", "Anna\nlebt\n\nBonn\n")) == [(["Anna", "lebt"], None), (["Bonn"], None)]
    assert sentences(write("b.tsv", "1\tAnna\n2\tlebt\n")) == [(["Anna", "lebt"], None)]


def test_words_stay_as_they_are(write):
    words = ["#", "de:Wort", "a\u00a0b", "\u2028", "\u0085", "1", "\u200b", "😀", "مرحبا"]
    path = write("a.tsv", "".join(f"{word}\tO\n" for word in words))
    assert sentences(path) == [(words, ["O"] * len(words))]


def test_numbers_as_words_are_no_index(write):
    assert sentences(write("a.tsv", "1990\tO\n12\tO\n\n7\tO\n")) == [(["1990", "12"], ["O", "O"]), (["7"], ["O"])]


def test_every_word_knows_its_line(write):
    (first, second) = read_file(write("a.tsv", "-DOCSTART-\n\nAnna\tO\nlebt\tO\n\n\nBonn\tO\n")).records
    assert (first.lines, second.lines) == ([3, 4], [7])


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("Anna\tO\nlebt\n", 2, r"1 column\(s\), line 1 has 2"),
        ("Anna O\nlebt V O\n", 2, r"3 column\(s\), line 1 has 2"),
        ("1\tAnna\tO\n2\tlebt\n", 2, r"2 column\(s\), line 1 has 3"),
        ("word,tag\nAnna,B-PER\nlebt,O\n", 2, "no tab or space between them"),
        ('"Anna";"NN";"B-PER"\n"lebt";"V";"O"\n', 2, "no tab or space between them"),
        ("Anna\tO\n\tO\n", 2, "the word is empty"),
        ("Anna\tO\nlebt\t\n", 2, "the tag is empty"),
    ],
)
def test_malformed_columns(write, text, line, message):
    with pytest.raises(ProKDError, match=rf"a\.tsv:{line}: .*{message}"):
        read_file(write("a.tsv", text))


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.jsonl"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_files(write, name, content):
    with pytest.raises(ProKDError, match=f"{name} is empty. .*delete it"):
        read_file(write(name, content))


def test_only_document_boundaries(write):
    with pytest.raises(ProKDError, match="has no words"):
        read_file(write("a.tsv", "-DOCSTART- O\n\n"))


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.jsonl"])
def test_wrong_encoding_names_line_and_byte(write, name):
    with pytest.raises(ProKDError, match=rf"{name}:2: byte 7 \(0xfc\) is not UTF-8.*iconv -f LATIN1"):
        read_file(write(name, "Anna\nM\u00fcnchen\n".encode("latin1").replace(b"M\xfc", b"Mu\xfc")))


def test_an_encoding_of_windows_is_not_taken_for_latin1(write):
    with pytest.raises(ProKDError, match=r"iconv -f WINDOWS-1252 .* WINDOWS-1250 \(Polish"):
        read_file(write("a.txt", "Wymagamy znajomości Pythona.\n".encode("cp1250")))


@pytest.mark.parametrize(
    ("name", "content", "encoding"),
    [
        ("a.txt", "Глечик із кераміки, Опішня.\n", "windows-1251"),
        ("a.jsonl", '{"text": "Глечик", "spans": [{"start": 0, "end": 6, "label": "MATERIAL"}]}\n', "windows-1251"),
        ("a.tsv", "Київ\tB-PLACE\n", "windows-1251"),
        ("a.txt", "Größe „Übung“ é à\n", "windows-1252"),
        ("a.txt", "Größe Übung é à\n", "latin1"),
    ],
)
def test_the_encoding_that_is_proposed_gives_the_text(write, name, content, encoding):
    raw = content.encode(encoding)
    with pytest.raises(ProKDError) as caught:
        read_file(write(name, raw))
    (proposed,) = re.findall(r"`iconv -f (\S+)", str(caught.value))
    assert raw.decode(proposed) == content and proposed.lower() == encoding
    assert ("Ukrainian" in str(caught.value)) == (encoding == "windows-1251")


EAST_ASIA = {
    "cp932": "のぞみ7号は①番線から東京駅を発車します。\n",
    "euc-jp": "JR東日本は上野駅と大宮駅の間で運転を見合わせています。\n",
    "iso-2022-jp": "本日、のぞみ7号は満席です。\n",
    "utf-16le": "エレベーターは故障中です。\n東京駅\n",
    "utf-16be": "エレベーターは故障中です。\n東京駅\n",
    "gb18030": "由于大雪，和谐号G101次列车晚点。请在站台等候，我们的列车会在南京南站停车三分钟。\n",
    "big5": "由於大雪，自強號列車誤點。請在月台等候，我們的列車會在台中站停車三分鐘。\n",
    "euc-kr": "서울역에서 출발하는 열차는 폭설로 인해 지연되고 있습니다.\n",
}


@pytest.mark.parametrize("encoding", EAST_ASIA)
@pytest.mark.parametrize("name", ["a.txt", "a.tsv"])
def test_an_encoding_of_east_asia_is_proposed(write, name, encoding):
    raw = EAST_ASIA[encoding].encode(encoding)
    with pytest.raises(ProKDError, match=r"a\.\w+:1: .*Convert the file") as caught:
        read_file(write(name, raw))
    (proposed,) = re.findall(r"`iconv -f (\S+)", str(caught.value))
    assert raw.decode(proposed) == EAST_ASIA[encoding] and proposed.lower() == encoding


def test_a_file_that_was_cut_within_a_letter_still_tells_its_encoding(write):
    with pytest.raises(ProKDError, match=r"iconv -f CP932 .* if it is CP932 \(Shift-JIS\)\."):
        read_file(write("a.txt", EAST_ASIA["cp932"].strip().encode("cp932")[:-1]))


def test_utf16_is_recognised(write):
    with pytest.raises(ProKDError, match=r"a\.tsv:1: byte 0 .*iconv -f UTF-16"):
        read_file(write("a.tsv", "Anna\tO\n".encode("utf-16")))


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_recognised(write, name, encoding):
    with pytest.raises(ProKDError, match=r"a\.\w+:1: there are zero bytes.*iconv"):
        read_file(write(name, "Anna\tO\n".encode(encoding)))


@pytest.mark.parametrize("word", ["München", "Straße", "Öl", "Übung", "Ärger", "‚Zitat‘"])
def test_mojibake_is_warned_about(write, word):
    broken = word.encode("utf8").decode("cp1252")
    contents = read_file(write("a.tsv", f"in\tO\n{broken}\tO\n\n{broken}\tO\n"))
    assert len(contents.warnings) == 1
    assert contents.warnings[0].startswith("seems to have 2 mis-decoded lines (first a.tsv:2")
    (warning,) = read_file(write("b.tsv", f"in\tO\n{broken}\tO\n")).warnings
    assert warning.startswith("seems to have 1 mis-decoded line (first b.tsv:2")
    assert read_file(write("c.tsv", f"in\tO\n{word}\tO\nSÃO\tO\n")).warnings == []


def test_plain_text(write):
    contents = read_file(write("train.txt", "Anna lebt.\r\n\n  In Bonn\tO  \n"))
    assert contents.records == [Text("Anna lebt.", None, 1), Text("In Bonn\tO", None, 3)]


@pytest.mark.parametrize(
    ("text", "extension"),
    [
        ('{"text": "Anna lebt."}\n\n{"text": "In Bonn."}\n', "jsonl"),
        ("Anna\tB-PER\nlebt\tO\n\nBonn\tB-LOC\n", "tsv"),
        ("-DOCSTART- -X- -X- O\n\nAnna NNP I-NP B-PER\nlebt V I-VP O\n", "tsv"),
    ],
)
def test_another_format_is_no_plain_text(write, text, extension):
    with pytest.raises(ProKDError, match=rf"train\.txt:\d: .* Rename the file to train\.{extension}"):
        read_file(write("train.txt", text))


def test_html_in_plain_text_is_warned_about(write):
    (warning,) = read_file(write("a.txt", "Anna lebt.\n<p>Anna &amp; Otto</p>\n")).warnings
    assert "has HTML in 1 line (first a.txt:2: '<p>Anna &amp; Otto</p>')" in warning
    assert read_file(write("b.txt", "a < b > c & d; <3\n{Anna}\nBlutgruppe O\n")).warnings == []


SPANS = [(0, 4, "PER"), (12, 16, "LOC")]


@pytest.mark.parametrize(
    "record",
    [
        {"spans": [{"start": 0, "end": 4, "label": "PER", "token_start": 0}, {"start": 12, "end": 16, "label": "LOC"}]},
        {"spans": SPANS, "tokens": [{"text": "Anna", "start": 0, "end": 4, "id": 0}], "answer": "accept"},
        {"entities": [[0, 4, "PER"], [12, 16, "LOC"]]},
        {"label": [[0, 4, "PER"], [12, 16, "LOC"]]},
        {
            "entities": [
                {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 4},
                {"id": 2, "label": "LOC", "start_offset": 12, "end_offset": 16},
            ],
            "relations": [],
        },
    ],
)
def test_texts_with_spans(write, record):
    path = write("a.jsonl", "\n" + json.dumps({"text": "Anna lebt in Bonn", **record}) + "\n")
    assert read_file(path).records == [Text("Anna lebt in Bonn", SPANS, 2)]


def test_no_spans_differ_from_no_annotation(write):
    (none, empty) = read_file(write("a.jsonl", '{"text": "a"}\n{"text": "b", "spans": []}')).records
    assert (none.spans, empty.spans) == (None, [])


@pytest.mark.parametrize("key", ["tags", "ner_tags"])
def test_tokens_with_tags(write, key):
    path = write("a.jsonl", json.dumps({"id": "0", "tokens": ["Anna", "lebt"], key: ["B-PER", "O"]}))
    assert sentences(path) == [(["Anna", "lebt"], ["B-PER", "O"])]


def test_what_an_annotator_rejected_is_left_out(write):
    lines = [{"text": "a", "answer": "reject"}, {"text": "b", "answer": "ignore"}, {"text": "c", "answer": "accept"}]
    contents = read_file(write("a.jsonl", "\n".join(map(json.dumps, lines))))
    assert [record.text for record in contents.records] == ["c"]
    assert contents.warnings == ["2 records were rejected or ignored by their annotator and are left out."]


def test_records_without_text_are_counted(write):
    contents = read_file(write("a.jsonl", '{"text": " "}\n{"tokens": [], "tags": []}\n{"text": "a"}'))
    assert len(contents.records) == 1
    assert contents.warnings == ["2 records have no text and are left out."]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('["text"]', "a JSON list, not an object"),
        ('{"txt": "a"}', r"neither .*found the keys \['txt'\]"),
        ('{"text": "a", "spans": [[0, 1]]}', "is no span"),
        ('{"text": "a", "spans": [{"start": 0, "end": "1", "label": "PER"}]}', "is no span"),
        ('{"text": "a", "spans": [{"start": 0, "end": true, "label": "PER"}]}', "is no span"),
        ('{"text": "a", "spans": [{"start": 0, "end": 1, "label": ""}]}', "is no span"),
        ('{"text": "a", "label": "positive"}', "spans must be a list"),
        ('{"text": "a", "label": ["positive"]}', "is no span"),
        ('{"text": "a \\ud800"}', "half a surrogate pair"),
        ('{"tokens": ["a", "b"], "tags": ["O"]}', "2 tokens need a list of as many tags"),
        ('{"tokens": ["a", "b"], "tags": [0, 1]}', "tags are numbers.*feature.names"),
        ('{"tokens": ["a"], "tags": [null]}', "tags must be strings"),
        ('{"tokens": ["a", ""], "tags": ["O", "O"]}', "must be words"),
        ('{"tokens": [{"text": "a"}], "tags": ["O"]}', "must be words"),
    ],
)
def test_malformed_json_lines(write, line, message):
    with pytest.raises(ProKDError, match=rf"a\.jsonl:2: .*{message}"):
        read_file(write("a.jsonl", '{"text": "fine"}\n' + line))


def test_docbins_give_words_spaces_and_entities_only(tmp_path):
    vocab = spacy.blank("de").vocab
    annotated = Doc(vocab, words=["Anna", "lebt", "."], spaces=[True, False, False], ents=["B-PER", "O", "O"])
    bare = Doc(vocab, words=["Bonn"])
    annotated.user_data["secret"] = "B-PER"
    DocBin(docs=[annotated, Doc(vocab), bare], store_user_data=True).to_disk(tmp_path / "a.spacy")
    first, second = read_file(tmp_path / "a.spacy").records
    assert (first.words, first.tags, first.spaces) == (["Anna", "lebt", "."], ["B-PER", "O", "O"], [True, False, False])
    assert (second.words, second.tags, second.spaces, second.lines) == (["Bonn"], None, None, [3])


def test_partial_annotation_is_warned_about(tmp_path):
    doc = Doc(spacy.blank("de").vocab, words=["Anna", "lebt"], ents=["B-PER", ""])
    DocBin(docs=[doc]).to_disk(tmp_path / "a.spacy")
    contents = read_file(tmp_path / "a.spacy")
    assert contents.records[0].tags == ["B-PER", "O"]
    assert contents.warnings == ["1 Docs are annotated in part; their other words count as O."]


def test_damaged_docbin(write, tmp_path):
    with pytest.raises(ProKDError, match=r"a.spacy is not a readable .spacy file"):
        read_file(write("a.spacy", b"Anna\tO"))
    DocBin(docs=[]).to_disk(tmp_path / "b.spacy")
    with pytest.raises(ProKDError, match=r"b.spacy has no Docs"):
        read_file(tmp_path / "b.spacy")


@pytest.mark.parametrize("extension", FORMATS)
def test_a_split_is_found_in_any_format(write, tmp_path, extension):
    path = write(f"train{extension}", "")
    write("training.tsv", "")
    write("train.md", "")
    assert find_split(tmp_path, "train") == path
    assert find_split(tmp_path, "dev") is None


def test_two_files_for_a_split(write, tmp_path):
    write("train.tsv", "")
    write("train.jsonl", "")
    with pytest.raises(ProKDError, match=r"two files for 'train': train.jsonl, train.tsv"):
        find_split(tmp_path, "train")


@pytest.mark.parametrize("name", ["dev.csv", "dev.old.tsv"])
def test_unknown_format(write, tmp_path, name):
    """Nothing that is meant as a split is passed over in silence."""
    write(name, "")
    with pytest.raises(ProKDError, match=rf"{name} is in an unknown format. Known are \.tsv"):
        find_split(tmp_path, "dev")
