"""The component as spaCy tests its own: it learns, is saved and loaded, and behaves in any pipeline."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import spacy
import torch
from conftest import (
    LABELS,
    SOURCE,
    TEXTS,
    found,
    initialize,
    learn,
    make_encoder,
    make_nlp,
    make_tokenizer,
    read_tagged,
    scored,
    to_examples,
    weights,
)
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_prokd.errors import ProKDError
from spacy_prokd.labels import tags_of


def random_docs(nlp: Language) -> list[Doc]:
    return [nlp.make_doc(text) for text in TEXTS]


@pytest.fixture(params=["transformer", "hash_embed"])
def slot(request, tiny_transformer, small_tok2vec, tiny_encoder) -> tuple[dict, Path | None]:
    """What may be in the tok2vec slot, and where its weights come from."""
    return (tiny_transformer, tiny_encoder) if request.param == "transformer" else (small_tok2vec, None)


# --- learning and saving


def test_the_defaults_are_enough():
    nlp = spacy.blank("de")
    nlp.add_pipe("prokd_ner")
    words, tags = read_tagged(SOURCE[0])
    examples = to_examples([Doc(nlp.vocab, words=words, ents=tags)])
    nlp.initialize(lambda: examples)
    losses = nlp.update(examples)
    assert losses["prokd_ner"] == pytest.approx(losses["prokd_ner.cross_entropy"]) and losses["prokd_ner"] > 0
    assert nlp.evaluate(examples)["ents_f"] >= 0.0
    assert nlp("Angela Merkel").has_annotation("ENT_IOB")


def test_overfitting_and_io(slot, source_examples, tmp_path):
    tok2vec, encoder = slot
    nlp = make_nlp(tok2vec)
    examples = source_examples[:2]
    initialize(nlp, examples, encoder)
    first = learn(nlp, examples, steps=1)
    last = learn(nlp, examples, steps=30)
    assert last["prokd_ner"] < 0.1 * first["prokd_ner"]
    docs = [nlp(text) for text in TEXTS[:2]]
    assert [found(doc) for doc in docs] == [[(0, 2, "PER"), (3, 4, "LOC")], [(0, 2, "ORG"), (6, 7, "LOC")]]
    assert nlp.evaluate(examples)["ents_f"] == 1.0

    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    assert again.get_pipe("prokd_ner").labels == ("LOC", "ORG", "PER")
    one_by_one = [scored(again(text)) for text in TEXTS]
    assert one_by_one[:2] == [scored(doc) for doc in docs]
    for _ in range(2):
        assert [scored(doc) for doc in again.pipe(TEXTS)] == one_by_one


def test_serialisation_after_initialize(slot, source_examples, tmp_path):
    tok2vec, encoder = slot
    nlp = make_nlp(tok2vec)
    initialize(nlp, source_examples, encoder)
    learn(nlp, source_examples, steps=2)
    expected = nlp.get_pipe("prokd_ner").predict(random_docs(nlp))
    from_bytes = make_nlp(tok2vec).from_bytes(nlp.to_bytes())
    nlp.to_disk(tmp_path / "saved")
    from_disk = make_nlp(tok2vec).from_disk(tmp_path / "saved")
    for other in (from_bytes, from_disk):
        assert other.get_pipe("prokd_ner").labels == nlp.get_pipe("prokd_ner").labels
        predicted = other.get_pipe("prokd_ner").predict(random_docs(other))
        for mine, theirs in zip(predicted, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert weights(other) == weights(nlp)


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        (7, "threshold of all labels is 7"),
        (-0.1, "threshold of all labels is -0.1"),
        ({"PER": 0.5, "LOC": 1.5}, "threshold of LOC is 1.5"),
    ],
)
def test_a_threshold_that_no_score_can_be_compared_with(small_tok2vec, threshold, message):
    with pytest.raises(ProKDError, match=message):
        make_nlp(small_tok2vec, threshold=threshold)
    make_nlp(small_tok2vec, threshold={"PER": 0, "LOC": 1})


def test_serialisation_before_initialize(slot, source_examples, tmp_path):
    tok2vec, encoder = slot
    nlp = make_nlp(tok2vec, threshold=0.25)
    nlp.get_pipe("prokd_ner").add_label("PER")
    nlp.to_disk(tmp_path / "saved")
    for other in (make_nlp(tok2vec).from_bytes(nlp.to_bytes()), spacy.load(tmp_path / "saved")):
        pipe = other.get_pipe("prokd_ner")
        assert pipe.labels == ("PER",) and pipe.cfg["threshold"] == 0.25
        initialize(other, source_examples, encoder)
        assert pipe.labels == tuple(LABELS)
        assert learn(other, source_examples, steps=1)["prokd_ner"] > 0


def test_the_weights_are_a_file_of_their_own(trained, tmp_path):
    trained.to_disk(tmp_path / "saved")
    folder = tmp_path / "saved" / "prokd_ner"
    assert safetensors.torch.load_file(folder / "weights.safetensors")
    trained.get_pipe("prokd_ner").to_disk(tmp_path / "bare", exclude=["model"])
    bare = {path.name for path in (tmp_path / "bare").iterdir()}
    assert "cfg" in bare and not bare & {"model", "weights.safetensors"}
    before = weights(trained)
    trained.get_pipe("prokd_ner").from_disk(tmp_path / "bare", exclude=["model"])
    assert weights(trained) == before
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ProKDError, match=r"prokd_ner.weights\.safetensors does not hold the weights"):
        spacy.load(tmp_path / "saved")


def test_a_loaded_pipeline_learns_on(trained, source_examples, tmp_path):
    """As `spacy train` goes on from a sourced component: the optimizer is new, the weights are not."""
    trained.to_disk(tmp_path / "saved")
    nlp = spacy.load(tmp_path / "saved")
    before = weights(nlp)
    nlp.resume_training()
    learn(nlp, source_examples, steps=1)
    assert weights(nlp) != before


def test_a_checkpoint_has_the_mean_of_the_weights_where_the_optimizer_keeps_one(slot, source_examples, tmp_path):
    tok2vec, encoder = slot
    nlp = make_nlp(tok2vec)
    initialize(nlp, source_examples, encoder)
    sgd = Adam(0.01, use_averages=True)
    for _ in range(3):
        nlp.update(source_examples, sgd=sgd)
    last = weights(nlp)
    with nlp.use_params(sgd.averages):  # as spaCy's training loop does
        nlp.to_disk(tmp_path)
        mean = weights(nlp)
    assert weights(nlp) == last != mean
    assert weights(spacy.load(tmp_path)) == mean


def test_spans_and_scores_survive_a_docbin(trained):
    docs = list(trained.pipe(TEXTS))
    stored = DocBin(docs=docs).to_bytes()
    loaded = list(DocBin().from_bytes(stored).get_docs(spacy.blank("xx").vocab))
    assert [scored(doc) for doc in loaded] == [scored(doc) for doc in docs]
    assert [found(doc) for doc in loaded] == [found(doc) for doc in docs]
    scores = [[ent._.score for ent in doc.ents] for doc in loaded]
    assert scores == [[ent._.score for ent in doc.ents] for doc in docs] and any(scores)


# --- batches


def test_empty_docs_between_full_ones(slot, source_examples):
    tok2vec, encoder = slot
    nlp = make_nlp(tok2vec)
    initialize(nlp, source_examples, encoder)
    learn(nlp, source_examples, steps=30)
    texts = ["", TEXTS[0], "", "", TEXTS[1], ""]
    assert [scored(doc) for doc in nlp.pipe(texts)] == [scored(nlp(text)) for text in texts]
    assert [len(doc.ents) > 0 for doc in nlp.pipe(texts)] == [False, True, False, False, True, False]
    assert [len(doc) for doc in nlp.pipe(["", ""])] == [0, 0]
    empty = Example(Doc(nlp.vocab, words=[]), Doc(nlp.vocab, words=[]))
    fix_random_seed(0)  # of the encoder's own dropout
    alone = learn(nlp, source_examples[:1], steps=1, rate=0.0)["prokd_ner"]
    fix_random_seed(0)
    assert learn(nlp, [empty, source_examples[0], empty], steps=1, rate=0.0)["prokd_ner"] == pytest.approx(alone)
    assert nlp.update([empty])["prokd_ner"] == 0.0


def test_batch_sizes_give_the_same_entities(slot, source_examples):
    tok2vec, encoder = slot
    nlp = make_nlp(tok2vec)
    initialize(nlp, source_examples, encoder)
    learn(nlp, source_examples, steps=15)
    texts = [*TEXTS, " ".join(TEXTS), "", TEXTS[3]]
    one_by_one = [nlp(text) for text in texts]
    for size in (1, 3, 100):
        for doc, expected in zip(nlp.pipe(texts, batch_size=size), one_by_one, strict=True):
            assert found(doc) == found(expected)
            assert doc.spans["prokd"].attrs["scores"] == pytest.approx(
                expected.spans["prokd"].attrs["scores"], abs=1e-4
            )


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_n_process_equals_one(method, trained, slot_for_processes, tmp_path):
    """In an interpreter of its own, so that a deadlock ends with the time limit."""
    slot_for_processes.to_disk(tmp_path / "saved")
    script = tmp_path / "script.py"
    script.write_text(
        """
import multiprocessing, sys, spacy

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    nlp = spacy.load(sys.argv[1])
    texts = sys.stdin.read().split("\\n")
    one = list(nlp.pipe(texts))  # torch's threads now exist, which is what a fork may trip over
    two = list(nlp.pipe(texts, n_process=2, batch_size=2))
    assert [doc.to_json() for doc in one] == [doc.to_json() for doc in two]
    for mine, theirs in zip(one, two, strict=True):
        scores = [[ent._.score for ent in doc.ents] for doc in (mine, theirs)]
        assert all(abs(a - b) < 1e-4 for a, b in zip(*scores, strict=True)), scores
    assert sum(len(doc.ents) for doc in two) > 3
    print("equal")
""",
        encoding="utf8",
    )
    command = [sys.executable, str(script), str(tmp_path / "saved"), method]
    result = subprocess.run(
        command, input="\n".join([*TEXTS, "", *TEXTS]), capture_output=True, text=True, timeout=180, check=False
    )
    assert result.stdout.strip() == "equal", result.stderr[-2000:]


@pytest.fixture
def slot_for_processes(tiny_transformer, tiny_encoder, source_examples) -> Language:
    nlp = make_nlp(tiny_transformer)
    initialize(nlp, source_examples[:4], tiny_encoder)
    learn(nlp, source_examples[:4], steps=20)
    return nlp


def test_a_pipe_that_was_just_trained_can_be_sent_to_a_process(slot, source_examples):
    tok2vec, encoder = slot
    nlp = make_nlp(tok2vec)
    initialize(nlp, source_examples, encoder)
    learn(nlp, source_examples, steps=2)
    sent = pickle.loads(pickle.dumps(nlp.get_pipe("prokd_ner")))
    assert sent.model.to_bytes() == weights(nlp) and sent.labels == tuple(LABELS)


# --- labels


def test_labels_come_from_a_file_of_init_labels(small_tok2vec, source_examples, tmp_path):
    nlp = make_nlp(small_tok2vec)
    initialize(nlp, source_examples)
    file = tmp_path / "prokd_ner.json"
    file.write_text(json.dumps(nlp.get_pipe("prokd_ner").label_data), encoding="utf8")
    other = make_nlp(small_tok2vec)
    no_org = [example for example in source_examples if all(e.label_ != "ORG" for e in example.reference.ents)]
    initialize(other, no_org, labels={"@readers": "spacy.read_labels.v1", "path": str(file), "require": True})
    assert other.get_pipe("prokd_ner").labels == tuple(LABELS)


def test_a_label_of_the_corpus_that_is_not_given_is_an_error(small_tok2vec, source_examples):
    with pytest.raises(ProKDError, match=r"'LOC', 'ORG'.*not among \['PER'\]"):
        initialize(make_nlp(small_tok2vec), source_examples, labels=["PER"])


def test_no_labels_at_all_is_an_error(small_tok2vec, target_examples):
    with pytest.raises(ProKDError, match=r"No entity labels.*`--paths\.labels "):
        initialize(make_nlp(small_tok2vec), target_examples)


def test_a_new_label_in_training_is_an_error(trained):
    doc = Doc(trained.vocab, words=["It", "rains"], ents=["O", "B-WEATHER"])
    with pytest.raises(ProKDError, match=r"B-WEATHER.*LOC, ORG, PER"):
        trained.update(to_examples([doc]))


def test_a_trained_component_takes_no_more_labels(trained):
    pipe = trained.get_pipe("prokd_ner")
    assert pipe.add_label("PER") == 0
    with pytest.raises(ProKDError, match="'GPE' cannot be added"):
        pipe.add_label("GPE")
    untrained = make_nlp(
        {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "width": 8,
            "depth": 1,
            "embed_size": 50,
            "window_size": 1,
            "maxout_pieces": 2,
            "subword_features": True,
            "pretrained_vectors": None,
        }
    )
    assert [untrained.get_pipe("prokd_ner").add_label(label) for label in ("PER", "LOC", "PER")] == [1, 1, 0]
    assert untrained.get_pipe("prokd_ner").tags == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_a_label_may_be_added_before_and_named_twice(small_tok2vec, source_examples):
    nlp = make_nlp(small_tok2vec)
    nlp.get_pipe("prokd_ner").add_label("DAY")
    assert initialize(nlp, source_examples).get_pipe("prokd_ner").labels == ("DAY", *LABELS)
    twice = initialize(make_nlp(small_tok2vec), source_examples, labels=[*LABELS, "PER"])
    assert twice.get_pipe("prokd_ner").labels == tuple(LABELS)
    assert twice(TEXTS[0]).has_annotation("ENT_IOB")


def test_it_can_be_initialized_again_with_more_labels_and_another_encoder(slot, source_examples, tmp_path):
    tok2vec, encoder = slot
    nlp = initialize(make_nlp(tok2vec), source_examples, encoder)
    weather = to_examples([Doc(nlp.vocab, words=["It", "rains"], ents=["O", "B-WEATHER"])])
    if encoder is not None:
        encoder = tmp_path / "wider"
        make_encoder(encoder, make_tokenizer(), width=48)
    initialize(nlp, [*source_examples, *weather], encoder)
    learn(nlp, weather, steps=20)
    assert found(nlp("It rains")) == [(1, 2, "WEATHER")]


def test_update_and_use_without_initialize_say_what_to_do(slot, source_examples):
    tok2vec, _encoder = slot
    nlp = make_nlp(tok2vec)
    for call in (lambda: nlp.update(source_examples, sgd=Adam(0.01)), lambda: nlp(TEXTS[0])):
        with pytest.raises(ProKDError, match=r"nlp\.initialize\(\)"):
            call()


def test_an_encoder_without_a_place_for_it_is_an_error(small_tok2vec, source_examples, tiny_encoder):
    with pytest.raises(ProKDError, match=r"no spacy-prokd\.TransformerEncoder\.v1"):
        initialize(make_nlp(small_tok2vec), source_examples, tiny_encoder)


def test_an_encoder_that_was_not_named_is_an_error(tiny_transformer, source_examples):
    with pytest.raises(ProKDError):
        initialize(make_nlp(tiny_transformer), source_examples)


# --- losses


def test_examples_without_annotation_get_no_loss(small_tok2vec, source_examples, target_examples):
    nlp = make_nlp(small_tok2vec)
    initialize(nlp, [*source_examples, *target_examples])
    before = weights(nlp)
    assert learn(nlp, target_examples, steps=2)["prokd_ner"] == 0.0
    assert weights(nlp) == before
    alone = learn(nlp, source_examples, steps=1, rate=0.0)
    beside = learn(nlp, [target_examples[0], *source_examples, *target_examples[1:]], steps=1, rate=0.0)
    assert beside["prokd_ner"] == pytest.approx(alone["prokd_ner"], rel=1e-5)


def test_words_whose_annotation_is_missing_get_no_loss(small_tok2vec, source_examples):
    nlp = make_nlp(small_tok2vec)
    initialize(nlp, source_examples)
    doc = Doc(nlp.vocab, words=["Paris", "and", "Berlin"])
    doc.set_ents([Span(doc, 0, 1, label="LOC")], missing=[doc[1:3]], default="outside")
    before = weights(nlp)
    one = learn(nlp, to_examples([doc]), steps=1, rate=0.0)["prokd_ner"]
    head = nlp.get_pipe("prokd_ner").predict([Doc(nlp.vocab, words=["Paris", "and", "Berlin"])])[0][0]
    assert one == pytest.approx(-np.log(head[tags_of(LABELS).index("B-LOC")]), rel=1e-4)
    assert weights(nlp) == before


def test_a_loss_that_is_no_number_stops_the_training(trained, source_examples):
    with torch.no_grad():
        trained.get_pipe("prokd_ner").model.get_ref("head").shims[0].module.classifier.weight.fill_(float("nan"))
    with pytest.raises(ProKDError, match=r"became nan.*lower learning rate.*fp32"):
        trained.update(source_examples, sgd=Adam(0.01))


def test_losses_have_names(small_tok2vec, source_examples, target_examples):
    nlp = make_nlp(small_tok2vec, objective={"@misc": "spacy-prokd.Teacher.v1", "alignment_weight": 0.5})
    initialize(nlp, [*source_examples, *target_examples], epochs=2)
    losses: dict[str, float] = {}
    for _ in range(3):
        nlp.update([*source_examples, *target_examples], sgd=Adam(0.01), losses=losses)
    assert set(losses) == {"prokd_ner", "prokd_ner.cross_entropy", "prokd_ner.alignment"}
    assert losses["prokd_ner"] > losses["prokd_ner.cross_entropy"] > 0.0


def test_a_seed_decides_every_weight(slot, source_examples):
    tok2vec, encoder = slot

    def train(seed: int) -> bytes:
        nlp = make_nlp(tok2vec)
        nlp.config["training"]["seed"] = seed
        fix_random_seed(seed)
        arguments = (
            {} if encoder is None else {"encoder": {"@callbacks": "spacy-prokd.load_encoder.v1", "name": str(encoder)}}
        )
        nlp.config["initialize"]["components"]["prokd_ner"] = arguments
        nlp.initialize(lambda: source_examples)
        learn(nlp, source_examples, steps=3, drop=0.1)
        return weights(nlp)

    assert train(1) == train(1)
    assert train(1) != train(2)


def test_initialize_draws_every_weight_anew(slot, source_examples):
    tok2vec, encoder = slot
    nlp = make_nlp(tok2vec)
    initialize(nlp, source_examples, encoder)
    first = weights(nlp)
    learn(nlp, source_examples, steps=2)
    initialize(nlp, source_examples, encoder)
    assert weights(nlp) == first


def test_initialize_forgets_what_scores_were_calibrated_by(trained, source_examples):
    pipe = trained.get_pipe("prokd_ner")
    pipe.cfg["temperature"] = 3.0
    trained.initialize(lambda: source_examples)
    assert pipe.cfg["temperature"] == 1.0


@pytest.mark.parametrize("epochs", [0, -1])
def test_a_number_of_epochs_that_is_none(trained, source_examples, epochs):
    """As spaCy writes a training without end, and one that streams its corpus."""
    trained.config["initialize"]["components"]["prokd_ner"] = {"epochs": epochs}
    with pytest.raises(ProKDError, match=rf"fixed number of epochs, for Eq\. 12; it was given {epochs}\. Set epochs"):
        trained.initialize(lambda: source_examples)
