"""From a teacher to its student through the component: soft labels in, and no label of the target language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from conftest import LABELS, TEXTS, initialize, learn, make_nlp, scored, weights
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_prokd.architectures import get_head
from spacy_prokd.corpus.readers import create_corpus
from spacy_prokd.errors import ProKDError
from spacy_prokd.soft_labels import get_soft_labels, label_corpus, set_soft_labels

STUDENT = {"@misc": "spacy-prokd.Student.v1", "beta": 0.1}  # so little of it that tiny prototypes cannot collapse


@pytest.fixture
def soft(trained, corpus, tmp_path) -> Iterator[tuple[Path, Path]]:
    """A saved teacher, and the folder of its soft labels."""
    teacher, labelled = tmp_path / "teacher", tmp_path / "soft"
    trained.to_disk(teacher)
    assert label_corpus([teacher], corpus / "target.spacy", labelled).texts == 8
    yield teacher, labelled


def train_student(tok2vec: dict, teacher: Path, examples: list[Example], **arguments: object) -> Language:
    nlp = make_nlp(tok2vec, objective=STUDENT)
    initialize(nlp, examples, **{"labels": LABELS, "start_from": str(teacher), "epochs": 2, **arguments})
    assert weights(nlp) == weights(spacy.load(teacher)), "it starts as its teacher"
    for _epoch in range(2):
        losses = learn(nlp, examples, steps=1)
    assert losses["prokd_ner.self_training"] > 0.0, "the second epoch trains on its own labels"
    return nlp


def read_soft(folder: Path) -> list[Example]:
    return list(create_corpus(path=folder)(spacy.blank("xx")))


def test_from_teacher_to_student(soft, trained, small_tok2vec, corpus, tmp_path):
    teacher, labelled = soft
    examples = read_soft(labelled)
    expected = trained.get_pipe("prokd_ner").predict([example.predicted for example in examples])
    for example, p in zip(examples, expected, strict=True):
        np.testing.assert_allclose(get_soft_labels(example.reference, 7), p, atol=1e-3)
    nlp = train_student(small_tok2vec, teacher, examples)
    assert weights(nlp) != weights(trained)
    nlp.to_disk(tmp_path / "student")
    for path in (teacher, labelled, corpus):
        path.rename(path.with_name(f"gone-{path.name}"))
    again = spacy.load(tmp_path / "student")
    assert [scored(doc) for doc in again.pipe(TEXTS)] == [scored(doc) for doc in nlp.pipe(TEXTS)]


def test_what_an_epochs_labels_are_like_is_set_and_not_summed(soft, small_tok2vec):
    teacher, labelled = soft
    examples = read_soft(labelled)
    nlp = train_student(small_tok2vec, teacher, examples)
    losses: dict[str, float] = {}
    for _step in range(3):
        nlp.update(examples, losses=losses)
    facts = {name.rpartition("pseudo_labels.")[2]: value for name, value in losses.items() if "pseudo_labels" in name}
    assert (
        {"relabelled", "sureness", "invalid"}
        < set(facts)
        <= {
            *("relabelled", "sureness", "invalid"),
            *(f"words.{label}" for label in LABELS),
        }
    )
    assert losses["prokd_ner.relabelled"] == pytest.approx(3 * facts["relabelled"])
    assert 1 / 7 < facts["sureness"] <= 1.0
    initialize(nlp, examples, labels=LABELS, start_from=str(teacher), epochs=2)
    assert not any("pseudo_labels" in name for name in learn(nlp, examples, steps=1)), "the first epoch has none"


def test_labels_on_target_text_never_change_anything(soft, small_tok2vec):
    teacher, labelled = soft
    plain, wrong, other = read_soft(labelled), read_soft(labelled), read_soft(labelled)
    for example in wrong:
        example.reference.ents = [Span(example.reference, 0, 1, label="PER")]
    for example in other:
        example.reference.ents = [Span(example.reference, 1, 3, label="LOC")]
    weights_of_each = [weights(train_student(small_tok2vec, teacher, examples)) for examples in (plain, wrong, other)]
    assert weights_of_each[0] == weights_of_each[1] == weights_of_each[2]


def test_prototypes_are_scored_by_labels_of_the_source_which_change_nothing(soft, small_tok2vec, corpus):
    teacher, labelled = soft
    examples, read_dev = read_soft(labelled), create_corpus(path=corpus / "source.spacy")

    def read_wrong(nlp: Language) -> Iterator[Example]:
        for example in read_dev(nlp):
            example.reference.ents = [Span(example.reference, 0, 1, label="UNKNOWN")]
            yield example

    facts, trained = [], [weights(train_student(small_tok2vec, teacher, examples))]
    for dev in (read_dev, read_wrong):
        spacy.registry.readers.register("test_teacher_student.dev", func=lambda dev=dev: dev)
        nlp = make_nlp(small_tok2vec, objective=STUDENT)
        arguments = {"labels": LABELS, "start_from": str(teacher), "dev": {"@readers": "test_teacher_student.dev"}}
        initialize(nlp, examples, epochs=2, **arguments)
        facts += [learn(nlp, examples, steps=1).get("prokd_ner.pseudo_labels.dev_f") for _epoch in range(2)]
        trained.append(weights(nlp))
    assert facts[::2] == [None, None], "the first epoch has no prototypes"
    assert facts[1] > 0.5 and facts[3] == 0.0
    assert trained[0] == trained[1] == trained[2]


def read_beside(folder: Path, source: Path) -> list[Example]:
    return list(create_corpus(path=folder, labelled=source)(spacy.blank("xx")))


def test_a_student_goes_on_learning_from_labelled_source_text(soft, small_tok2vec, corpus):
    teacher, labelled = soft
    right, wrong = (read_beside(labelled, corpus / "source.spacy") for _ in range(2))
    for example in wrong[8:]:
        example.reference.set_ents([Span(example.reference, 0, 1, label="PER")], default="outside")
    alone, beside, misled = (
        weights(train_student(small_tok2vec, teacher, examples)) for examples in (read_soft(labelled), right, wrong)
    )
    assert alone != beside != misled


def test_labels_are_looked_at_where_they_were_asked_for_alone(soft, small_tok2vec, corpus):
    """Labelled text in place of soft labels is a mistake, and no way to train on the target's."""
    teacher, _labelled = soft
    nlp = make_nlp(small_tok2vec, objective=STUDENT)
    examples = list(create_corpus(path=corpus / "source.spacy")(nlp))
    initialize(nlp, examples, labels=LABELS, start_from=str(teacher))
    with pytest.raises(ProKDError, match="run `spacy-prokd label`"):
        nlp.update(examples)


def test_a_batch_may_have_no_target_text(soft, small_tok2vec, corpus):
    teacher, labelled = soft
    examples = read_beside(labelled, corpus / "source.spacy")
    nlp = train_student(small_tok2vec, teacher, examples)
    losses = {name for name in learn(nlp, examples[8:], steps=1) if "pseudo_labels" not in name}
    assert losses == {"prokd_ner", "prokd_ner.cross_entropy"}


def test_prototypes_are_of_target_text_alone(soft, small_tok2vec, corpus):
    """And so are pseudo-labels; the first step of the second epoch makes both."""
    teacher, labelled = soft
    banks = []
    for examples in (read_soft(labelled), read_beside(labelled, corpus / "source.spacy")):
        nlp = make_nlp(small_tok2vec, objective=STUDENT)
        initialize(nlp, examples, labels=LABELS, start_from=str(teacher), epochs=2)
        pipe = nlp.get_pipe("prokd_ner")
        pipe._examples_seen = pipe._examples_an_epoch
        pipe.update(examples[:8])
        banks.append(get_head(pipe.model).target.vectors)
    assert torch.equal(*banks)


def test_a_student_has_its_own_dropout_and_its_teachers_classifier(soft, trained, small_tok2vec):
    teacher, labelled = soft
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-prokd.PrototypeTagger.v1", "dropout": 0.4, "tok2vec": small_tok2vec}
    nlp.add_pipe("prokd_ner", config={"model": model, "objective": STUDENT})
    initialize(nlp, read_soft(labelled), labels=LABELS, start_from=str(teacher))
    head = nlp.get_pipe("prokd_ner").model.get_ref("head").shims[0].module
    assert head.dropout.p == 0.4 and head.config["dropout"] == 0.4
    assert [scored(doc) for doc in nlp.pipe(TEXTS)] == [scored(doc) for doc in trained.pipe(TEXTS)]


def test_labels_on_aligned_target_text_are_left_out_when_it_is_read(corpus, source_docs):
    labelled = [
        example.reference
        for example in create_corpus(path=corpus / "source.spacy", unlabelled=corpus / "source.spacy")(
            spacy.blank("xx")
        )
    ]
    assert [doc.has_annotation("ENT_IOB") for doc in labelled] == [True] * 8 + [False] * 8


def test_a_student_with_other_labels_than_its_teacher_is_an_error(soft, small_tok2vec):
    teacher, labelled = soft
    with pytest.raises(ProKDError, match="was trained on LOC, ORG, PER, the corpus has LOC, PER"):
        train_student(small_tok2vec, teacher, read_soft(labelled), labels=["LOC", "PER"])


def test_soft_labels_of_a_teacher_with_other_labels_are_an_error(small_tok2vec, target_examples):
    nlp = make_nlp(small_tok2vec, objective=STUDENT)
    for example in target_examples:
        set_soft_labels(example.reference, np.full((len(example.reference), 5), 0.2, dtype=np.float32))
    initialize(nlp, target_examples, labels=LABELS)
    with pytest.raises(ProKDError, match="labelled by a teacher with other labels"):
        nlp.update(target_examples)


@pytest.mark.parametrize("words", [["Angela", "Merkel", "in", "U.S."], ["Angela", "Merkel", "in", "U", ".", "S", "."]])
def test_soft_labels_belong_to_the_words_they_were_made_for(small_tok2vec, nlp, words):
    """Another reader may tokenise a text anew; by row alone, words would get their neighbours' labels."""
    reference = Doc(nlp.vocab, words=["Angela", "Merkel", "in", "U.", "S."])
    set_soft_labels(reference, np.full((5, 7), 1 / 7, dtype=np.float32))
    student, examples = make_nlp(small_tok2vec, objective=STUDENT), [Example(Doc(nlp.vocab, words=words), reference)]
    initialize(student, examples, labels=LABELS)
    with pytest.raises(ProKDError, match=rf"5 words with soft labels was read as {len(words)} words.*prokd.Corpus.v1"):
        student.update(examples)


def test_a_student_needs_soft_labels(small_tok2vec, target_examples):
    nlp = make_nlp(small_tok2vec, objective=STUDENT)
    initialize(nlp, target_examples, labels=LABELS)
    with pytest.raises(ProKDError, match="run `spacy-prokd label`"):
        nlp.update(target_examples)


def test_a_teacher_that_is_not_there_is_an_error(small_tok2vec, target_examples, tmp_path):
    nlp = make_nlp(small_tok2vec, objective=STUDENT)
    with pytest.raises(ProKDError, match="train the teacher first"):
        initialize(nlp, target_examples, labels=LABELS, start_from=str(tmp_path / "nowhere"))


def test_several_teachers_are_averaged(trained, source_examples, corpus, small_tok2vec, tmp_path):
    trained.to_disk(tmp_path / "one")
    learn(trained, source_examples, steps=3, rate=0.1)
    trained.to_disk(tmp_path / "two")
    for name, teachers in {"a": ["one"], "b": ["two"], "both": ["one", "two"]}.items():
        label_corpus([tmp_path / teacher for teacher in teachers], corpus / "target.spacy", tmp_path / name)
    a, b, both = ([get_soft_labels(e.reference, 7) for e in read_soft(tmp_path / name)] for name in ("a", "b", "both"))
    for p_a, p_b, p in zip(a, b, both, strict=True):
        assert not np.allclose(p_a, p_b, atol=1e-3)
        np.testing.assert_allclose(p, (p_a + p_b) / 2, atol=1e-3)
