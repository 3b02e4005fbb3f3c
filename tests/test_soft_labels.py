"""The label step: what is stored, what is not, and what a stopped run does next."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import spacy
import torch
from conftest import LABELS, SOURCE, TARGET, make_docs, to_examples
from spacy.attrs import ENT_ID, ENT_IOB, ENT_TYPE
from spacy.tokens import Doc, DocBin
from thinc.api import fix_random_seed

from spacy_prokd import soft_labels
from spacy_prokd.architectures import get_head
from spacy_prokd.decoding import decode
from spacy_prokd.errors import ProKDError
from spacy_prokd.soft_labels import SOFT_KEY, get_soft_labels, get_vectors, label_corpus, set_soft_labels

# spaCy leaves the files it writes for the garbage collector to close
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

N_TAGS = 1 + 2 * len(LABELS)


@pytest.fixture(scope="module")
def make_teacher(tmp_path_factory, small_tok2vec):
    """Saves an untrained teacher, whose probabilities depend on the seed, and gives its folder."""

    def make(seed: int, labels: list[str] | None = None):
        fix_random_seed(seed)
        nlp = spacy.blank("xx")
        pipe = nlp.add_pipe("prokd_ner", config={"model": {"tok2vec": small_tok2vec}})
        docs = make_docs(nlp.vocab, SOURCE)
        for label in labels or []:
            pipe.add_label(label)
        nlp.initialize(lambda: to_examples(docs if labels is None else [Doc(nlp.vocab, words=["a"])]))
        get_head(pipe.model).classifier.weight.data.mul_(50)  # far from the same probability for all
        folder = tmp_path_factory.mktemp("teacher")
        nlp.to_disk(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def teacher(make_teacher):
    return make_teacher(0)


@pytest.fixture(scope="module")
def other_teacher(make_teacher):
    return make_teacher(1)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(soft_labels, "SHARD_SIZE", 3)


def read(folder) -> list[Doc]:
    vocab = spacy.blank("xx").vocab
    return [doc for path in sorted(folder.glob("*.spacy")) for doc in DocBin().from_disk(path).get_docs(vocab)]


def read_plain(path) -> list[Doc]:
    """The words of a corpus."""
    docs = DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab)
    return [Doc(doc.vocab, words=[word.text for word in doc]) for doc in docs]


def predict(folder, docs: list[Doc]) -> list[np.ndarray]:
    return spacy.load(folder).get_pipe("prokd_ner").predict([Doc(d.vocab, words=[w.text for w in d]) for d in docs])


def stamps(folder) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.glob("*.spacy"))}


def test_labels_are_of_words_that_know_where_entities_are(teacher, corpus, tmp_path):
    """Right after a word of an entity, another one seldom begins: the teacher was told how seldom."""
    nlp = spacy.load(teacher)
    nlp.get_pipe("prokd_ner").cfg["touching"] = 0.01
    nlp.to_disk(tmp_path / "teacher")
    label_corpus([teacher], corpus / "target.spacy", tmp_path / "plain")
    label_corpus([tmp_path / "teacher"], corpus / "target.spacy", tmp_path / "soft")
    n_changed = 0
    for plain, doc in zip(read(tmp_path / "plain"), read(tmp_path / "soft")):
        before, after = get_soft_labels(plain, N_TAGS), get_soft_labels(doc, N_TAGS)
        assert after.sum(axis=1) == pytest.approx(1.0, abs=2e-3)
        changed = np.abs(after - before).max(axis=1) > 2e-3
        assert not changed[:1].any()
        begins = [labels[changed, 1::2].sum(axis=1) for labels in (before, after)]
        assert begins[1] / (1 - begins[1]) == pytest.approx(0.01 * begins[0] / (1 - begins[0]), rel=0.2)  # float16
        n_changed += changed.sum()
    assert n_changed


def test_labels_say_what_the_teacher_says_where_symbols_join(teacher, corpus, tmp_path):
    nlp = spacy.load(teacher)
    pipe = nlp.get_pipe("prokd_ner")
    parted = [nlp(doc) for doc in read_plain(corpus / "target.spacy")]
    pipe.cfg["joining"] = sorted({word.text for doc in parted for word in doc})
    nlp.to_disk(tmp_path / "teacher")
    label_corpus([tmp_path / "teacher"], corpus / "target.spacy", tmp_path / "soft")
    labelled = read(tmp_path / "soft")
    said = decode([get_soft_labels(doc, N_TAGS) for doc in labelled], pipe.labels)
    joined = [nlp(doc) for doc in read_plain(corpus / "target.spacy")]
    assert [[span[:3] for span in found] for found in said] == [
        [(span.start, span.end, span.label_) for span in doc.ents] for doc in joined
    ]
    assert sum(len(doc.ents) for doc in joined) < sum(len(doc.ents) for doc in parted)


def test_float16_and_back(nlp):
    doc = Doc(nlp.vocab, words=["Anna", "lebt"])
    p = np.array([[0.1, 0.7, 0.2], [1.0, 0.0, 1e-5]], dtype=np.float32)
    set_soft_labels(doc, p)
    assert len(doc.user_data[SOFT_KEY]) == 2 * 2 * 3
    found = get_soft_labels(doc, 3)
    assert found.dtype == np.float32
    assert np.array_equal(found, p.astype(np.float16).astype(np.float32))
    assert np.abs(found - p).max() < 3e-4


def test_bytes_are_little_endian_whatever_the_machine(nlp):
    doc = Doc(nlp.vocab, words=["Anna"])
    set_soft_labels(doc, np.array([[1.0, 0.5]], dtype=">f4"))
    assert doc.user_data[SOFT_KEY] == b"\x00\x3c\x00\x38"  # 0x3c00 is 1, 0x3800 a half


def test_an_empty_doc_has_no_bytes(nlp):
    doc = Doc(nlp.vocab)
    set_soft_labels(doc, np.zeros((0, 3)))
    assert get_soft_labels(doc, 3).shape == (0, 3)


def test_a_doc_without_soft_labels_is_an_error(nlp):
    with pytest.raises(ProKDError, match="spacy-prokd label"):
        get_soft_labels(Doc(nlp.vocab, words=["Anna"]), 3)


def test_another_number_of_tags_is_an_error(nlp):
    doc = Doc(nlp.vocab, words=["Anna", "lebt"])
    set_soft_labels(doc, np.zeros((2, 5)))
    with pytest.raises(ProKDError, match="2 words has 20 bytes of soft labels, not the 12 of 3 tags"):
        get_soft_labels(doc, 3)


def test_shards_hold_the_words_and_the_teachers_probabilities(teacher, corpus, tmp_path, target_docs):
    assert label_corpus([teacher], corpus / "target.spacy", tmp_path / "soft", batch_size=2).texts == len(TARGET)
    assert sorted(path.name for path in (tmp_path / "soft").glob("*.spacy")) == [f"0000{i}.spacy" for i in range(3)]
    assert json.loads((tmp_path / "soft" / "labels.json").read_text()) == LABELS
    docs = read(tmp_path / "soft")
    assert [doc.text for doc in docs] == [doc.text for doc in target_docs]
    for doc, p in zip(docs, predict(teacher, target_docs), strict=True):
        assert np.abs(get_soft_labels(doc, N_TAGS) - p).max() < 1e-3
        assert p.std() > 0.05


def test_the_folder_can_be_trained_on(teacher, corpus, tmp_path):
    label_corpus([teacher], corpus / "target.spacy", tmp_path / "soft")
    reader = spacy.registry.resolve({"c": {"@readers": "spacy-prokd.Corpus.v1", "path": str(tmp_path / "soft")}})["c"]
    nlp = spacy.load(teacher, config={"components.prokd_ner.objective": {"@misc": "spacy-prokd.Student.v1"}})
    get_head(nlp.get_pipe("prokd_ner").model).dropout.p = 0.0
    losses = nlp.get_pipe("prokd_ner").update(list(reader(nlp)))
    # the student is the teacher here: nothing is left to distil but the rounding to float16
    assert 0.0 <= losses["prokd_ner.distillation"] < 1e-5


def test_no_gold_annotation_is_carried_over(teacher, corpus, tmp_path):
    label_corpus([teacher], corpus / "source.spacy", tmp_path / "soft")
    docs = read(tmp_path / "soft")
    assert len(docs) == len(SOURCE)
    for doc in docs:
        assert not doc.has_annotation("ENT_IOB")
        assert not doc.ents
        assert not doc.spans
        assert set(doc.user_data) == {SOFT_KEY}
    for path in (tmp_path / "soft").glob("*.spacy"):
        shard = DocBin().from_disk(path)
        assert not {ENT_TYPE, ENT_IOB, ENT_ID} & set(shard.attrs)
        assert not {"LOC", "PER", "ORG"} & shard.strings


def test_a_stopped_run_goes_on_with_what_is_missing(teacher, corpus, tmp_path):
    soft = tmp_path / "soft"
    label_corpus([teacher], corpus / "target.spacy", soft)
    first = stamps(soft)
    (soft / "labels.json").unlink()
    (soft / "00002.spacy").unlink()
    label_corpus([teacher], corpus / "target.spacy", soft)
    second = stamps(soft)
    assert list(second) == list(first)
    assert [second[name] == first[name] for name in first] == [True, True, False]
    assert second["00002.spacy"][1] == first["00002.spacy"][1]
    assert (soft / "labels.json").is_file()


def test_an_interruption_leaves_whole_shards_and_no_labels(teacher, corpus, tmp_path, monkeypatch):
    soft = tmp_path / "soft"
    whole = soft_labels._average

    def fail_in_the_second_shard(outputs):
        if len(list(soft.glob("*.spacy"))) == 1:
            raise KeyboardInterrupt
        return whole(outputs)

    monkeypatch.setattr(soft_labels, "_average", fail_in_the_second_shard)
    with pytest.raises(KeyboardInterrupt):
        label_corpus([teacher], corpus / "target.spacy", soft)
    assert sorted(path.name for path in soft.iterdir()) == [".settings.json", "00000.spacy"]
    assert len(read(soft)) == 3


@pytest.mark.parametrize("change", ["teacher", "weights", "corpus", "teachers", "version"])
def test_another_teacher_corpus_or_version_labels_everything_again(
    change, teacher, other_teacher, corpus, tmp_path, nlp, monkeypatch
):
    soft = tmp_path / "soft"
    label_corpus([teacher], corpus / "target.spacy", soft)
    first = stamps(soft)
    teachers = [teacher]
    if change == "teacher":
        teachers = [other_teacher]
    elif change == "teachers":
        teachers = [teacher, other_teacher]
    elif change == "weights":  # trained again in the same place
        os.utime(teacher / "prokd_ner" / "model", ns=(1, 1))
    elif change == "version":
        monkeypatch.setattr(soft_labels, "__version__", "0.0.1")
    else:
        DocBin(docs=[Doc(nlp.vocab, words=text.split()[:2]) for text in TARGET[:5]]).to_disk(corpus / "target.spacy")
    label_corpus(teachers, corpus / "target.spacy", soft)
    second = stamps(soft)
    assert all(second[name][0] != first[name][0] for name in second)
    assert len(read(soft)) == (5 if change == "corpus" else 8)  # no shard of the old corpus is left
    if change in ("teacher", "teachers"):
        assert all(second[name][1] != first[name][1] for name in second)


def test_several_teachers_are_averaged(teacher, other_teacher, corpus, tmp_path, target_docs):
    label_corpus([teacher, other_teacher], corpus / "target.spacy", tmp_path / "soft")
    one, two = predict(teacher, target_docs), predict(other_teacher, target_docs)
    assert max(np.abs(p - q).max() for p, q in zip(one, two)) > 0.05
    for doc, p, q in zip(read(tmp_path / "soft"), one, two, strict=True):
        assert np.abs(get_soft_labels(doc, N_TAGS) - (p + q) / 2).max() < 1e-3


def test_word_vectors_are_those_of_the_first_teacher(teacher, other_teacher, corpus, tmp_path, target_docs):
    label_corpus([teacher, other_teacher], corpus / "target.spacy", tmp_path / "soft", vectors=True)
    output = spacy.load(teacher).get_pipe("prokd_ner").model.predict(target_docs)
    width = output.vectors.shape[1]
    stored = np.concatenate([get_vectors(doc, width) for doc in read(tmp_path / "soft")])
    assert np.allclose(stored, output.vectors.numpy(), rtol=1e-3, atol=1e-3)


def test_word_vectors_are_stored_only_when_asked_for(teacher, corpus, tmp_path):
    soft = tmp_path / "soft"
    label_corpus([teacher], corpus / "target.spacy", soft)
    with pytest.raises(ProKDError, match=r"vector_weight.*has none.*label --vectors"):
        get_vectors(read(soft)[0], 96)
    label_corpus([teacher], corpus / "target.spacy", soft, vectors=True)  # the shards without them do not stay
    doc = read(soft)[0]
    with pytest.raises(ProKDError, match=r"bytes of them, not .*the same encoder"):
        get_vectors(doc, 100)


def test_teachers_with_other_labels_are_an_error(teacher, make_teacher, corpus, tmp_path):
    other = make_teacher(0, labels=["DATE"])
    with pytest.raises(ProKDError, match=r"labels differ: .* has LOC, ORG, PER; .* has DATE"):
        label_corpus([teacher, other], corpus / "target.spacy", tmp_path / "soft")
    assert not (tmp_path / "soft").exists()


def test_a_folder_that_is_no_teacher_is_an_error(corpus, tmp_path):
    with pytest.raises(ProKDError, match="no trained pipeline"):
        label_corpus([tmp_path], corpus / "target.spacy", tmp_path / "soft")
    assert not (tmp_path / "soft").exists()


def test_a_missing_corpus_is_an_error_and_leaves_nothing(teacher, tmp_path):
    with pytest.raises(ProKDError, match=r"absent\.spacy"):
        label_corpus([teacher], tmp_path / "absent.spacy", tmp_path / "soft")
    assert not (tmp_path / "soft").exists()


def test_files_that_are_not_ours_are_never_deleted(teacher, corpus):
    before = stamps(corpus)
    assert before
    with pytest.raises(ProKDError, match=r"has \.spacy files that `label` did not write"):
        label_corpus([teacher], corpus / "target.spacy", corpus)
    assert stamps(corpus) == before


def test_settings_that_cannot_be_read_are_other_settings(teacher, corpus, tmp_path):
    label_corpus([teacher], corpus / "target.spacy", tmp_path / "soft")
    (tmp_path / "soft" / ".settings.json").write_text("{", encoding="utf8")
    assert label_corpus([teacher], corpus / "target.spacy", tmp_path / "soft").texts == len(TARGET)


def test_empty_docs_between_full_ones(teacher, tmp_path, nlp):
    words = [[], ["Angela", "Merkel"], [], ["Berlin"], []]
    DocBin(docs=[Doc(nlp.vocab, words=w) for w in words]).to_disk(tmp_path / "a.spacy")
    assert label_corpus([teacher], tmp_path / "a.spacy", tmp_path / "soft", batch_size=1).texts == 5
    assert [get_soft_labels(doc, N_TAGS).shape[0] for doc in read(tmp_path / "soft")] == [0, 2, 0, 1, 0]


def test_probabilities_sum_to_one(teacher, corpus, tmp_path):
    label_corpus([teacher], corpus / "target.spacy", tmp_path / "soft")
    p = torch.from_numpy(np.concatenate([get_soft_labels(doc, N_TAGS) for doc in read(tmp_path / "soft")]))
    assert torch.allclose(p.sum(dim=-1), torch.ones(len(p)), atol=2e-3)
