"""Scores against how often they are right, by hand and of a pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_prokd.calibration import (
    FEW_ENTITIES,
    calibrate,
    calibrate_pipeline,
    calibration,
    collect_scores,
    fit_temperature,
    tag_and_collect,
)
from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.decoding import ScoredSpan, soften
from spacy_prokd.errors import ProKDError
from spacy_prokd.span_scores import set_entities


def test_the_expected_calibration_error_by_hand():
    # bin 0.6: mean 0.65, 1 of 2 right, 0.15 away; bin 0.9: mean 0.95, 2 of 2 right, 0.05 away
    # (2 * 0.15 + 2 * 0.05) / 4
    found = calibration(np.array([0.62, 0.68, 0.9, 1.0]), np.array([True, False, True, True]))
    assert found == {
        "ece": 0.1,
        "bins": [{"score": 0.65, "right": 0.5, "entities": 2}, {"score": 0.95, "right": 1.0, "entities": 2}],
    }


def test_the_error_is_not_of_rounded_bins():
    # 0.83334 is 0.166673 away from two of three; the rounded 0.8333 and 0.6667 are 0.1666 apart
    assert calibration(np.full(3, 0.83334), np.array([True, True, False]))["ece"] == 0.1667


def test_scores_that_say_what_they_are_worth_have_no_error():
    found = calibration(np.full(10, 0.8), np.arange(10) < 8)
    assert found["ece"] == pytest.approx(0.0, abs=1e-9)


def test_without_entities_there_is_nothing_to_say():
    assert calibration(np.zeros(0), np.zeros(0, dtype=bool)) is None


def test_only_entities_with_a_score_count(nlp):
    words = ["Anna", "in", "Bonn", "und", "Otto"]
    predicted, gold = Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words, ents=["B-PER", "O", "B-LOC", "O", "O"])
    predicted.ents = [Span(predicted, 4, 5, "PER")]  # of another component
    set_entities(predicted, [ScoredSpan(0, 1, "PER", 0.9), ScoredSpan(2, 3, "ORG", 0.7)])
    scores, right = collect_scores([Example(predicted, gold)])
    assert (scores.tolist(), right.tolist()) == ([0.9, 0.7], [True, False])


def test_a_temperature_divides_log_odds():
    scores = np.array([1e-9, 0.2, 0.5, 0.9, 1.0])
    with np.errstate(divide="ignore"):
        log_odds = np.log(scores / (1 - scores))
    np.testing.assert_allclose(soften(scores, 2.0), 1 / (1 + np.exp(-log_odds / 2)))
    np.testing.assert_allclose(soften(scores, 1.0), scores)


def test_the_temperature_of_scores_that_are_too_sure_is_found():
    random = np.random.default_rng(0)
    honest = random.uniform(0.05, 0.95, 20_000)
    right = random.uniform(size=len(honest)) < honest
    for temperature in (1.0, 1.5, 2.5):
        said = soften(honest, 1 / temperature)
        assert fit_temperature(said, right) == pytest.approx(temperature, rel=0.05)
        assert calibration(soften(said, fit_temperature(said, right)), right)["ece"] < 0.015


def test_how_far_temperatures_of_few_entities_are_off():
    """Why FEW_ENTITIES is what it is: the factor that nine fits in ten keep to."""

    def factor(n_entities):
        random = np.random.default_rng(0)
        honest = random.uniform(0.05, 0.95, (300, n_entities))
        right = random.uniform(size=honest.shape) < honest
        found = [fit_temperature(soften(scores, 1 / 2), labels) for scores, labels in zip(honest, right)]
        return np.quantile(np.exp(np.abs(np.log(np.divide(found, 2.0)))), 0.9)

    assert factor(FEW_ENTITIES) < 1.5 and factor(12) > 2


def test_scores_that_are_not_sure_enough_stay_as_they_are():
    assert fit_temperature(np.full(10, 0.6), np.ones(10, dtype=bool)) == 1.0


def test_without_entities_the_temperature_is_one():
    assert fit_temperature(np.zeros(0), np.zeros(0, dtype=bool)) == 1.0


@pytest.fixture
def few_are_enough(monkeypatch) -> None:
    monkeypatch.setattr("spacy_prokd.calibration.FEW_ENTITIES", 1)


def test_a_handful_of_entities_leaves_scores_as_they_are(trained, source_examples):
    """Fitted on them, a temperature would be a matter of luck."""
    n_entities = sum(len(example.reference.ents) for example in source_examples)
    fit = calibrate(lambda nlp: source_examples, data="en dev")
    with pytest.warns(UserWarning, match=rf"not calibrated: en dev has {n_entities} entities, and it takes 100"):
        assert fit(trained) is trained
    assert trained.get_pipe("prokd_ner").cfg["temperature"] == 1.0
    assert "calibrated_on" not in trained.meta.get("spacy_prokd", {})


def test_calibrating_a_pipeline_changes_scores_and_no_entity(few_are_enough, trained, source_examples, tmp_path):
    pipe = trained.get_pipe("prokd_ner")
    pipe.cfg["threshold"] = 0.5
    wrong = [
        Example(
            example.predicted,
            Doc(trained.vocab, words=[w.text for w in example.reference], ents=["O"] * len(example.reference)),
        )
        for example in source_examples
    ]
    before = trained("Angela Merkel visited Paris .")
    seen = []
    calibrated = calibrate(lambda nlp: [*source_examples, *wrong], then=lambda nlp: seen.append(nlp) or nlp)(trained)
    assert calibrated is trained and seen == [trained]
    assert pipe.cfg["temperature"] > 1.5, "half of what it is sure of is wrong"
    assert pipe.cfg["threshold"] == 0.5
    trained.to_disk(tmp_path / "saved")
    for nlp in (trained, spacy.load(tmp_path / "saved")):
        after = nlp("Angela Merkel visited Paris .")
        assert [(ent.text, ent.label_) for ent in after.ents] == [(ent.text, ent.label_) for ent in before.ents]
        assert all(new._.score < old._.score for new, old in zip(after.ents, before.ents, strict=True))


def test_there_must_be_something_to_calibrate(few_are_enough, nlp, source_examples):
    with pytest.raises(ProKDError, match="no prokd_ner"):
        calibrate(lambda nlp: source_examples)(nlp)


def test_the_meta_says_what_a_training_calibrated_on(few_are_enough, trained, source_examples):
    def describe(nlp):
        nlp.meta["spacy_prokd"] = {"encoder": "tiny"}
        return nlp

    calibrate(lambda nlp: source_examples, describe, data="en dev")(trained)
    assert trained.meta["spacy_prokd"] == {"encoder": "tiny", "calibrated_on": "en dev"}


@pytest.fixture
def labelled(trained, source_docs, tmp_path) -> Path:
    """Eight sentences with their labels and, once more, without any entity: half of what is found is wrong."""
    bare = [Doc(trained.vocab, words=[w.text for w in doc], ents=["O"] * len(doc)) for doc in source_docs]
    (tmp_path / "de").mkdir()
    DocBin(docs=[*source_docs, *bare]).to_disk(tmp_path / "de" / "dev.spacy")
    return tmp_path / "de" / "dev.spacy"


def test_a_copy_of_a_pipeline_is_calibrated_on_a_file(trained, labelled, tmp_path):
    trained.get_pipe("prokd_ner").cfg.update(threshold=0.5, temperature=1.25)
    trained.to_disk(tmp_path / "saved")
    before = (tmp_path / "saved" / "prokd_ner" / "cfg").read_bytes()
    found = calibrate_pipeline(tmp_path / "saved", labelled, tmp_path / "new" / "copy")
    assert (found.texts, found.temperature["before"]) == (16, 1.25)
    assert found.temperature["after"] > 1.5 and found.ece["after"] < found.ece["before"]
    copy = spacy.load(tmp_path / "new" / "copy")
    assert copy.get_pipe("prokd_ner").cfg["temperature"] == found.temperature["after"]
    assert copy.get_pipe("prokd_ner").cfg["threshold"] == 0.5
    assert copy.meta["spacy_prokd"]["calibrated_on"] == "de dev"
    assert (tmp_path / "saved" / "prokd_ner" / "cfg").read_bytes() == before
    # what it says of its error is what `evaluate` would measure
    copy.get_pipe("prokd_ner").cfg["threshold"] = 0.0
    measured = calibration(*tag_and_collect(copy, list(read_docs(labelled, copy.vocab))))
    assert measured["ece"] == pytest.approx(found.ece["after"], abs=1e-3)
    again = calibrate_pipeline(tmp_path / "new" / "copy", labelled, tmp_path / "new" / "copy")
    assert again.temperature["before"] == again.temperature["after"] == found.temperature["after"]


def test_a_pipeline_is_calibrated_whole_or_not_at_all(trained, labelled, tmp_path):
    trained.to_disk(tmp_path / "saved")
    output = tmp_path / "new"
    DocBin(docs=[Doc(trained.vocab, words=["Anna"])]).to_disk(tmp_path / "plain.spacy")
    with pytest.raises(ProKDError, match=r"plain\.spacy has no labels"):
        calibrate_pipeline(tmp_path / "saved", tmp_path / "plain.spacy", output)
    DocBin(docs=[Doc(trained.vocab, words=["the"], ents=["B-PER"])]).to_disk(tmp_path / "other.spacy")
    with pytest.raises(ProKDError, match=r"finds no entity in .*other\.spacy"):
        calibrate_pipeline(tmp_path / "saved", tmp_path / "other.spacy", output)
    assert not output.exists()
    output.mkdir()
    (output / "notes.txt").write_text("mine", encoding="utf8")
    with pytest.raises(ProKDError, match="no pipeline, and would be lost"):
        calibrate_pipeline(tmp_path / "saved", labelled, output)
    assert [path.name for path in output.iterdir()] == ["notes.txt"]
