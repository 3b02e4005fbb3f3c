"""Tagging and training on a GPU, against the loops by hand on the same card."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import torch
from hand_tagging import HandTagger
from machine import gemm_gflops, significant, take_turns, wait_for
from measure_tagging import gigaflop, make_ours, read_config
from measure_training import make_sides
from rich.console import Console
from texts import read_train_docs

from spacy_prokd.errors import ProKDError

LARGE = {"rows": 8192, "width": 8192, "inner": 8192}  # a product by which a card's peak is known


def measure_gpu(
    encoder: Path,
    corpus: Path,
    *,
    source_lang: str = "en",
    target_lang: str = "de",
    sentences: int = 1024,
    rounds: int = 3,
    max_batch_pieces: int = 16_384,
    gpu_id: int = 0,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Words a second of `nlp.pipe` and of training steps, of the loops by hand, and the share of the card's peak.

    max_batch_pieces (int): Of a micro-batch, for both sides: a GPU needs larger ones than a CPU.
    gpu_id (int): The card; -1 runs the same on the CPU.
    """
    device = use_device(gpu_id)
    overrides = {"max_batch_pieces": max_batch_pieces, **(overrides or {})}
    peak = gemm_gflops(torch.bfloat16, device=device, **(LARGE if device.type == "cuda" else {}))
    result: dict[str, Any] = {"group": "gpu", "sentences": sentences, "rounds": rounds, "bf16_peak_gflops": round(peak)}
    parts = (
        lambda: _tagging(encoder, corpus, target_lang, sentences, rounds, device, overrides, peak),
        lambda: _training(encoder, corpus, source_lang, "teacher", sentences, rounds, device, overrides, peak),
        lambda: _training(encoder, corpus, target_lang, "student", sentences, rounds, device, overrides, peak),
    )
    for part in parts:
        measured = part()
        Console(stderr=True).print(measured)  # a lent card can be gone before the last part
        result |= measured
    return result


def use_device(gpu_id: int) -> torch.device:
    """Make spaCy use a GPU.

    RAISES (ProKDError): If there is none.
    """
    if gpu_id < 0:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ProKDError("torch finds no GPU here: `--gpu-id -1` runs the same comparison on the CPU.")
    spacy.require_gpu(gpu_id)
    return torch.device("cuda", gpu_id)


def _tagging(
    encoder: Path,
    corpus: Path,
    lang: str,
    sentences: int,
    rounds: int,
    device: torch.device,
    overrides: dict[str, Any],
    peak: float,
) -> dict[str, Any]:
    docs = read_train_docs(corpus, lang, spacy.blank("xx"))[:sentences]
    texts = [doc.text for doc in docs]
    ours = make_ours(encoder, overrides)
    words = [[token.text for token in doc] for doc in ours.tokenizer.pipe(texts)]
    settings = read_config("student", overrides)[1]["model"]["tok2vec"]
    tags = ours.get_pipe("prokd_ner").tags
    hand = HandTagger(encoder, len(tags), settings["max_length"], settings["max_batch_pieces"], device)
    prepared = hand.prepare(words)
    sides: dict[str, Callable[[], object]] = {
        "pipe": lambda: sum(len(doc.ents) for doc in ours.pipe(texts, batch_size=1024)),
        "hand_loop": lambda: hand.run(prepared),
        "hand_loop_with_tokenizer": lambda: hand.run(hand.prepare(words)),
        "tokenizer": lambda: sum(map(len, ours.tokenizer.pipe(texts))),
    }
    n_words = sum(map(len, words))
    result = _compare("tagging", sides, n_words, rounds, device)
    return result | _share("tagging", result, gigaflop(ours, words) / n_words, peak)


def _training(
    encoder: Path,
    corpus: Path,
    lang: str,
    role: str,
    sentences: int,
    rounds: int,
    device: torch.device,
    overrides: dict[str, Any],
    peak: float,
) -> dict[str, Any]:
    pipe, hand = make_sides(role, encoder, corpus, lang, sentences, overrides, device)
    words = [[token.text for token in example.reference] for example in pipe.examples]
    result = _compare(role, {"pipe": pipe.run, "hand_loop": hand.run}, pipe.words, rounds, device)
    return result | _share(role, result, gigaflop(pipe.nlp, words, training=True) / pipe.words, peak)


def _share(name: str, result: dict[str, float], gigaflop_a_word: float, peak: float) -> dict[str, float]:
    return {f"{name}_share_of_peak": significant(gigaflop_a_word * result[f"{name}_words_per_second"] / peak)}


def _compare(
    name: str, sides: dict[str, Callable[[], object]], words: int, rounds: int, device: torch.device
) -> dict[str, Any]:
    def to_the_end(run: Callable[[], object]) -> Callable[[], None]:
        def run_and_wait() -> None:
            run()
            wait_for(device)

        return run_and_wait

    seconds = take_turns({side: to_the_end(run) for side, run in sides.items()}, rounds, name)
    medians = {side: statistics.median(timed) for side, timed in seconds.items()}
    ours = medians.pop("pipe")
    return {
        f"{name}_words_per_second": round(words / ours, 1),
        **{f"{name}_{side}_words_per_second": round(words / theirs, 1) for side, theirs in medians.items()},
        **{f"{name}_vs_{side}": significant(theirs / ours) for side, theirs in medians.items()},
    }
