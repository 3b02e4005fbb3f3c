"""What is known of a found entity: its score, other labels, where it ends."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
from conftest import (
    TEXTS,
    found,
    scored,
    set_sure,
)
from spacy.cli.find_threshold import find_threshold
from spacy.tokens import Doc


def test_every_entity_has_a_probability(trained):
    for doc in trained.pipe(TEXTS):
        group = doc.spans["prokd"]
        assert found(doc) == [(span.start, span.end, span.label_) for span in group]
        assert [ent._.score for ent in doc.ents] == group.attrs["scores"]
        assert all(0.0 < score <= 1.0 for score in group.attrs["scores"])


def test_a_doc_made_of_others_has_no_scores_and_no_wrong_ones(trained):
    """spaCy leaves attributes of span groups out, as docs/howto/scores.md says."""
    docs = [trained(text) for text in TEXTS[:2]]
    made = [docs[0][:].as_doc(), Doc.from_docs(docs), Doc(trained.vocab).from_json(docs[0].to_json())]
    for doc in made:
        assert doc.ents and [ent._.score for ent in doc.ents] == [None] * len(doc.ents)


def test_the_threshold_drops_what_is_less_probable(trained):
    pipe = trained.get_pipe("prokd_ner")

    def all_scores() -> list[float]:
        return sorted(score for doc in trained.pipe(TEXTS) for score in doc.spans["prokd"].attrs["scores"])

    scores = all_scores()
    n_dropped = len(scores) // 2
    pipe.cfg["threshold"] = (scores[n_dropped - 1] + scores[n_dropped]) / 2
    assert all_scores() == pytest.approx(scores[n_dropped:], abs=1e-6)
    assert sum(len(doc.ents) for doc in trained.pipe(TEXTS)) == len(scores) - n_dropped
    pipe.cfg["threshold"] = 1
    assert not any(doc.ents for doc in trained.pipe(TEXTS))


@pytest.mark.parametrize(("threshold", "found_at"), [(0.5, [(0, 4, "LOC")]), (0.7, []), ({"LOC": 0.7}, [])])
def test_a_threshold_leaves_out_entities_and_makes_no_other_ones(trained, threshold, found_at):
    pipe = trained.get_pipe("prokd_ner")
    pipe.cfg |= {"joining": ["("], "threshold": threshold}
    p = np.zeros((4, len(pipe.tags)), dtype=np.float32)
    p[range(4), [pipe.tags.index(tag) for tag in ("B-LOC", "O", "B-LOC", "O")]] = [0.9, 1.0, 0.6, 1.0]
    p[:, 0] = 1 - p[:, 1:].sum(axis=1)
    doc = Doc(trained.vocab, words=["Uruk", "(", "Irak", ")"])
    pipe.set_annotations([doc], [p])
    assert found(doc) == found_at, "and not Uruk alone, though it is sure enough"


def test_a_threshold_for_one_label_and_other_labels_of_an_entity(trained, tmp_path):
    pipe = trained.get_pipe("prokd_ner")
    assert [ent._.alternatives for ent in trained(TEXTS[0]).ents] == [[], []], "off by default"
    pipe.cfg |= {"threshold": {"PER": 1}, "alternatives": 1}
    trained.to_disk(tmp_path / "saved")
    for nlp in (trained, spacy.load(tmp_path / "saved")):
        doc = nlp(TEXTS[0])
        assert {ent.label_ for ent in doc.ents} == {"LOC"}
        (((other, score),),) = [ent._.alternatives for ent in doc.ents]
        assert other in ("ORG", "PER") and 0.0 < score < doc.ents[0]._.score
        assert Doc(nlp.vocab).from_bytes(doc.to_bytes()).ents[0]._.alternatives == [(other, score)]
        assert doc[:1]._.alternatives == [], "no entity"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_find_threshold_of_spacy_works(trained, corpus, tmp_path):
    trained.to_disk(tmp_path / "saved")
    best, score, scores = find_threshold(
        str(tmp_path / "saved"), corpus / "source.spacy", "prokd_ner", "threshold", "ents_f", n_trials=3
    )
    assert set(scores) == {0.0, 0.5, 1.0}
    assert scores[0.0] > 0.9 and scores[1.0] == 0.0, "a higher threshold finds less"
    assert score == scores[best] == max(scores.values())


def test_no_entity_begins_or_ends_in_white_space(trained):
    words = [" ", "Angela", "\n", "Merkel", "  ", "\t", "\n\n", "Paris"]
    doc = set_sure(trained, words, ["B-PER", "I-PER", "I-PER", "I-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC"])
    assert found(doc) == [(1, 4, "PER"), (7, 8, "LOC")]
    assert scored(doc) == [(1, 4, "PER", 1.0), (7, 8, "LOC", 1.0)]


@pytest.mark.parametrize(
    ("words", "tags", "expected"),
    [
        ("Frankfurt ( Oder ) liegt", "B-LOC I-LOC I-LOC O O", [(0, 4, "LOC")]),
        ("Frankfurt ( Oder", "B-LOC I-LOC I-LOC", [(0, 3, "LOC")]),
        ("Merkel ( Berlin ) sagt", "B-PER O B-LOC O O", [(0, 1, "PER"), (2, 3, "LOC")]),
        ("A ( B ) )", "B-LOC I-LOC I-LOC I-LOC O", [(0, 4, "LOC")]),
        ("Frankfurt ( Oder )", "B-LOC I-LOC I-LOC B-ORG", [(0, 3, "LOC"), (3, 4, "ORG")]),
    ],
)
def test_an_entity_that_opens_a_bracket_closes_it(trained, words, tags, expected):
    assert found(set_sure(trained, words.split(), tags.split())) == expected
