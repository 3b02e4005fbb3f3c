"""Tagging raw texts with the pipe, against what else does it with the same encoder."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import spacy
import torch
from hand_tagging import HandTagger, make_hf_pipeline
from machine import MatrixProduct, significant, take_turns
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_config
from texts import read_train_docs
from thinc.api import Config, Model

from spacy_prokd.architectures import encoder_nodes, get_head
from spacy_prokd.encoder_loading import load_encoder
from spacy_prokd.errors import ProKDError

CONFIGS = Path(__file__).parent.parent / "configs"
LABELS = ("LOC", "MISC", "ORG", "PER")
HALF = 0.5  # of the layers, which a student may keep
ONE_BY_ONE = 64  # texts by which latency is measured


def read_config(role: str, overrides: dict[str, Any]) -> tuple[Config, dict[str, Any]]:
    """The config of teacher or student, and its component with other settings of the encoder's architecture."""
    config = load_config(CONFIGS / f"{role}.cfg", interpolate=False)
    component = dict(config["components"]["prokd_ner"])
    component["model"]["tok2vec"].update(overrides)
    return config, component


def make_ours(encoder: Path, overrides: dict[str, Any], layers: float | None = None) -> Language:
    """A pipeline from the student's config. Its classifier is not trained, but finds O nearly everywhere."""
    config, component = read_config("student", overrides)
    component.pop("factory")
    nlp = spacy.blank("xx")
    nlp.batch_size = config["nlp"]["batch_size"]
    pipe = nlp.add_pipe("prokd_ner", config=component)
    example = spacy.training.Example.from_dict(nlp.make_doc("a"), {})
    pipe.initialize(lambda: [example], nlp=nlp, labels=list(LABELS), encoder=load_encoder(str(encoder)), layers=layers)
    with torch.no_grad():
        get_head(pipe.model).classifier.bias[0] = 10.0
    return nlp


def make_theirs(encoder: Path, labels: Sequence[str] = LABELS) -> Language:
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
    for label in labels:
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
    """Words a second of `nlp.pipe` over raw texts, and how many times as fast as each rival that is.

    The pipe has the encoder that its rivals have, and once more half of its layers.
    """
    docs = read_train_docs(corpus, target_lang, spacy.blank("xx"))[:sentences]
    if len(docs) < sentences:
        raise ProKDError(f"{corpus / target_lang} has {len(docs)} texts, not {sentences}: use fewer with --sentences.")
    texts = [doc.text for doc in docs]
    torch.manual_seed(0)
    ours, theirs = make_ours(encoder, overrides or {}), make_theirs(encoder)
    smaller = make_ours(encoder, overrides or {}, layers=HALF)
    words = [[token.text for token in doc] for doc in ours.tokenizer.pipe(texts)]
    tags = ours.get_pipe("prokd_ner").tags
    hf_pipeline = make_hf_pipeline(encoder, tags)
    settings = _encoder_node(ours).attrs["settings"]
    hand = HandTagger(encoder, len(tags), settings["max_length"], settings["max_batch_pieces"])
    prepared = hand.prepare(words)  # before the clock runs
    found: dict[str, int] = {}
    product = MatrixProduct()

    def count(name: str, docs: Iterable[Doc]) -> None:
        found[name] = sum(len(doc.ents) for doc in docs)

    def count_hf() -> None:
        found["hf_pipeline"] = sum(map(len, hf_pipeline(texts)))

    sides = {
        "ours": lambda: count("ours", ours.pipe(texts)),
        "half_the_layers": lambda: count("half_the_layers", smaller.pipe(texts)),
        "spacy_transformers": lambda: count("spacy_transformers", theirs.pipe(texts)),
        "hf_pipeline": count_hf,
        "hand_loop": lambda: hand.run(prepared),
        "matrix_product": product.run,
    }
    seconds = take_turns(sides, rounds, "tagging")
    medians = {name: statistics.median(timed) for name, timed in seconds.items()}
    n_words = sum(map(len, words))
    rivals = ("spacy_transformers", "hf_pipeline", "hand_loop")
    with_whole_encoder = rivals[:2]
    return {
        "group": "tagging",
        "sentences": sentences,
        "rounds": rounds,
        "words": n_words,
        "words_per_second": round(n_words / medians["ours"], 1),
        **{f"{name}_words_per_second": round(n_words / medians[name], 1) for name in rivals},
        **{f"vs_{name}": round(medians[name] / medians["ours"], 3) for name in rivals},
        "half_the_layers_words_per_second": round(n_words / medians["half_the_layers"], 1),
        **{
            f"half_the_layers_vs_{name}": round(medians[name] / medians["half_the_layers"], 3)
            for name in with_whole_encoder
        },
        **measure_latency(ours, hand, words[:ONE_BY_ONE], texts[:ONE_BY_ONE], rounds),
        "share_of_gemm": significant(gigaflop(ours, words) / medians["ours"] / product.gflops),
        "entities": found,
        "seconds": {name: [round(s, 3) for s in timed] for name, timed in seconds.items()},
    }


def measure_latency(
    nlp: Language, hand: HandTagger, words: Sequence[Sequence[str]], texts: Sequence[str], rounds: int
) -> dict[str, Any]:
    """Milliseconds from one text to its entities, and of a bare forward pass of the encoder over its pieces."""
    micro_batches = [micro for text in words for micro in hand.prepare([text])]

    def bare_forward() -> None:
        with torch.inference_mode():
            for micro in micro_batches:
                hand.model(input_ids=micro.ids)

    def tag_each() -> None:
        for text in texts:
            nlp(text)

    seconds = take_turns({"ours": tag_each, "bare_forward": bare_forward}, rounds, "latency")
    ours, bare = (1000 * statistics.median(timed) / len(texts) for timed in seconds.values())
    return {
        "latency_ms": round(ours, 2),
        "bare_forward_ms": round(bare, 2),
        "latency_vs_bare_forward": round(ours / bare, 3),
    }


def _encoder_node(nlp: Language) -> Model:
    return encoder_nodes(nlp.get_pipe("prokd_ner").model)[0]


def gigaflop(nlp: Language, words: Sequence[Sequence[str]], training: bool = False) -> float:
    """What all matrix products with weights of the layers cost, attention not counted.

    training (bool): Twice as much again for the gradients of layers that are trained.
    """
    encoder = _encoder_node(nlp).shims[0].module
    weights = [p for name, p in encoder.transformer.named_parameters() if p.ndim == 2 and "embeddings" not in name]
    a_piece = sum(2 * p.numel() * (3 if training and p.requires_grad else 1) for p in weights)
    return a_piece * sum(len(window.ids) for window in encoder.pieces.windows(words)) / 1e9
