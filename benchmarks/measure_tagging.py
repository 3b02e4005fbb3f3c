"""Tagging raw texts with the pipe, against spacy-transformers and spaCy's own ner with the same encoder."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import spacy
import torch
from machine import take_turns
from measure_training import CONFIGS, LABELS
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_config
from texts import read_train_docs

from spacy_prokd.architectures import get_head
from spacy_prokd.encoder_loading import load_encoder
from spacy_prokd.errors import ProKDError


def make_ours(encoder: Path, overrides: dict[str, Any]) -> Language:
    """A pipeline from the student's config. Its classifier is not trained, but finds O nearly everywhere."""
    config = load_config(CONFIGS / "student.cfg", interpolate=False)
    component = dict(config["components"]["prokd_ner"])
    component.pop("factory")
    component["model"]["tok2vec"].update(overrides)
    nlp = spacy.blank("xx")
    nlp.batch_size = config["nlp"]["batch_size"]
    pipe = nlp.add_pipe("prokd_ner", config=component)
    example = spacy.training.Example.from_dict(nlp.make_doc("a"), {})
    pipe.initialize(lambda: [example], nlp=nlp, labels=list(LABELS), encoder=load_encoder(str(encoder)))
    with torch.no_grad():
        get_head(pipe.model).classifier.bias[0] = 10.0
    return nlp


def make_theirs(encoder: Path) -> Language:
    """What `spacy init config --pipeline ner --gpu` sets up: `transformer` and `ner`, default settings."""
    nlp = spacy.blank("xx")
    nlp.batch_size = 128
    nlp.add_pipe("transformer", config={"model": {"name": str(encoder), "tokenizer_config": {"use_fast": True}}})
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    parser = {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 64,
        "maxout_pieces": 2,
        "use_upper": False,
        "tok2vec": listener,
    }
    ner = nlp.add_pipe("ner", config={"model": parser})
    for label in LABELS:
        ner.add_label(label)
    nlp.initialize()
    lower = ner.model.get_ref("lower")
    bias = lower.get_param("b")
    actions = [ner.moves.get_class_name(i) for i in range(ner.moves.n_moves)]
    bias[actions.index("O")] = 10.0  # it finds no more than ours does
    lower.set_param("b", bias)
    return nlp


def measure_tagging(
    encoder: Path,
    corpus: Path,
    *,
    target_lang: str = "de",
    sentences: int = 512,
    rounds: int = 5,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Words a second of `nlp.pipe` over raw texts, and how many times as fast as spacy-transformers that is."""
    docs = read_train_docs(corpus, target_lang, spacy.blank("xx"))[:sentences]
    if len(docs) < sentences:
        raise ProKDError(f"{corpus / target_lang} has {len(docs)} texts, not {sentences}: use fewer with --sentences.")
    texts = [doc.text for doc in docs]
    torch.manual_seed(0)
    pipelines = {"ours": make_ours(encoder, overrides or {}), "theirs": make_theirs(encoder)}
    found: dict[str, list[Doc]] = {}

    def tag(name: str) -> None:
        found[name] = list(pipelines[name].pipe(texts))

    seconds = take_turns({"ours": lambda: tag("ours"), "theirs": lambda: tag("theirs")}, rounds, "tagging")
    words = {name: sum(map(len, tagged)) for name, tagged in found.items()}
    medians = {name: statistics.median(timed) for name, timed in seconds.items()}
    return {
        "group": "tagging",
        "sentences": sentences,
        "rounds": rounds,
        "words": words["ours"],
        "words_per_second": round(words["ours"] / medians["ours"], 1),
        "spacy_transformers_words_per_second": round(words["theirs"] / medians["theirs"], 1),
        "vs_spacy_transformers": round(medians["theirs"] / medians["ours"], 3),
        "entities": {name: sum(len(doc.ents) for doc in tagged) for name, tagged in found.items()},
        "seconds": {name: [round(s, 3) for s in timed] for name, timed in seconds.items()},
    }
