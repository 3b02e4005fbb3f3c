"""A pipeline made small: fewer pieces and bytes, the same entities where its language is spoken."""

from __future__ import annotations

import shutil

import pytest
import spacy
from conftest import TARGET, initialize, learn, make_nlp
from safetensors.torch import load_file

from spacy_prokd.errors import ProKDError
from spacy_prokd.shrinking import shrink


@pytest.fixture
def pipeline(tmp_path, source_examples, tiny_encoder, tiny_transformer):
    """A folder with a trained pipeline, and the pipeline."""
    nlp = initialize(make_nlp(tiny_transformer), source_examples, tiny_encoder)
    learn(nlp, source_examples)
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline", nlp


@pytest.fixture
def texts(corpus):
    return corpus / "target.spacy"


def ents(doc) -> list[tuple]:
    return [(ent.text, ent.label_, pytest.approx(ent._.score, abs=1e-2)) for ent in doc.ents]


def test_it_finds_the_same_with_fewer_pieces(pipeline, texts, tmp_path):
    folder, nlp = pipeline
    before = sum(path.stat().st_size for path in folder.rglob("*"))
    sizes = shrink(spacy.load(folder), folder, texts, 115)
    assert sizes["kept"] < sizes["all"]
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 0.8 * before
    small = spacy.load(folder)
    found = [ents(doc) for doc in small.pipe(TARGET)]
    assert any(found)
    assert [ents(doc) for doc in nlp.pipe(TARGET)] == found
    small("Владимир 北京 \U0001f600")  # what it has no pieces for
    small.to_disk(tmp_path / "again")
    assert [ents(doc) for doc in spacy.load(tmp_path / "again").pipe(TARGET)] == found


def test_matrices_are_stored_in_fewer_bytes_and_loaded_in_full(pipeline, texts):
    folder, _nlp = pipeline
    shrink(spacy.load(folder), folder, texts, 1)
    stored = load_file(folder / "prokd_ner" / "weights.safetensors")
    kinds = {(value.dim() > 1, str(value.dtype)) for value in stored.values() if value.is_floating_point()}
    assert kinds == {(True, "torch.float16"), (False, "torch.float32")}
    (encoder,) = [
        node.shims[0].module
        for node in spacy.load(folder).get_pipe("prokd_ner").model.walk()
        if node.name == "transformer_encoder"
    ]
    assert {str(p.dtype) for p in encoder.parameters()} == {"torch.float32"}


def test_matrices_beyond_half_precision_stay_as_they_are(pipeline, texts):
    folder, nlp = pipeline
    (head,) = [node for node in nlp.get_pipe("prokd_ner").model.walk() if node.name == "prototype_head"]
    head.shims[0].module.classifier.weight.data[0, 0] = 1e6
    nlp.to_disk(folder)
    shrink(spacy.load(folder), folder, texts, 1)
    assert load_file(folder / "prokd_ner" / "weights.safetensors")["1.classifier.weight"][0, 0] == 1e6


def test_a_pipeline_without_an_encoder_of_ours_keeps_its_words(tmp_path, source_examples, small_tok2vec, texts):
    nlp = initialize(make_nlp(small_tok2vec), source_examples)
    learn(nlp, source_examples)
    nlp.to_disk(tmp_path / "cnn")
    assert shrink(spacy.load(tmp_path / "cnn"), tmp_path / "cnn", texts, 1) == {}
    assert [ents(doc) for doc in spacy.load(tmp_path / "cnn").pipe(TARGET)] == [ents(doc) for doc in nlp.pipe(TARGET)]


def test_missing_texts_are_named(pipeline, texts):
    folder, _nlp = pipeline
    copy = shutil.copytree(folder, folder.with_name("copy"))
    with pytest.raises(ProKDError, match="missing.spacy is not there.*--vocabulary-size 0"):
        shrink(spacy.load(folder), folder, texts.with_name("missing.spacy"), 1)
    for path in folder.rglob("*.*"):
        assert path.read_bytes() == (copy / path.relative_to(folder)).read_bytes()
