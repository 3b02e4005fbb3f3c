"""spaCy's own commands on a pipeline with prokd_ner, and what spaCy's training does with pipes beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import spacy
import srsly
from conftest import LABELS, TEXTS, found, initialize, learn, scored, to_examples, weights
from spacy.cli import app
from spacy.language import Language
from spacy.tokens import DocBin
from thinc.api import Config
from typer.main import get_command

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of spacy-transformers and what it imports
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # spaCy leaves files for the garbage collector to close
]
ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.cfg"))


def run(*args: object) -> None:
    """`python -m spacy ...`; a command that fails raises SystemExit or its error."""
    get_command(app)([str(arg) for arg in args], standalone_mode=False)


@pytest.fixture
def saved(trained, tmp_path) -> Path:
    """`trained` on disk."""
    trained.to_disk(tmp_path / "saved")
    return tmp_path / "saved"


# --- commands


def test_evaluate(saved, corpus, tmp_path):
    run("evaluate", saved, corpus / "source.spacy", "--output", tmp_path / "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf8"))
    assert scores["ents_f"] > 0.9 and set(scores["ents_per_type"]) == set(LABELS) and scores["speed"] > 0


def test_benchmark_speed(saved, corpus, capsys):
    run("benchmark", "speed", saved, corpus / "source.spacy", "--batches", 30, "--warmup", 1, "--batch-size", 4)
    assert "words/s" in capsys.readouterr().out


@pytest.mark.parametrize("options", [(), ("--n-process", 2)])
def test_apply(saved, trained, options, tmp_path):
    srsly.write_jsonl(tmp_path / "texts.jsonl", [{"text": text} for text in TEXTS])
    run("apply", saved, tmp_path / "texts.jsonl", tmp_path / "tagged.spacy", "--batch-size", 3, *options)
    docs = list(DocBin().from_disk(tmp_path / "tagged.spacy").get_docs(spacy.blank("xx").vocab))
    assert [(found(doc), scored(doc)) for doc in docs] == [(found(doc), scored(doc)) for doc in trained.pipe(TEXTS)]


def test_assemble(saved, trained, tmp_path):
    config = {
        "nlp": {"lang": "xx", "pipeline": ["sentencizer", "names"]},
        "components": {
            "sentencizer": {"factory": "sentencizer"},
            "names": {"source": str(saved), "component": "prokd_ner"},
        },
    }
    Config(config).to_disk(tmp_path / "base.cfg")
    run("assemble", tmp_path / "base.cfg", tmp_path / "assembled")
    shutil.rmtree(saved)
    nlp = spacy.load(tmp_path / "assembled")
    assert nlp.pipe_names == ["sentencizer", "names"]
    assert [scored(doc) for doc in nlp.pipe(TEXTS)] == [scored(doc) for doc in trained.pipe(TEXTS)]


@pytest.mark.parametrize("name", NAMES)
def test_fill_config_and_debug_config(name, corpus, tiny_encoder, tmp_path, capsys):
    """Filled without any setting, as `debug config` wants it, which makes all objects in it."""
    run("init", "fill-config", ROOT / "configs" / f"{name}.cfg", tmp_path / "filled.cfg")
    options = ["--paths.train", corpus / "source.spacy", "--paths.dev", corpus / "source.spacy"]
    if name != "hash_embed":
        options += ["--paths.encoder", tiny_encoder]
    if name == "student":
        srsly.write_json(corpus / "labels.json", LABELS)
        options += ["--paths.labels", corpus / "labels.json"]
    run("debug", "config", tmp_path / "filled.cfg", *options, "--show-functions", "--show-variables")
    out = capsys.readouterr().out
    assert "Config is valid" in out and "spacy-prokd.warmup_linear.v1" in out


def test_init_labels(corpus, tmp_path):
    paths = ("--paths.train", corpus / "source.spacy", "--paths.dev", corpus / "source.spacy")
    run("init", "labels", ROOT / "configs" / "hash_embed.cfg", tmp_path / "labels", *paths)
    assert json.loads((tmp_path / "labels" / "prokd_ner.json").read_text(encoding="utf8")) == LABELS


def test_project_document(tmp_path):
    run("project", "document", ROOT, "--output", tmp_path / "project.md")
    page = (tmp_path / "project.md").read_text(encoding="utf8")
    assert all(f"| `{command}` |" in page for command in ("convert", "teacher", "label", "student", "package"))


# --- beside other pipes


def shared_nlp(small_tok2vec: dict) -> Language:
    """A tok2vec that a tagger and a prokd_ner listen to."""
    nlp = spacy.blank("xx")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "tok2vec"}
    nlp.add_pipe("tok2vec", config={"model": small_tok2vec})
    nlp.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}})
    model = {"@architectures": "spacy-prokd.PrototypeTagger.v1", "dropout": 0.0, "tok2vec": listener}
    nlp.add_pipe("prokd_ner", config={"model": model})
    return nlp


@pytest.fixture
def shared(small_tok2vec, source_docs) -> Language:
    """`shared_nlp` after training: proper nouns, and the entities of the eight sentences."""
    for doc in source_docs:
        for word in doc:
            word.tag_ = "NNP" if word.ent_type_ else "X"
    nlp = shared_nlp(small_tok2vec)
    initialize(nlp, to_examples(source_docs))
    learn(nlp, to_examples(source_docs), steps=40)
    return nlp


def test_a_tagger_beside_it_learns_too(shared, source_docs, tmp_path):
    shared.to_disk(tmp_path / "saved")
    for nlp in (shared, spacy.load(tmp_path / "saved")):
        docs = list(nlp.pipe(TEXTS))
        assert [found(doc) for doc in docs] == [found(doc) for doc in source_docs]
        assert [[word.tag_ for word in doc] for doc in docs] == [[word.tag_ for word in doc] for doc in source_docs]


def test_a_listener_can_be_replaced_with_a_copy(shared, tmp_path):
    """Then the pipe stands alone, and can be sourced without the tok2vec it was trained with."""
    expected = [scored(doc) for doc in shared.pipe(TEXTS)]
    shared.replace_listeners("tok2vec", "prokd_ner", ["model.tok2vec"])
    other = spacy.blank("xx")
    other.add_pipe("prokd_ner", source=shared)
    other.to_disk(tmp_path / "saved")
    for nlp in (shared, other, spacy.load(tmp_path / "saved")):
        assert [scored(doc) for doc in nlp.pipe(TEXTS)] == expected


def test_a_frozen_component_of_a_config_annotates_and_stays(saved, trained, corpus, small_tok2vec, tmp_path):
    """`spacy train` with prokd_ner sourced and frozen, beside a new ner that learns."""
    base = spacy.blank("xx")
    base.add_pipe("ner", config={"model": {"tok2vec": small_tok2vec}})
    config = Config(base.config)
    config["components"]["names"] = {"source": str(saved), "component": "prokd_ner"}
    config["nlp"]["pipeline"] = ["names", "ner"]
    config["corpora"] = {
        name: {"@readers": "spacy-prokd.Corpus.v1", "path": str(corpus / "source.spacy")} for name in ("train", "dev")
    }
    config["training"] |= {
        "frozen_components": ["names"],
        "annotating_components": ["names"],
        "max_steps": 3,
        "eval_frequency": 2,
    }
    config.to_disk(tmp_path / "base.cfg")
    run("train", tmp_path / "base.cfg", "--output", tmp_path / "out")
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert nlp.get_pipe("names").model.to_bytes() == weights(trained)
    assert [scored(doc) for doc in nlp.pipe(TEXTS)] == [scored(doc) for doc in trained.pipe(TEXTS)]
