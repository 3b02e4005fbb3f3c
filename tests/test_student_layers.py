"""A student with fewer layers than its teacher."""

from __future__ import annotations

import gc
import weakref

import pytest
import spacy
from conftest import LABELS, initialize, make_nlp
from spacy.tokens import DocBin
from thinc.api import Adam

from spacy_prokd.architectures import keep_layers
from spacy_prokd.corpus import read_corpus
from spacy_prokd.corpus.readers import create_corpus
from spacy_prokd.errors import ProKDError
from spacy_prokd.network.encoder import find_layers
from spacy_prokd.soft_labels import label_corpus

TEXT = "Munich lies south of Berlin ."


def layers_of(nlp) -> list:
    encoders = [n for n in nlp.get_pipe("prokd_ner").model.walk() if n.name == "transformer_encoder"]
    return list(find_layers(encoders[0].shims[0].module.transformer))


@pytest.fixture
def teacher(tmp_path, source_examples, tiny_encoder, tiny_transformer):
    initialize(make_nlp(tiny_transformer), source_examples, tiny_encoder).to_disk(tmp_path / "teacher")
    return tmp_path / "teacher"


def test_it_starts_from_some_of_its_teachers_layers_and_learns(teacher, source_examples, tiny_transformer, tmp_path):
    nlp = initialize(make_nlp(tiny_transformer), source_examples, start_from=str(teacher), layers=2)
    of_teacher, of_student = layers_of(spacy.load(teacher)), layers_of(nlp)
    assert len(of_student) == 2
    for mine, theirs in zip(of_student, of_teacher):
        assert mine.state_dict().keys() == theirs.state_dict().keys()
        assert all((value == theirs.state_dict()[name]).all() for name, value in mine.state_dict().items())
    sgd = Adam(0.01, L2=0.0, grad_clip=1.0)
    for _ in range(30):
        nlp.update(source_examples, sgd=sgd)
    found = [(ent.text, ent.label_, ent._.score) for ent in nlp(TEXT).ents]
    assert [ent[:2] for ent in found] == [("Munich", "LOC"), ("Berlin", "LOC")]
    nlp.to_disk(tmp_path / "student")
    again = spacy.load(tmp_path / "student")
    assert len(layers_of(again)) == 2
    assert [(ent.text, ent.label_, ent._.score) for ent in again(TEXT).ents] == found


@pytest.mark.parametrize(("more", "left"), [(0, 2), (1, 3)])
def test_half_of_the_layers_are_kept_where_there_is_text_enough(
    teacher, corpus, tiny_transformer, monkeypatch, more, left
):
    """What the source has beside the target's counts too."""
    read = create_corpus(path=corpus / "target.spacy", labelled=corpus / "source.spacy")
    examples = list(read(spacy.blank("xx")))
    monkeypatch.setattr("spacy_prokd.pipeline.ENOUGH_TEXTS", len(examples) + more)
    nlp = initialize(make_nlp(tiny_transformer), examples, start_from=str(teacher), layers="auto")
    assert len(layers_of(nlp)) == left


def test_the_layers_that_are_dropped_take_no_memory(teacher, source_examples, tiny_transformer):
    nlp = make_nlp(tiny_transformer)
    initialize(nlp, source_examples, start_from=str(teacher), layers=3)
    dropped = weakref.ref(layers_of(nlp)[2].output.dense.weight)
    keep_layers(nlp.get_pipe("prokd_ner").model, 2)
    gc.collect()
    assert dropped() is None


def test_where_there_are_no_layers_to_choose_none_are_dropped(source_examples, small_tok2vec, monkeypatch):
    monkeypatch.setattr("spacy_prokd.pipeline.ENOUGH_TEXTS", 1)
    nlp = initialize(make_nlp(small_tok2vec), source_examples, layers="auto")
    assert nlp.get_pipe("prokd_ner").labels == tuple(LABELS)


def test_layers_that_are_not_there_are_named(teacher, source_examples, tiny_transformer, small_tok2vec):
    with pytest.raises(ProKDError, match=r"initialize.components.prokd_ner\] layers = 4, but the encoder has 3"):
        initialize(make_nlp(tiny_transformer), source_examples, start_from=str(teacher), layers=4)
    with pytest.raises(ProKDError, match="no spacy-prokd.TransformerEncoder.v1 to drop layers of"):
        initialize(make_nlp(small_tok2vec), source_examples, layers=2)


def test_a_student_of_fewer_layers_matches_its_teachers_word_vectors(
    teacher, source_examples, tiny_transformer, tmp_path
):
    docs = [example.reference for example in source_examples]
    DocBin(docs=docs).to_disk(tmp_path / "corpus.spacy")
    label_corpus([teacher], tmp_path / "corpus.spacy", tmp_path / "soft", vectors=True)
    soft = list(read_corpus(spacy.blank("xx"), tmp_path / "soft"))
    nlp = make_nlp(
        tiny_transformer, objective={"@misc": "spacy-prokd.Student.v1", "self_training": False, "vector_weight": 1.0}
    )
    initialize(nlp, soft, labels=LABELS, start_from=str(teacher), layers=2)
    sgd = Adam(0.003, L2=0.0, grad_clip=1.0)
    distances = [nlp.update(soft, sgd=sgd)["prokd_ner.vectors"] for _ in range(30)]
    assert distances[-1] < 0.5 * distances[0]
