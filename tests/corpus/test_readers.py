"""The registered corpus reader."""

from __future__ import annotations

import random

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_prokd.corpus import read_corpus
from spacy_prokd.corpus.readers import GOLD_KEY
from spacy_prokd.errors import ProKDError


@pytest.fixture
def nlp():
    return spacy.blank("xx")


@pytest.fixture
def save(nlp, tmp_path):
    def save_docs(name, *texts, annotated=True):
        docs = []
        for text in texts:
            words = text.split()
            docs.append(
                Doc(nlp.vocab, words=words, ents=["B-PER"] + ["O"] * (len(words) - 1) if annotated and words else None)
            )
            docs[-1].user_data["prokd_soft"] = text.encode("utf8") + b"\x00\xff"
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        DocBin(docs=docs, store_user_data=True).to_disk(path)
        return path

    return save_docs


def words(examples):
    return [[word.text for word in example.predicted] for example in examples]


def test_it_is_registered_and_resolves_from_a_config(nlp, save):
    config = {"corpus": {"@readers": "spacy-prokd.Corpus.v1", "path": str(save("a.spacy", "Anna lebt"))}}
    assert words(spacy.registry.resolve(config)["corpus"](nlp)) == [["Anna", "lebt"]]


def test_predicted_has_the_words_of_the_reference_and_no_annotation(nlp, tmp_path):
    doc = Doc(nlp.vocab, words=["U.S.", "-", "Firma", "z.B", "."], spaces=[False, False, True, False, False])
    doc.set_ents([doc[0:1]])
    DocBin(docs=[doc]).to_disk(tmp_path / "a.spacy")
    (example,) = read_corpus(nlp, tmp_path / "a.spacy")
    assert [word.text_with_ws for word in example.predicted] == [word.text_with_ws for word in example.reference]
    assert not example.predicted.has_annotation("ENT_IOB")
    assert example.alignment.x2y.lengths.tolist() == [1] * 5


def test_soft_labels_survive_on_the_reference(nlp, save):
    examples = list(read_corpus(nlp, save("a.spacy", "Anna lebt", "Otto")))
    assert [example.reference.user_data["prokd_soft"] for example in examples] == [
        b"Anna lebt\x00\xff",
        b"Otto\x00\xff",
    ]
    assert [example.reference.ents[0].text for example in examples] == ["Anna", "Otto"]


def test_a_folder_of_shards_is_read_in_order(nlp, save):
    folder = save("soft/0002.spacy", "b c").parent
    save("soft/0001.spacy", "a")
    (folder / ".0003.spacy").write_bytes(b"still being written")
    (folder / "labels.json").write_text("[]", encoding="utf8")
    assert words(read_corpus(nlp, folder)) == [["a"], ["b", "c"]]


def test_unlabelled_docs_follow_without_annotation(nlp, save):
    labelled, other = save("a.spacy", "Anna"), save("b.spacy", "Otto ruft")
    first, second = read_corpus(nlp, labelled, unlabelled=other)
    assert first.reference.has_annotation("ENT_IOB")
    assert [word.text for word in second.reference] == ["Otto", "ruft"]
    assert not second.reference.has_annotation("ENT_IOB")
    assert not second.reference.user_data


def test_labelled_docs_follow_with_annotation(nlp, save):
    soft, other = save("a.spacy", "Anna", annotated=False), save("b.spacy", "Otto ruft")
    first, second = read_corpus(nlp, soft, labelled=other)
    assert not first.reference.has_annotation("ENT_IOB")
    assert [(ent.text, ent.label_) for ent in second.reference.ents] == [("Otto", "PER")]
    assert not second.predicted.has_annotation("ENT_IOB")


@pytest.mark.parametrize(("n_texts", "n_few"), [(9, 1), (18, 2), (36, 4), (2, 2), (45, 5)])
def test_few_labelled_texts_are_mixed_in_until_they_are_a_tenth(nlp, save, n_texts, n_few):
    path = save("a.spacy", *(f"text {i}" for i in range(n_texts)), annotated=False)
    examples = list(read_corpus(nlp, path, few_shot=save("few.spacy", "Anna", "Otto")))
    gold = [example.reference.text.strip() for example in examples if example.reference.user_data.get(GOLD_KEY)]
    assert gold == ["Anna", "Otto", "Anna", "Otto", "Anna"][: max(2, n_few)]
    assert len(examples) == n_texts + len(gold)


def test_there_may_be_no_labelled_texts_of_the_target(nlp, save):
    assert words(read_corpus(nlp, save("a.spacy", "a", "b"), few_shot=save("few.spacy"))) == [["a"], ["b"]]


@pytest.mark.parametrize(("fill_up_to", "n_labelled"), [(0, 3), (2, 0), (3, 1), (9, 3)])
def test_labelled_docs_fill_up_what_is_missing(nlp, save, fill_up_to, n_labelled):
    soft, other = save("a.spacy", "a", "b", annotated=False), save("b.spacy", "c", "d", "e")
    read = words(read_corpus(nlp, soft, labelled=other, fill_up_to=fill_up_to))
    assert read == [["a"], ["b"], ["c"], ["d"], ["e"]][: 2 + n_labelled]


def test_empty_docs_are_skipped(nlp, save):
    assert words(read_corpus(nlp, save("a.spacy", "", "Anna", "", "Otto", ""))) == [["Anna"], ["Otto"]]


@pytest.mark.parametrize(("min_examples", "n_examples"), [(0, 3), (3, 3), (4, 6), (6, 6), (7, 9)])
def test_a_small_corpus_is_repeated_whole(nlp, save, min_examples, n_examples):
    paths = save("a.spacy", "a", "b"), save("b.spacy", "c")
    read = words(read_corpus(nlp, *paths, min_examples=min_examples))
    assert read == [["a"], ["b"], ["c"]] * (n_examples // 3)


def test_limit_counts_each_path(nlp, save):
    paths = save("a.spacy", "", "a", "b"), save("b.spacy", "c", "d")
    assert words(read_corpus(nlp, *paths, limit=1)) == [["a"], ["c"]]


def test_labelled_docs_fill_up_what_a_limit_leaves_out(nlp, save):
    soft, other = save("a.spacy", "a", "b", annotated=False), save("b.spacy", "c", "d", "e")
    assert words(read_corpus(nlp, soft, labelled=other, fill_up_to=3, limit=1)) == [["a"], ["c"], ["d"]]


@pytest.mark.parametrize("shuffle", [1, 3, 8, 100])
def test_a_buffer_shuffles_and_loses_nothing(nlp, save, shuffle):
    letters = [[letter] for letter in "abcdefgh"]
    path = save("a.spacy", *(letter for (letter,) in letters))
    random.seed(0)
    read = [words(read_corpus(nlp, path, shuffle=shuffle)) for _ in range(2)]
    assert all(sorted(each) == letters for each in read)
    assert (read[0] == read[1]) == (shuffle == 1)


def test_an_example_does_not_come_before_the_buffer_reaches_it(nlp, save):
    path = save("a.spacy", *map(str, range(50)))
    for i, (number,) in enumerate(words(read_corpus(nlp, path, shuffle=5))):
        assert int(number) <= i + 5


def test_it_can_be_read_again(nlp, save):
    config = {"corpus": {"@readers": "spacy-prokd.Corpus.v1", "path": str(save("a.spacy", "Anna"))}}
    corpus = spacy.registry.resolve(config)["corpus"]
    assert words(corpus(nlp)) == words(corpus(nlp)) == [["Anna"]]


def test_spacy_trains_on_repeated_examples(nlp, save):
    ner = nlp.add_pipe("ner")
    ner.add_label("PER")
    examples = list(read_corpus(nlp, save("a.spacy", "Anna lebt"), min_examples=4))
    nlp.initialize(lambda: examples)
    assert nlp.update(examples)["ner"] >= 0


def test_no_path_is_an_error_when_it_is_called(nlp):
    config = {"corpus": {"@readers": "spacy-prokd.Corpus.v1", "path": None}}
    corpus = spacy.registry.resolve(config)["corpus"]
    with pytest.raises(ProKDError, match=r"has no path.*--paths.train"):
        next(corpus(nlp))


def test_bad_paths(nlp, tmp_path, save):
    with pytest.raises(ProKDError, match=r"missing.spacy does not exist. Run `spacy-prokd convert`"):
        next(read_corpus(nlp, tmp_path / "missing.spacy"))
    with pytest.raises(ProKDError, match=r"has no .spacy files"):
        next(read_corpus(nlp, tmp_path))
    (tmp_path / "text.spacy").write_text("Anna\tO", encoding="utf8")
    with pytest.raises(ProKDError, match=r"text.spacy is not a readable .spacy file"):
        next(read_corpus(nlp, tmp_path / "text.spacy"))
    with pytest.raises(ProKDError, match="has no Docs with words"):
        next(read_corpus(nlp, save("empty.spacy", "", "")))
