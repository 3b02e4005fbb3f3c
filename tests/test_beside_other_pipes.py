"""The component beside others of a pipeline: rulers, frozen ones, copies of itself."""

from __future__ import annotations

import spacy
from conftest import (
    TEXTS,
    found,
    initialize,
    learn,
    make_nlp,
    scored,
    weights,
)
from spacy.pipeline.functions import merge_entities
from spacy.tokens import Doc, Span, SpanGroup


def test_entities_of_a_ruler_before_it_stay(trained):
    ruler = trained.add_pipe("entity_ruler", before="prokd_ner")
    ruler.add_patterns([{"label": "DAY", "pattern": "yesterday"}, {"label": "WHO", "pattern": "Merkel visited Paris"}])
    doc = trained(TEXTS[0])  # prokd_ner would find Angela Merkel and Paris, which both overlap WHO
    assert found(doc) == [(1, 4, "WHO"), (4, 5, "DAY")]
    assert scored(doc) == []
    assert [ent._.score for ent in doc.ents] == [None, None]
    beside = trained("Munich lies south of Berlin . yesterday")
    assert (6, 7, "DAY") in found(beside) and (0, 1, "LOC") in found(beside)


def test_a_ruler_after_it_adds_entities(trained):
    ruler = trained.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "DAY", "pattern": "yesterday"}])
    doc = trained(TEXTS[0])
    assert found(doc) == [(0, 2, "PER"), (3, 4, "LOC"), (4, 5, "DAY")]
    assert [ent._.score is None for ent in doc.ents] == [False, False, True]


def test_a_span_has_its_score_whatever_later_pipes_add_to_it(trained):
    doc = trained(TEXTS[0])
    linked = [Span(doc, ent.start, ent.end, label=ent.label_, kb_id="Q1") for ent in doc.ents]
    scores = [ent._.score for ent in doc.ents]
    doc.ents = linked  # as an entity linker does
    assert [ent._.score for ent in doc.ents] == scores
    assert doc[0:1]._.score is None and doc[4:6]._.score is None
    assert Span(doc, 0, 2, label="ORG")._.score is None
    assert spacy.blank("xx")("no group here")[0:1]._.score is None


def test_a_second_one_finds_what_the_first_left_and_both_give_scores(trained, small_tok2vec):
    trained.get_pipe("prokd_ner").cfg |= {"threshold": {"PER": 1}, "alternatives": 1}
    alone = trained(TEXTS[0])
    assert found(alone) == [(3, 4, "LOC")]
    second = trained.add_pipe("prokd_ner", name="second", config={"model": {"tok2vec": small_tok2vec}})
    second.from_bytes(trained.get_pipe("prokd_ner").to_bytes()).cfg |= {"threshold": 0.0, "alternatives": 0}
    doc = trained(TEXTS[0])
    assert found(doc) == [(0, 2, "PER"), (3, 4, "LOC")]
    assert [ent._.score for ent in doc.ents] == doc.spans["prokd"].attrs["scores"]
    assert doc.ents[1]._.score == alone.ents[0]._.score
    assert [ent._.alternatives for ent in doc.ents] == [[], alone.ents[0]._.alternatives]


def test_a_doc_that_is_read_again_keeps_its_scores(trained):
    doc = trained(TEXTS[0])
    before = scored(doc)
    assert scored(trained(doc)) == before and before
    doc.ents = []
    assert scored(trained(doc)) == before


def test_words_where_no_entity_may_be_stay_without_one(trained):
    doc = trained.make_doc(TEXTS[0])
    doc.set_ents([], blocked=[doc[1:2]], default="missing")
    assert found(trained(doc)) == [(3, 4, "LOC")]
    assert [word.ent_iob_ for word in doc] == ["O", "B", "O", "B", "O", "O"]


def test_scores_stay_when_words_are_merged_or_split(trained):
    trained.get_pipe("prokd_ner").cfg["alternatives"] = 1
    doc = trained(" ".join(TEXTS))
    before = [(ent.text, ent._.score, ent._.alternatives) for ent in doc.ents]
    merge_entities(doc)
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], ["Angela", " Merkel"], heads=[doc[0], doc[0]])
    assert [(ent.text, ent._.score, ent._.alternatives) for ent in doc.ents] == before
    doc.spans["prokd"] = SpanGroup(doc, spans=doc.ents, attrs=doc.spans["prokd"].attrs)
    again = Doc(doc.vocab).from_bytes(doc.to_bytes())
    assert [(ent.text, ent._.score, ent._.alternatives) for ent in again.ents] == before


def test_it_can_be_switched_off(trained, tmp_path):
    with trained.select_pipes(disable="prokd_ner"):
        doc = trained(TEXTS[0])
        assert not doc.ents and "prokd" not in doc.spans
    assert trained(TEXTS[0]).ents
    assert not next(trained.pipe([TEXTS[0]], disable=["prokd_ner"])).ents
    trained.to_disk(tmp_path / "saved")
    nlp = spacy.load(tmp_path / "saved", disable=["prokd_ner"])
    assert not nlp(TEXTS[0]).ents
    nlp.enable_pipe("prokd_ner")
    assert found(nlp(TEXTS[0])) == found(trained(TEXTS[0]))


def test_it_can_be_sourced(trained, tmp_path):
    other = spacy.blank("xx")
    other.add_pipe("sentencizer")
    other.add_pipe("prokd_ner", source=trained, name="names")
    assert [scored(doc) for doc in other.pipe(TEXTS)] == [scored(doc) for doc in trained.pipe(TEXTS)]
    other.to_disk(tmp_path / "saved")
    assert [scored(doc) for doc in spacy.load(tmp_path / "saved").pipe(TEXTS)] == [
        scored(d) for d in trained.pipe(TEXTS)
    ]


def test_a_frozen_component_stays_byte_identical(trained, source_examples, small_tok2vec):
    other = {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 8,
        "maxout_pieces": 2,
        "use_upper": True,
        "tok2vec": small_tok2vec,
    }
    ner = trained.add_pipe("ner", config={"model": other})
    ner.initialize(lambda: source_examples)
    before, ner_before = weights(trained), ner.model.to_bytes()
    learn(trained, source_examples, steps=3, exclude=["prokd_ner"])
    assert weights(trained) == before and ner.model.to_bytes() != ner_before
    learn(trained, source_examples, steps=1)
    assert weights(trained) != before


def test_frozen_layers_stay_byte_identical(tiny_transformer, tiny_encoder, source_examples):
    nlp = make_nlp(tiny_transformer)
    initialize(nlp, source_examples, tiny_encoder)
    encoder = nlp.get_pipe("prokd_ner").model.get_ref("tok2vec").shims[0].module
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    learn(nlp, source_examples, steps=2)
    moved = {name for name, value in encoder.state_dict().items() if not value.equal(before[name])}
    assert not any("embeddings" in name or "layer.0." in name for name in moved)
    assert any("layer.1." in name for name in moved) and any("layer.2." in name for name in moved)
