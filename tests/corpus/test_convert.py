"""Corpus folders to .spacy files: what is written, what is counted, what is never written."""

from __future__ import annotations

import errno
import io
import json
import re
import shutil
from pathlib import Path

import pytest
import spacy
import srsly
from rich.console import Console
from spacy.tokens import Doc, DocBin

from spacy_prokd.corpus import convert_corpus, convert_language
from spacy_prokd.corpus.report import LanguageReport, SplitReport
from spacy_prokd.errors import ProKDError
from spacy_prokd.tokenizer import blank

EN = "Anna\tB-PER\nworks\tO\nin\tO\nBonn\tB-LOC\n\nNothing\tO\n"
DE = "Otto\tB-PER\narbeitet\tO\n\nBonn\tB-LOC\nruft\tO\n"


@pytest.fixture
def corpus(tmp_path):
    """A folder that tests add to or break: en/{train,dev}.tsv, de/{train,dev}.tsv."""
    files = {"en/train.tsv": EN, "en/dev.tsv": EN, "de/train.tsv": DE, "de/dev.tsv": DE}
    return write_all(tmp_path / "in", files)


def write_all(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf8")
    return folder


def load(path):
    return list(DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab))


def entities(path):
    return [[(ent.text, ent.label_) for ent in doc.ents] for doc in load(path)]


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_languages_are_written(corpus, tmp_path):
    report = convert_corpus(corpus, "en", "de", tmp_path / "out")
    names = [
        *("de/convert.json", "de/dev.spacy", "de/labelled.spacy", "de/train.spacy"),
        *("en/convert.json", "en/dev.spacy", "en/train.spacy"),
    ]
    assert sorted(map(Path.as_posix, snapshot(tmp_path / "out"))) == names
    assert entities(tmp_path / "out/en/train.spacy") == [[("Anna", "PER"), ("Bonn", "LOC")], []]
    assert entities(tmp_path / "out/de/dev.spacy") == [[("Otto", "PER")], [("Bonn", "LOC")]]
    train = report.source.splits["train"]
    assert (train.docs, train.words, train.entities, train.scheme) == (2, 5, {"LOC": 1, "PER": 1}, "IOB2")


def test_sentences_without_entities_are_annotated_too(corpus, tmp_path):
    convert_corpus(corpus, "en", "de", tmp_path / "out")
    assert all(doc.has_annotation("ENT_IOB", require_complete=True) for doc in load(tmp_path / "out/en/train.spacy"))


def test_words_of_columns_are_kept_when_spacy_evaluates(corpus, tmp_path):
    (corpus / "de/dev.tsv").write_text("U.S.-Firma\tO\n(\tO\n1990/91\tO\n", encoding="utf8")
    convert_corpus(corpus, "en", "de", tmp_path / "out")
    (doc,) = load(tmp_path / "out/de/dev.spacy")
    assert [word.text for word in doc] == ["U.S.-Firma", "(", "1990/91"]
    (example,) = spacy.training.Corpus(tmp_path / "out/de/dev.spacy")(spacy.blank("de"))
    assert [word.text for word in example.predicted] == ["U.S.-Firma", "(", "1990/91"]


def test_the_labels_of_the_targets_train_never_survive(corpus, tmp_path):
    nlp = spacy.blank("de")
    secret = Doc(
        nlp.vocab, words=["Otto", "Secret"], ents=["B-ORG", "I-ORG"], lemmas=["Secret"] * 2, tags=["Secret"] * 2
    )
    secret.user_data["ents"] = "Secret"
    secret.cats["Secret"] = 1.0
    secret.spans["Secret"] = [secret[:1]]
    originals = {
        "train.tsv": "Otto\tB-ORG\nSecret\tI-ORG\n",
        "train.conll": "Otto -X- B-ORG\n",
        "train.jsonl": '{"text": "Otto", "spans": [{"start": 0, "end": 4, "label": "ORG"}]}\n'
        '{"tokens": ["Otto"], "tags": ["B-ORG"]}\n',
        "train.spacy": None,
    }
    (corpus / "de/dev.tsv").unlink()
    for name, content in originals.items():
        (corpus / "de/train.tsv").unlink(missing_ok=True)
        if content is None:
            DocBin(docs=[secret], store_user_data=True).to_disk(corpus / "de" / name)
        else:
            (corpus / "de" / name).write_text(content, encoding="utf8")
        report = convert_corpus(corpus, "en", "de", tmp_path / name)
        path = tmp_path / name / "de/train.spacy"
        for doc in load(path):
            assert not doc.has_annotation("ENT_IOB")
            assert not (doc.ents or doc.user_data or doc.spans or doc.cats or doc.has_annotation("LEMMA"))
        assert "ORG" not in DocBin().from_disk(path).strings
        assert report.targets[0].splits["train"].entities == {}
        (corpus / "de" / name).unlink()


def test_wrong_tags_in_the_targets_train_do_not_matter(corpus, tmp_path):
    (corpus / "de/train.tsv").write_text("Otto\tX-PER\n", encoding="utf8")
    assert convert_corpus(corpus, "en", "de", tmp_path / "out").targets[0].splits["train"].docs == 1


def test_without_a_dev_file_every_tenth_text_of_the_source_is_held_out(corpus, tmp_path):
    (corpus / "en/dev.tsv").unlink()
    (corpus / "de/dev.tsv").unlink()
    texts = [f"Anna\tB-PER\nno{i}\tO\n" for i in range(25)]
    (corpus / "en/train.tsv").write_text("\n".join(texts), encoding="utf8")
    report = convert_corpus(corpus, "en", "de", tmp_path / "out")
    last_words = {
        split: [doc[-1].text for doc in load(tmp_path / f"out/en/{split}.spacy")] for split in ("train", "dev")
    }
    assert last_words["dev"] == ["no9", "no19"]
    assert sorted([*last_words["train"], *last_words["dev"]]) == sorted(f"no{i}" for i in range(25))
    assert "every tenth of its 25 texts is held out" in report.source.splits["train"].warnings[0]
    assert report.source.splits["dev"].entities == {"PER": 2}
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report)
    assert "en/train.tsv (dev)" in console.export_text()
    # of the target, nothing is
    assert list(report.targets[0].splits) == ["train"]


def test_texts_that_are_there_twice_and_texts_in_another_script_are_told(corpus, tmp_path):
    (corpus / "de/train.tsv").write_text("Анна\tO\n\n" + EN + "\n" + DE, encoding="utf8")
    target = convert_corpus(corpus, "en", "de", tmp_path / "out").targets[0]
    script, few, overlap = target.splits["train"].warnings
    assert few == "has only 5 texts: a few thousand are worth having."
    assert "script CYRILLIC" in script and "first de/train.tsv:1)" in script
    assert "texts are in en/train.tsv and en/dev.tsv too" in overlap
    assert "texts are in de/train.tsv too" in target.splits["dev"].warnings[-1]
    assert target.splits["train"].repeated == 0
    assert target.splits["train"].longest >= target.splits["train"].median_words > 0


def test_the_sources_texts_among_the_targets_test_texts_are_told(corpus, tmp_path):
    write_all(corpus, {"de/test.tsv": EN})
    report = convert_corpus(corpus, "en", "de", tmp_path / "out")
    assert report.targets[0].splits["test"].warnings == [
        "2 of 2 texts are in en/train.tsv and en/dev.tsv too, word for word."
    ]


def test_texts_of_the_target_among_those_held_out_of_the_source_are_told(corpus, tmp_path):
    sentences = "\n".join(f"Berlin\tB-LOC\n{number}\tO\n" for number in range(20))
    write_all(corpus, {"en/train.tsv": sentences, "de/train.tsv": sentences})
    (corpus / "en" / "dev.tsv").unlink()
    report = convert_corpus(corpus, "en", "de", tmp_path / "out")
    overlap = report.targets[0].splits["train"].warnings[-1]
    assert overlap == "20 of 20 texts are in en/train.tsv too, word for word."


def test_texts_that_are_there_twice_in_one_file_have_a_column(corpus, tmp_path):
    def table() -> str:
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(convert_corpus(corpus, "en", "de", tmp_path / "out"))
        return console.export_text()

    assert "repeated" not in table()
    (corpus / "de/train.tsv").write_text(3 * f"{DE}\n", encoding="utf8")
    assert re.search(r"longest +tags +repeated", table())
    saved = json.loads((tmp_path / "out/de/convert.json").read_text(encoding="utf8"))["splits"]["train"]
    assert saved["repeated"] == saved["docs"] * 2 // 3 > 0


def test_texts_in_a_script_that_is_not_the_languages_are_told(corpus, tmp_path):
    cyrillic = "Анна\tB-PER\nживёт\tO\n\n"
    (corpus / "de/train.tsv").write_text(cyrillic, encoding="utf8")
    (corpus / "en/train.tsv").write_text(cyrillic, encoding="utf8")
    report = convert_corpus(corpus, "en", "de", tmp_path / "out")
    for language in (report.source, *report.targets):
        warning = language.splits["train"].warnings[0]
        assert f"script CYRILLIC (first {language.lang}/train.tsv:1), but what spaCy has of" in warning


def test_a_split_that_is_gone_leaves_no_old_output(corpus, tmp_path):
    convert_corpus(corpus, "en", "de", tmp_path / "out")
    (corpus / "de/dev.tsv").unlink()
    convert_corpus(corpus, "en", "de", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/de").iterdir()) == [
        "convert.json",
        "labelled.spacy",
        "train.spacy",
    ]


def test_the_same_input_gives_the_same_bytes(corpus, tmp_path):
    convert_corpus(corpus, "en", "de", tmp_path / "one")
    nlp = spacy.blank("xx")
    nlp("Words from Elsewhere that the vocabulary has seen before")
    convert_language(corpus, "en", tmp_path / "two", unlabelled_train=False, nlp=nlp)
    convert_language(corpus, "de", tmp_path / "two", unlabelled_train=True, known_labels={"LOC", "PER"}, nlp=nlp)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_raw_text_of_the_target_is_split_by_the_pipelines_tokenizer(corpus, tmp_path):
    for lang in ("en", "de"):
        (corpus / lang / "train.tsv").unlink()
        text = '{"text": "Das z.B. geht.", "spans": [{"start": 0, "end": 3, "label": "PER"}]}\n'
        (corpus / lang / "train.jsonl").write_text(text, encoding="utf8")
    (corpus / "de/dev.tsv").write_text("z.\tO\nB.\tO\nDFB-\tB-ORG\nPokal\tO\n", encoding="utf8")
    convert_corpus(corpus, "en", "de", tmp_path / "out", nlp=blank("de"))
    (doc,) = load(tmp_path / "out/de/train.spacy")
    assert [word.text for word in doc] == ["Das", "z.B.", "geht", "."]
    assert doc.text == "Das z.B. geht."
    (source,) = load(tmp_path / "out/en/train.spacy")
    assert [word.text for word in source] == ["Das", "z.", "B.", "geht", "."]
    (words,) = load(tmp_path / "out/de/dev.spacy")
    assert [word.text for word in words] == ["z.", "B.", "DFB-", "Pokal"]


def test_spans_that_cannot_be_kept_are_counted_and_shown(corpus, tmp_path):
    text = "Anna Bell lives in Bonn."
    spans = [(0, 9, "PER"), (0, 4, "PER"), (19, 23, "LOC"), (19, 22, "LOC"), (10, 99, "LOC"), (0, 9, "PER")]
    (corpus / "en/train.tsv").unlink()
    (corpus / "en/train.jsonl").write_text(json.dumps({"text": text, "spans": spans}), encoding="utf8")
    report = convert_corpus(corpus, "en", "de", tmp_path / "out").source.splits["train"]
    assert entities(tmp_path / "out/en/train.spacy") == [[("Anna Bell", "PER"), ("Bonn", "LOC")]]
    assert (report.misaligned, report.overlapping) == (2, 1)
    assert report.examples[0] == "en/train.jsonl:1: 'Bon' (LOC) ends within a word"
    assert "en/train.jsonl:1: 'Anna' (PER) shares a word with a longer span" in report.examples


def convert_spans(corpus, output, *records):
    """What the report says of the target's test texts, each with its spans."""
    lines = [json.dumps({"text": text, "spans": spans}) for text, *spans in records]
    write_all(corpus, {"de/test.jsonl": "\n".join(lines)})
    return convert_corpus(corpus, "en", "de", output).targets[0].splits["test"]


def test_spans_that_are_there_again_are_told_and_counted_once(corpus, tmp_path):
    anna, bonn = (0, 4, "PER"), (8, 12, "LOC")
    report = convert_spans(
        corpus, tmp_path / "out", ("Otto in Bonn", bonn), ("Anna in Bonn", anna, bonn, (7, 12, "LOC"), anna, anna)
    )
    assert (report.entities, report.overlapping, report.examples) == ({"LOC": 2, "PER": 1}, 0, [])
    assert report.warnings == [
        "has 3 spans once more in the same text (first de/test.jsonl:2: 'Bonn' (LOC)): they count once."
    ]
    assert entities(tmp_path / "out/de/test.spacy")[1] == [("Anna", "PER"), ("Bonn", "LOC")]
    (warning,) = convert_spans(corpus, tmp_path / "out", ("Anna in Bonn", anna, anna)).warnings
    assert warning.startswith("has 1 span once more in the same text (first de/test.jsonl:1: 'Anna' (PER))")


def test_of_two_labels_in_one_place_the_first_is_kept(corpus, tmp_path):
    report = convert_spans(corpus, tmp_path / "out", ("Anna in Bonn", (8, 12, "PER"), (8, 12, "LOC")))
    assert (report.entities, report.overlapping, report.warnings) == ({"PER": 1}, 1, [])
    assert report.examples == ["de/test.jsonl:1: 'Bonn' (LOC) has another label before: PER"]


def test_of_spans_of_one_length_that_share_a_word_the_earlier_is_kept(corpus, tmp_path):
    report = convert_spans(corpus, tmp_path / "out", ("Anna Bell Otto", (5, 14, "PER"), (0, 9, "PER")))
    assert (report.entities, report.overlapping) == ({"PER": 1}, 1)
    assert report.examples == [
        "de/test.jsonl:1: 'Bell Otto' (PER) shares a word with an earlier one of the same length"
    ]


def test_the_first_span_left_out_is_shown_where_none_is_left(corpus, tmp_path):
    (corpus / "en/train.tsv").unlink()
    record = {"text": "Anna Bell lives in Bonn.", "spans": [(1, 10, "PER"), (20, 24, "LOC")]}
    (corpus / "en/train.jsonl").write_text(json.dumps(record), encoding="utf8")
    message = r"not one entity.* 2 spans had to be left out; the first is en/train\.jsonl:1: 'nna Bell ' \(PER\) starts"
    with pytest.raises(ProKDError, match=message):
        convert_corpus(corpus, "en", "de", tmp_path / "out")


@pytest.mark.parametrize(
    ("start", "end", "cut", "said"),
    [
        (1, 1, "starts", "one place further left: offsets count from 0"),
        (0, -1, "ends", "with one letter more: `end` is the place behind the last letter"),
        (1, 0, "starts", "with the letter before: offsets count from 0, and `end` is the place behind the last letter"),
        (2, -1, "starts and ends", None),
    ],
)
def test_offsets_that_count_in_another_way_are_told(corpus, tmp_path, start, end, cut, said):
    spans = [(0 + start, 4 + end, "PER"), (8 + start, 12 + end, "LOC")]
    said = [f"most of its spans would fit {said}."] if said else []

    def convert(spans):
        record = json.dumps({"text": "Otto in Bonn, from Ulm", "spans": spans})
        write_all(corpus, {"de/test.jsonl": record})
        return convert_corpus(corpus, "en", "de", tmp_path / "out").targets[0].splits["test"]

    shifted = convert([*spans, (19, 22, "LOC")])
    assert shifted.examples[1].endswith(f"(LOC) {cut} within a word")
    assert shifted.warnings == said
    assert convert([spans[0], (19, 22, "LOC")]).warnings == [], "no more than one of two"

    (corpus / "en/train.tsv").unlink()
    write_all(corpus, {"en/train.jsonl": json.dumps({"text": "Otto in Bonn", "spans": spans})})
    with pytest.raises(ProKDError, match="not one entity") as caught:
        convert_corpus(corpus, "en", "de", tmp_path / "out")
    assert re.findall(r"Most .*?\.", str(caught.value)) == [shift.capitalize() for shift in said]


BYTES = (
    "most of its spans that do not fit count bytes of UTF-8, not characters: convert each, in Python with "
    "`len(text.encode()[:offset].decode())`."
)
SHIFT_JIS = (
    "most of its spans that do not fit count two for each full-width letter, as bytes of Shift-JIS do, not "
    'characters: convert each, in Python with `len(text.encode("cp932", "replace")[:offset].decode("cp932"))`.'
)
CODE_UNITS = (
    "most of its spans that do not fit count UTF-16 code units, as JavaScript does, not characters: convert each, in "
    'Python with `len(text.encode("utf-16-le")[:2 * offset].decode("utf-16-le"))`.'
)


@pytest.mark.parametrize(
    ("texts", "encoding", "said"),
    [
        (["Лесь из Киева", "Олена из Рима", "Otto из Рима"], "utf-8", BYTES),
        (["Zoé près d’Arles", "Anna in Ulm", "Émile Zola à Évry"], "utf-8", BYTES),
        (["田中 は 京都", "林さん と ﾅﾗ 大阪", "佐々木 の JR 奈良"], "cp932", SHIFT_JIS),
        (["😀 Anna in Bonn", "Otto in Ulm", "𝔄nna 😀 Ulm"], "utf-16-le", CODE_UNITS),
    ],
)
def test_offsets_that_count_no_characters_are_told(corpus, tmp_path, texts, encoding, said):
    """The first and the last word of each text are marked; `said` has the Python that mends their offsets."""

    def count(text):
        return len(text.encode(encoding)) // (2 if encoding == "utf-16-le" else 1)

    def convert(to_characters):
        records = []
        for text in texts:
            first, *_between, last = text.split()
            places = [(0, len(first), "PER"), (len(text) - len(last), len(text), "LOC")]
            spans = [tuple(count(text[:place]) for place in span[:2]) + span[2:] for span in places]
            spans = [tuple(to_characters(text, place) for place in span[:2]) + span[2:] for span in spans]
            records.append(json.dumps({"text": text, "spans": spans}))
        write_all(corpus, {"de/test.jsonl": "\n".join(records)})
        return convert_corpus(corpus, "en", "de", tmp_path / "out").targets[0].splits["test"]

    wrong = convert(lambda text, offset: offset)
    assert wrong.misaligned and said in wrong.warnings
    mend = re.findall("`(.*?)`", said)[-1]
    right = convert(lambda text, offset: eval(mend, {"text": text, "offset": offset}))
    assert (right.misaligned, right.entities) == (0, {"LOC": 3, "PER": 3}) and said not in right.warnings


def test_spans_that_no_count_explains_are_not_said_to_be_bytes(corpus, tmp_path):
    text = "Zoé in Köln, Émile in Évry"
    spans = [(8, 13, "LOC"), (7, 10, "LOC"), (15, 20, "PER")]  # the first alone is in bytes
    write_all(corpus, {"de/test.jsonl": json.dumps({"text": text, "spans": spans})})
    report = convert_corpus(corpus, "en", "de", tmp_path / "out").targets[0].splits["test"]
    assert report.misaligned == 3 and not any("bytes" in warning for warning in report.warnings)


def test_the_only_spans_may_be_in_bytes(corpus, tmp_path):
    (corpus / "en/train.tsv").unlink()
    write_all(corpus, {"en/train.jsonl": json.dumps({"text": "À Évry", "spans": [(3, 8, "LOC")]})})
    with pytest.raises(ProKDError, match=r"not one entity.* Most of its spans .* bytes of UTF-8, not characters"):
        convert_corpus(corpus, "en", "de", tmp_path / "out")


def test_spaces_beside_what_is_marked_are_no_part_of_it(corpus, tmp_path):
    (corpus / "en/train.tsv").unlink()
    record = {"text": "Is Anna Bell in Bonn?", "spans": [(2, 13, " PER"), (16, 21, "LOC"), (15, 20, "LOC ")]}
    (corpus / "en/train.jsonl").write_text(json.dumps(record), encoding="utf8")
    convert_corpus(corpus, "en", "de", tmp_path / "out")
    assert entities(tmp_path / "out/en/train.spacy") == [[("Anna Bell", "PER"), ("Bonn?", "LOC")]]


@pytest.mark.parametrize(
    "span", [(10, 99), (-4, 4), (-4, -1), (4, 0), (2, 2), (24, 24), (0, 10**30), (2**31, 2**31 + 4)]
)
def test_spans_outside_of_the_text_are_left_out(corpus, tmp_path, span):
    (corpus / "en/train.tsv").unlink()
    record = {"text": "Anna Bell lives in Bonn.", "spans": [(19, 23, "LOC"), (*span, "PER")]}
    (corpus / "en/train.jsonl").write_text(json.dumps(record), encoding="utf8")
    report = convert_corpus(corpus, "en", "de", tmp_path / "out").source.splits["train"]
    assert entities(tmp_path / "out/en/train.spacy") == [[("Bonn", "LOC")]]
    assert report.misaligned == 1
    assert f"goes from {span[0]} to {span[1]}; the text has 24" in report.examples[0]


def test_labels_that_differ_in_case_are_told(corpus, tmp_path):
    (corpus / "en/train.tsv").write_text("Anna\tB-PER\nOtto\tB-Per\nBonn\tB-LOC\n", encoding="utf8")
    (warning,) = convert_corpus(corpus, "en", "de", tmp_path / "out").source.splits["train"].warnings
    assert "has PER and Per, which are learned as different labels" in warning


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["Loc", "Per", "X"], 'Loc, Per differ from LOC, PER in case only: give `--labels "{Loc: LOC, Per: PER}"`.'),
        (["LOC", "per"], 'per differs from PER in case only: give `--labels "{per: PER}"`.'),
        (["X"], ""),
    ],
)
def test_labels_to_score_that_differ_in_case_from_the_sources_are_told(corpus, tmp_path, labels, said):
    write_all(corpus, {"de/test.tsv": "\n".join(f"Ulm\tB-{label}\n" for label in labels)})
    (warning,) = convert_corpus(corpus, "en", "de", tmp_path / "out").targets[0].splits["test"].warnings
    assert warning.partition("map or drop them.")[2].strip() == said
    if said:
        label_map = srsly.yaml_loads(re.search('--labels "(.*)"', warning)[1])
        report = convert_corpus(corpus, "en", "de", tmp_path / "out", label_map=label_map).targets[0].splits["test"]
        assert set(report.entities) - {"X"} <= {"LOC", "PER"}


def convert_labels(corpus, output, **counts):
    tagged = [f"Anna\tB-{label}\n" for label, n in counts.items() for _ in range(n)]
    write_all(corpus, {"en/train.tsv": "\n".join(tagged)})
    return convert_corpus(corpus, "en", "de", output).source.splits["train"].warnings


def test_a_label_of_few_entities_is_told_with_the_one_that_may_be_meant(corpus, tmp_path):
    few = "has too few entities to learn these labels by: "
    assert convert_labels(corpus, tmp_path / "out", MAKER=30, MAKR=1, MATERIAL=50, PLACE=40) == [
        few + 'MAKR (1). Did you mean MAKER? Then give `--labels "{MAKR: MAKER}"`.'
    ]
    counts = {"DATE": 4, "LOC": 60, "MISC": 1, "ORG": 80, "PER": 99}
    assert convert_labels(corpus, tmp_path / "out", **counts) == [few + "DATE (4), MISC (1)."]


@pytest.mark.parametrize("counts", [{"LOC": 6, "ORG": 4, "PER": 5}, {"LOC": 1}, {"LOC": 99, "MISC": 5, "PER": 99}])
def test_labels_of_few_entities_among_others_of_few_are_not_told(corpus, tmp_path, counts):
    assert convert_labels(corpus, tmp_path / "out", **counts) == []


def test_a_column_that_is_no_tag_is_told(corpus, tmp_path):
    (corpus / "en/train.tsv").write_text("Anna\tB-PER\tNNP\nruft\tO\tVB\n", encoding="utf8")
    (warning,) = convert_corpus(corpus, "en", "de", tmp_path / "out").source.splits["train"].warnings
    assert "see that the tags are its last column" in warning


def test_repaired_tags_are_counted(corpus, tmp_path):
    (corpus / "en/dev.tsv").write_text("Anna\tB-PER\nin\tO\nBonn\tI-LOC\n", encoding="utf8")
    assert convert_corpus(corpus, "en", "de", tmp_path / "out").source.splits["dev"].repaired == 1


def test_each_file_has_its_own_scheme(corpus, tmp_path):
    (corpus / "en/dev.tsv").write_text("Anna\tU-PER\nBonn\tU-LOC\n", encoding="utf8")
    report = convert_corpus(corpus, "en", "de", tmp_path / "out").source
    assert (report.splits["train"].scheme, report.splits["dev"].scheme) == ("IOB2", "BILUO")


def test_label_map_renames_and_drops(corpus, tmp_path):
    (corpus / "en/dev.tsv").unlink()
    spans = [[0, 4, "PER"], [8, 12, "LOC"]]
    (corpus / "en/dev.jsonl").write_text(json.dumps({"text": "Anna in Bonn", "entities": spans}), encoding="utf8")
    report = convert_corpus(corpus, "en", "de", tmp_path / "out", label_map={"LOC": "PLACE", "PER": None, "X": "Y"})
    assert entities(tmp_path / "out/en/train.spacy") == [[("Bonn", "PLACE")], []]
    assert entities(tmp_path / "out/en/dev.spacy") == [[("Bonn", "PLACE")]]
    assert entities(tmp_path / "out/de/dev.spacy") == [[], [("Bonn", "PLACE")]]
    assert report.targets[0].splits["dev"].entities == {"PLACE": 1}


def test_a_label_map_with_labels_that_no_file_has_is_told(corpus, tmp_path):
    write_all(corpus, {"de/test.tsv": "Ruhr\tB-RIVER\n"})
    label_map = {"LOCATION": "PLACE", "MISC": None, "PER": "PERSON", "RIVER": "LOC"}
    report = convert_corpus(corpus, "en", "de", tmp_path / "out", label_map=label_map)
    said = "the label map names LOCATION, MISC, which no file has; there are LOC, PER, RIVER."
    assert report.source.splits["train"].warnings == [said]


@pytest.mark.parametrize("mapped", ["", "O", 3])
def test_bad_label_map(corpus, tmp_path, mapped):
    with pytest.raises(ProKDError, match="label map sends 'LOC'"):
        convert_corpus(corpus, "en", "de", tmp_path / "out", label_map={"LOC": mapped})


@pytest.mark.parametrize(("label", "kind"), [(1, "int"), (True, "bool"), (None, "NoneType")])
def test_a_label_that_yaml_reads_as_no_text_is_an_error(corpus, tmp_path, label, kind):
    with pytest.raises(ProKDError, match=f"names {label}, which YAML reads as no text but as {kind}. Put .* in quotes"):
        convert_corpus(corpus, "en", "de", tmp_path / "out", label_map={label: "LOC"})


def test_labels_that_the_training_data_lacks_are_warned_about(corpus, tmp_path):
    (corpus / "de/dev.tsv").write_text("Otto\tB-PERSON\nBonn\tB-LOC\n", encoding="utf8")
    (corpus / "en/dev.tsv").write_text("Otto\tB-MISC\n", encoding="utf8")
    report = convert_corpus(corpus, "en", "de", tmp_path / "out")
    assert "no training data has: PERSON." in report.targets[0].splits["dev"].warnings[0]
    assert "no training data has: MISC." in report.source.splits["dev"].warnings[0]


def test_texts_without_spans_in_an_annotated_file(corpus, tmp_path):
    (corpus / "en/train.tsv").unlink()
    (corpus / "en/train.jsonl").write_text(
        '{"text": "No."}\n{"text": "Anna", "spans": [[0, 4, "PER"]]}', encoding="utf8"
    )
    report = convert_corpus(corpus, "en", "de", tmp_path / "out").source.splits["train"]
    assert report.warnings == ["1 of 2 texts have no annotation: taken to hold no entity."]
    assert all(doc.has_annotation("ENT_IOB") for doc in load(tmp_path / "out/en/train.spacy"))


def test_a_target_test_set_without_labels_is_warned_about(corpus, tmp_path):
    (corpus / "de/test.txt").write_text("Otto ruft.\n", encoding="utf8")
    report = convert_corpus(corpus, "en", "de", tmp_path / "out").targets[0].splits["test"]
    assert report.warnings == ["has no entities: nothing can be scored on it or learned from it."]
    assert not load(tmp_path / "out/de/test.spacy")[0].has_annotation("ENT_IOB")


def test_report_as_table_and_as_json(corpus, tmp_path):
    (corpus / "en/dev.tsv").write_text("Anna [b]\tB-MISC\n", encoding="utf8")
    report = convert_corpus(corpus, "en", "de", tmp_path / "out")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report)
    text = console.export_text()
    for expected in (
        "en/train.tsv",
        "IOB2",
        "not annotated",
        r"MISC +0 +1 +0\b",
        r"PER +1 +0 +1\b",
    ):
        assert re.search(expected, text), expected
    saved = json.loads((tmp_path / "out/en/convert.json").read_text(encoding="utf8"))
    assert saved["splits"]["train"]["entities"] == {"LOC": 1, "PER": 1}
    assert str(tmp_path) not in json.dumps(saved)


def broken(name, content):
    def break_corpus(corpus):
        path = corpus / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content.encode("utf8") if isinstance(content, str) else content)

    return break_corpus


@pytest.mark.parametrize(
    ("break_corpus", "message"),
    [
        (broken("de/dev.tsv", "Otto\tB-PER\nruft\n"), r"dev\.tsv:2: 1 column"),
        (broken("en/dev.tsv", "Otto\tB-PER\n\nAnna\tX-PER\n"), r"dev\.tsv:3: 'Anna' has the unknown tag 'X-PER'"),
        (broken("en/dev.tsv", "Otto\tB-PER\nAnna\tPERR\n"), r"dev\.tsv:2: 'Anna' has the unknown tag 'PERR'.*IOB2"),
        (broken("en/train.tsv", b"M\xfcnchen\tB-LOC\n"), r"train\.tsv:1: byte 1 .* not UTF-8"),
        (broken("de/train.tsv", ""), r"train\.tsv is empty"),
        (broken("en/dev.tsv", None), r"train\.tsv has fewer than 10 texts \(\d\) and there is no dev file"),
        (broken("de/train.tsv", None), r"de has no file 'train\.<ext>'; there is dev\.tsv"),
        (broken("en/train.jsonl", "{}"), r"two files for 'train': train\.jsonl, train\.tsv"),
        (broken("en/train.tsv", "Anna\tO\n"), r"train\.tsv has 1 sentences and not one entity"),
        (broken("en/dev.tsv", "Anna\n"), r"dev\.tsv has no annotation, but the source"),
        (broken("de/dev.jsonl", '{"text": "a"'), "two files"),
    ],
)
def test_errors_leave_earlier_output_untouched(corpus, tmp_path, break_corpus, message):
    convert_corpus(corpus, "en", "de", tmp_path / "out")
    before = snapshot(tmp_path / "out")
    (corpus / "en/train.tsv").write_text(EN + "\nMore\tO\n", encoding="utf8")
    break_corpus(corpus)
    with pytest.raises(ProKDError, match=message):
        convert_corpus(corpus, "en", "de", tmp_path / "out")
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize(("target", "is_swapped"), [(EN, True), ("Bonn\nruft\n", False)])
def test_a_source_without_labels_may_be_the_target(corpus, tmp_path, target, is_swapped):
    write_all(corpus, {"en/train.tsv": "Otto\narbeitet\n", "de/train.tsv": target})
    with pytest.raises(ProKDError, match=r"en/train\.tsv has no annotation, but the source") as error:
        convert_corpus(corpus, "en", "de", tmp_path / "out")
    hint = f"{corpus / 'de/train.tsv'} has labels: maybe source and target are swapped."
    assert str(error.value).endswith(hint) == is_swapped
    assert not (tmp_path / "out").exists()


def test_missing_folders(corpus, tmp_path):
    write_all(corpus, {"dk.txt": "no language"})
    with pytest.raises(ProKDError, match=r"no folder 'fr'; there is de, en\."):
        convert_corpus(corpus, "en", "fr", tmp_path / "out")
    with pytest.raises(ProKDError, match="no folder 'nowhere'"):
        convert_corpus(tmp_path / "nowhere", "en", "de", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_language_twice(corpus, tmp_path):
    with pytest.raises(ProKDError, match="both 'en'"):
        convert_corpus(corpus, "en", "en", tmp_path / "out")


def test_a_language_without_a_name_is_not_the_corpus_folder_itself(corpus, tmp_path):
    shutil.copy(corpus / "en/train.tsv", corpus / "train.tsv")
    with pytest.raises(ProKDError, match=r"'' is no language"):
        convert_corpus(corpus, "", "de", tmp_path / "out")


@pytest.mark.parametrize("lang", ["../elsewhere", "de/", "..", "."])
def test_a_language_is_no_path(corpus, tmp_path, lang):
    (tmp_path / "elsewhere").mkdir()
    for source, target in (("en", lang), (lang, "de")):
        with pytest.raises(ProKDError, match=r"is no language"):
            convert_corpus(corpus, source, target, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_output_into_the_corpus(corpus):
    before = snapshot(corpus)
    with pytest.raises(ProKDError, match="the same folder"):
        convert_corpus(corpus, "en", "de", corpus)
    assert snapshot(corpus) == before


def test_a_label_map_that_drops_everything_is_named(corpus, tmp_path):
    with pytest.raises(ProKDError, match="label map drops LOC, PER"):
        convert_corpus(corpus, "en", "de", tmp_path / "out", label_map={"LOC": None, "PER": None})


def test_a_text_too_long_for_the_pipeline(corpus, tmp_path):
    nlp = spacy.blank("xx")
    nlp.max_length = 10
    (corpus / "de/train.tsv").unlink()
    (corpus / "de/train.txt").write_text("Otto\nOtto arbeitet\n", encoding="utf8")
    with pytest.raises(ProKDError, match=r"train\.txt:2: a text of 13 characters"):
        convert_corpus(corpus, "en", "de", tmp_path / "out", nlp=nlp)


def test_a_full_disk_leaves_earlier_output_whole(corpus, tmp_path, monkeypatch):
    convert_language(corpus, "en", tmp_path / "out", unlabelled_train=False)
    before = snapshot(tmp_path / "out")
    write_bytes = Path.write_bytes

    def fail_on_report(path, content):
        if path.suffix == ".json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    write_all(corpus, {"en/train.tsv": EN + EN})
    monkeypatch.setattr(Path, "write_bytes", fail_on_report)
    with pytest.raises(ProKDError, match=r"Cannot write to .*No space left"):
        convert_language(corpus, "en", tmp_path / "out", unlabelled_train=False)
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize("width", [50, 80])
def test_numbers_are_whole_where_names_are_long(width):
    split = SplitReport("en/labelled_news_of_two_years_and_all_desks.jsonl", annotated=True)
    split.docs, split.words, split.median_words, split.longest = 14_041, 203_621, 9, 113
    split.entities = {"A_RATHER_LONG_LABEL": 7_140}
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(LanguageReport("en", {"train": split, "dev": split}))
    text = console.export_text()
    assert not {"14,041", "203,621", "113", "7,140"} - set(text.split())
    assert "…" not in text
