"""Training steps of the pipe, teacher and student, against the hand-written loop."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from hand_loop import CPU, HandLoop, LoopSettings, Step, StudentHandLoop, read_tokenizer
from machine import MatrixProduct, significant, take_turns
from measure_tagging import HALF, LABELS, gigaflop, make_theirs, read_config
from spacy.language import Language
from spacy.training import Example
from spacy.training.loop import subdivide_batch
from spacy.util import minibatch, registry
from texts import choose, labelled_examples, read_train_docs, soft_examples
from thinc.api import Config, Optimizer

from spacy_prokd.architectures import get_head
from spacy_prokd.encoder_loading import load_encoder
from spacy_prokd.soft_labels import get_soft_labels
from spacy_prokd.training_data import gold_classes

LEARN_RATE = 2e-4
FASTEST_PADDED = 1024  # pieces in a micro-batch of a loop that pads on a CPU: in larger ones most is padding
# Labels are made batch by batch: the default makes them once an epoch, outside the steps.
STUDENT = {"alpha": 0.5, "relabel": "batch"}


def loop_settings(role: str, n_tags: int, overrides: dict[str, Any], device: torch.device = CPU) -> LoopSettings:
    """The settings of a role's config, for the loop by hand."""
    config, component = read_config(role, overrides)
    encoder, optimizer = component["model"]["tok2vec"], make_optimizer(config)
    most = encoder["max_batch_pieces"]
    return LoopSettings(
        n_tags=n_tags,
        frozen_layers=encoder["frozen_layers"],
        max_batch_pieces=min(most, FASTEST_PADDED) if device.type == "cpu" else most,
        precision=encoder["precision"],
        dropout=component["model"]["dropout"],
        learn_rate=LEARN_RATE,
        betas=(optimizer.b1, optimizer.b2),
        eps=optimizer.eps,
        weight_decay=optimizer.L2,
        grad_clip=optimizer.grad_clip,
    )


def make_optimizer(config: Config) -> Optimizer:
    """The config's optimizer, at a fixed learning rate."""
    optimizer = {**config["training"]["optimizer"], "learn_rate": LEARN_RATE}
    return registry.resolve({"optimizer": optimizer})["optimizer"]


class PipeSide:
    """The pipe as `spacy train` steps it, from the project's own config.

    role (str): teacher or student.
    overrides (dict): Settings of the encoder's architecture in place of the config's.
    layers (float | None): How many of the encoder's layers to keep, see `ProKDNer.initialize`.
    """

    def __init__(
        self,
        role: str,
        encoder: Path,
        examples: list[Example],
        labels: Sequence[str],
        overrides: dict[str, Any],
        layers: float | None = None,
    ) -> None:
        config, component = read_config(role, overrides)
        component.pop("factory")
        if role == "student":
            component["objective"].update(STUDENT)
        self.batch_size = config["training"]["batcher"]["largest"]
        self.dropout = config["training"]["dropout"]
        self.optimizer = make_optimizer(config)
        self.nlp: Language = spacy.blank("xx")
        self.pipe = self.nlp.add_pipe("prokd_ner", config=component)
        if role == "student":  # begins untrained here, for which the guard would stop it
            self.pipe.objective.least_agreement = self.pipe.objective.least_entities = 0.0
        self.pipe.initialize(
            lambda: examples,
            nlp=self.nlp,
            labels=list(labels),
            encoder=load_encoder(str(encoder)),
            epochs=1,
            layers=layers,
        )
        self.examples = examples
        self.words = sum(len(example.reference) for example in examples)
        self.batches = list(minibatch(examples, self.batch_size))
        self.losses: list[float] = []  # of the last round

    def run(self) -> None:
        """Step through all batches."""
        self.losses = [self.step(batch) for batch in self.batches]

    def step(self, batch: list[Example]) -> float:
        """What `spacy.training.loop.train_while_improving` does with a batch."""
        losses: dict[str, float] = {}
        self.nlp.update(batch, drop=self.dropout, losses=losses, sgd=False)
        for _name, proc in self.nlp.pipeline:
            proc.finish_update(self.optimizer)
        self.optimizer.step_schedules()
        return losses["prokd_ner"]


class HandSide:
    """The hand-written loop with the weights, the settings and the batches of a PipeSide."""

    def __init__(
        self, role: str, encoder: Path, pipe_side: PipeSide, overrides: dict[str, Any], device: torch.device = CPU
    ) -> None:
        pipe = pipe_side.pipe
        settings = loop_settings(role, len(pipe.tags), overrides, device)
        self.loop: HandLoop
        if role == "teacher":
            self.loop = HandLoop(encoder, settings, device)
        else:
            objective = pipe.objective
            self.loop = StudentHandLoop(
                encoder, settings, objective.alpha, objective.beta, objective.tau_proto, objective.gamma, device
            )
        self.loop.head.load_state_dict(get_head(pipe.model).classifier.state_dict())
        self.losses: list[float] = []  # of the last round
        self.steps: list[Step] = []
        for batch in pipe_side.batches:
            texts = [[token.text for token in example.reference] for example in batch]
            if role == "teacher":
                targets = [gold_classes([example], pipe.labels) for example in batch]
            else:
                targets = [get_soft_labels(example.reference, len(pipe.tags)) for example in batch]
            self.steps.append(self.loop.prepare(texts, targets))
        if isinstance(self.loop, StudentHandLoop):
            self.loop.make_prototypes(self.steps)

    def run(self) -> None:
        """Step through all batches."""
        self.losses = [self.loop.step(step) for step in self.steps]


class TheirSide:
    """`transformer` and `ner` as `spacy init config` sets them up for this pair, stepped as `spacy train` does."""

    def __init__(self, encoder: Path, examples: list[Example], labels: Sequence[str]) -> None:
        self.nlp = make_theirs(encoder, labels)
        self.optimizer = registry.resolve({"optimizer": {"@optimizers": "Adam.v1", "learn_rate": 5e-5, "L2": 0.01}})[
            "optimizer"
        ]
        batcher = {"@batchers": "spacy.batch_by_padded.v1", "discard_oversize": True, "size": 2000, "buffer": 256}
        self.batches = list(registry.resolve({"batcher": batcher})["batcher"](examples))
        self.words = sum(len(example.reference) for batch in self.batches for example in batch)

    def run(self) -> None:
        """Step through all batches."""
        for batch in self.batches:
            for part in subdivide_batch(batch, 3):
                self.nlp.update(part, drop=0.1, sgd=False)
            for _name, proc in self.nlp.pipeline:
                proc.finish_update(self.optimizer)


def make_examples(
    role: str, encoder: Path, corpus: Path, lang: str, sentences: int, max_length: int
) -> tuple[list[Example], list[str]]:
    """Examples for a role, and their labels."""
    docs = choose(read_train_docs(corpus, lang, spacy.blank("xx")), read_tokenizer(encoder), max_length, sentences)
    if role == "student":
        return soft_examples(docs, 1 + 2 * len(LABELS)), list(LABELS)
    return labelled_examples(docs), sorted({span.label_ for doc in docs for span in doc.ents})


def make_sides(
    role: str,
    encoder: Path,
    corpus: Path,
    lang: str,
    sentences: int,
    overrides: dict[str, Any],
    device: torch.device = CPU,
) -> tuple[PipeSide, HandSide]:
    """The pipe and the loop by hand, with the same texts."""
    max_length = read_config(role, overrides)[1]["model"]["tok2vec"]["max_length"]
    pipe = PipeSide(role, encoder, *make_examples(role, encoder, corpus, lang, sentences, max_length), overrides)
    return pipe, HandSide(role, encoder, pipe, overrides, device)


def measure_training(
    encoder: Path,
    corpus: Path,
    *,
    source_lang: str = "en",
    target_lang: str = "de",
    sentences: int = 512,
    rounds: int = 5,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Words a second in training, and the time of a step of the pipe over that of the hand-written loop.

    The student once more with half of the layers. spaCy's rival needs labels, and so has the teacher's texts in both
    roles, but takes turns with each.
    """
    result: dict[str, Any] = {"group": "training", "sentences": sentences, "rounds": rounds}
    theirs: TheirSide | None = None
    for role, lang in (("teacher", source_lang), ("student", target_lang)):
        torch.manual_seed(0)
        pipe, hand = make_sides(role, encoder, corpus, lang, sentences, overrides or {})
        product = MatrixProduct()
        theirs = theirs or TheirSide(encoder, pipe.examples, pipe.pipe.labels)
        sides = {"pipe": pipe.run, "hand": hand.run, "matrix_product": product.run, "theirs": theirs.run}
        if role == "student":
            half = PipeSide(role, encoder, pipe.examples, pipe.pipe.labels, overrides or {}, layers=HALF)
            sides["half"] = half.run
        seconds = take_turns(sides, rounds, role)
        their_speed = theirs.words / statistics.median(seconds["theirs"])  # it leaves out texts too long for it
        result[f"{role}_spacy_transformers_words_per_second"] = round(their_speed, 1)
        if role == "student":
            speed = half.words / statistics.median(seconds["half"])
            result["half_student_words_per_second"] = round(speed, 1)
            result["half_student_vs_spacy_transformers"] = round(speed / their_speed, 3)
        result |= _describe(role, pipe, hand, product, seconds, their_speed)
    result["vs_hand_loop"] = max(result["teacher_vs_hand_loop"], result["student_vs_hand_loop"])
    return result


def _describe(
    role: str,
    pipe: PipeSide,
    hand: HandSide,
    product: MatrixProduct,
    seconds: dict[str, list[float]],
    their_speed: float,
) -> dict[str, Any]:
    """What was found of one role."""
    words = pipe.words
    speed = {side: words / statistics.median(timed) for side, timed in seconds.items()}
    cost = gigaflop(pipe.nlp, [[token.text for token in example.reference] for example in pipe.examples], training=True)
    pieces = sum(micro.ids.numel() for step in hand.steps for micro in step.micro_batches)
    hand_name = "hand_loop" if role == "teacher" else "student_hand_loop"
    return {
        f"{role}_words": words,
        f"{role}_padded_pieces_per_word": round(pieces / words, 2),
        f"{role}_words_per_second": round(speed["pipe"], 1),
        f"{hand_name}_words_per_second": round(speed["hand"], 1),
        f"{role}_vs_hand_loop": _ratio(seconds["pipe"], seconds["hand"]),
        f"{role}_vs_spacy_transformers": round(speed["pipe"] / their_speed, 3),
        f"{role}_share_of_gemm": significant(cost / words * speed["pipe"] / product.gflops),
        f"{role}_last_loss": round(float(np.mean(pipe.losses)), 4),
        f"{hand_name}_last_loss": round(float(np.mean(hand.losses)), 4),
        f"{role}_seconds": {side: [round(s, 3) for s in timed] for side, timed in seconds.items()},
    }


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return round(statistics.median(ours) / statistics.median(theirs), 3)
