"""The factory `prokd_ner` and the trainable pipe: spaCy's side of things, no maths."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Optional, Union

import numpy as np
import torch
from spacy import util
from spacy.attrs import ORTH
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate
from torch import Tensor

from .architectures import (
    DEFAULT_MODEL,
    TaggerOutput,
    encoder_nodes,
    get_head,
    gradient_of,
    keep_layers,
    leaf,
    probabilities,
)
from .corpus.readers import has_gold
from .decoding import check_thresholds, decode, other_labels, thresholds_of
from .errors import ProKDError
from .habits import Habits, whole_entities
from .labels import tags_of
from .loggers import OF_EPOCH
from .messages import remember_encoders
from .objectives import Batch, Objective, Progress
from .prototype_tags import score_prototypes
from .scoring import make_entity_scorer
from .shims import clip_together, load_weights, save_weights, weights_apart
from .soft_labels import check_words, get_soft_labels, get_vectors
from .span_scores import set_entities
from .training_data import gold_classes
from .units import Units, to_units, to_words

remember_encoders()

ENOUGH_TEXTS = 8000  # for a student to learn anew from what layer to decide; the sample's 1,520 were too few


@Language.factory(
    "prokd_ner",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type", "span._.score", "span._.alternatives"],
    default_config={
        "model": DEFAULT_MODEL,
        "objective": {"@misc": "spacy-prokd.Teacher.v1"},
        "threshold": 0.0,
        "alternatives": 0,
        "scorer": {"@scorers": "spacy-prokd.entity_scorer.v1"},
    },
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None, "token_f": None},
)
def make_prokd_ner(
    nlp: Language,
    name: str,
    model: Model,
    objective: Objective,
    threshold: Union[float, dict[str, float]],
    alternatives: int,
    scorer: Optional[Callable],
) -> ProKDNer:
    """Make a named entity recognizer that can learn a language from another one's labels.

    model (Model): A spacy-prokd.PrototypeTagger.v1.
    objective (Objective): spacy-prokd.Teacher.v1 or spacy-prokd.Student.v1; used in training alone.
    threshold (Union[float, dict[str, float]]): Entities with a lower score are dropped; by label, 0 if not named.
    alternatives (int): How many other labels of an entity `Span._.alternatives` gives.
    scorer (Optional[Callable]): For `nlp.evaluate`.
    """
    return ProKDNer(
        nlp.vocab, model, name, objective=objective, threshold=threshold, alternatives=alternatives, scorer=scorer
    )


class _Training:
    """What training needs of `initialize`. It stays here: a copy sent to another process (n_process) only predicts."""

    def __init__(
        self,
        get_examples: Callable[[], Iterable[Example]] | None = None,
        nlp: Language | None = None,
        dev: Callable[[Language], Iterable[Example]] | None = None,
    ) -> None:
        self.get_examples = get_examples
        self.nlp = nlp
        self.dev = dev

    def __reduce__(self) -> tuple[type, tuple]:
        return _Training, ()


class ProKDNer(TrainablePipe):
    """Named entity recognizer over BIO tags; teacher and student are both this pipe.

    Entities are in `doc.ents`, and with their probabilities in `doc.spans["prokd"]` and `Span._.score`.
    Entities that are on the Doc already stay. Two that a symbol stands between are one where the labels of the source
    language made them one, see `habits`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "prokd_ner",
        *,
        objective: Objective,
        threshold: Union[float, dict[str, float]] = 0.0,
        alternatives: int = 0,
        scorer: Optional[Callable] = None,
    ) -> None:
        check_thresholds(threshold)
        self.vocab = vocab
        self.model = model
        self.name = name
        self.objective = objective
        self.scorer = make_entity_scorer() if scorer is None else scorer
        self.cfg: dict[str, Any] = {
            "labels": [],
            "threshold": threshold,
            "alternatives": alternatives,
            "joining": [],
            "touching": 1.0,
            "temperature": 1.0,
        }
        self._training = _Training()
        self._epochs = 1
        self._examples_an_epoch: float = math.inf
        self._examples_seen = 0
        self._epochs_started = 0
        self._of_epoch: dict[str, float] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The entity labels, sorted."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """The labels as `spacy init labels` stores them."""
        return list(self.labels)

    @property
    def tags(self) -> list[str]:
        """The classes: O, then B- and I- of each label."""
        return tags_of(self.labels)

    def add_label(self, label: str) -> int:
        """Add a label before initialize.

        RETURNS (int): 1 if it is new, else 0.
        """
        if label in self.labels:
            return 0
        if self.model.has_dim("nO"):
            raise ProKDError(
                f"'{label}' cannot be added to a trained prokd_ner with the labels {', '.join(self.labels)}."
            )
        self.cfg["labels"] = sorted([*self.labels, label])
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[list[str]] = None,
        encoder: Optional[Callable[[Model], Model]] = None,
        start_from: Optional[str] = None,
        layers: Optional[Union[float, Literal["auto"]]] = None,
        epochs: int = 1,
        corpus: Optional[Callable] = None,
        dev: Optional[Callable] = None,
        habits: bool = True,
    ) -> None:
        """Prepare for training.

        get_examples (Callable): Gives all training examples.
        nlp (Optional[Language]): The pipeline the component is part of.
        labels (Optional[list[str]]): The entity labels; if None, those found in the examples and those added before.
        encoder (Optional[Callable]): Loads pretrained weights, e.g. `spacy-prokd.load_encoder.v1`.
        start_from (Optional[str]): A saved pipeline whose prokd_ner weights to start from (the teacher).
        layers (Optional[Union[float, str]]): How many of the encoder's layers to keep, the lowest; below 1, which
            share of them; all if None. "auto": half of them if there are ENOUGH_TEXTS, of both languages.
        epochs (int): How many there will be (E of Eq. 12); give ${training.max_epochs}, or a number where that is 0
            (without end) or -1 (streamed).
        corpus (Optional[Callable]): The training corpus, ${corpora.train}, for spaCy gives 100 examples of one that it
            streams (training.max_epochs = -1); `get_examples` if None.
        dev (Optional[Callable]): Labelled text of the source that is not trained on, ${corpora.dev}: the prototypes of
            each epoch are scored on it, for the log. Nothing is learned from it or chosen by it.
        habits (bool): Count in the source's labels how symbols join entities and how seldom entities touch, and keep to
            it, see `habits`.
        """
        if epochs < 1:
            raise ProKDError(
                f"prokd_ner needs a fixed number of epochs, for Eq. 12; it was given {epochs}. Set epochs under "
                "[initialize.components.prokd_ner] to a number above 0."
            )
        if corpus is not None:
            get_examples = partial(corpus, nlp)
        validate_get_examples(get_examples, "ProKDNer.initialize")
        found: set[str] = set()
        counts = Habits()
        n_examples = 0
        sample: list[Doc] = []
        for example in get_examples():
            n_examples += 1
            found.update(span.label_ for span in example.reference.ents)
            # of text of the source alone
            if habits and not (self.objective.needs_soft_labels or has_gold(example.reference)):
                counts.add(example.reference)
            if len(sample) < 10:
                sample.append(example.predicted)
        self.cfg["labels"] = sorted(set(labels or found.union(self.labels)))
        self.cfg |= {"joining": counts.joining(), "touching": counts.touching(), "temperature": 1.0}
        if not self.labels:
            raise ProKDError(
                "No entity labels: the training corpus has no labelled entity and none were given under "
                "[initialize.components.prokd_ner] labels. A student's are in the file that `label` writes beside its "
                "texts: `--paths.labels training/nl/soft/labels.json`."
            )
        if unknown := found - set(self.labels):
            raise ProKDError(f"The corpus has labels {sorted(unknown)} that are not among {list(self.labels)}.")
        self.model.set_dim("nO", len(self.tags), force=True)
        if start_from is not None:
            # all there is: initialising the model after it would draw the weights of Thinc's own layers anew
            self._load_weights(Path(start_from))
        else:
            if encoder is not None:
                encoder(self.model)
            self.model.initialize(X=sample)
        if layers == "auto":
            layers = 0.5 if n_examples >= ENOUGH_TEXTS and encoder_nodes(self.model) else None
        if layers is not None:
            keep_layers(self.model, layers)
        self._training = _Training(get_examples, nlp, dev)
        self._epochs, self._examples_an_epoch = epochs, n_examples
        self._examples_seen = self._epochs_started = 0
        self._of_epoch = {}

    def _load_weights(self, pipeline: Path) -> None:
        folder = pipeline / self.name
        if not (folder / "cfg").is_file():
            raise ProKDError(f"{pipeline} is no trained pipeline with a '{self.name}': train the teacher first.")
        cfg = json.loads((folder / "cfg").read_text(encoding="utf8"))
        labels = cfg["labels"]
        if labels != list(self.labels):
            raise ProKDError(
                f"The labels differ: {pipeline} was trained on {', '.join(labels)}, the corpus has "
                f"{', '.join(self.labels)}. Convert and label again, or train a new teacher."
            )
        self.cfg |= {"joining": cfg.get("joining", []), "touching": cfg.get("touching", 1.0)}
        self.model.from_disk(folder / "model")
        load_weights(self.model, folder)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the pipe; the weights of torch modules are a file of their own, which loads without being copied."""
        with weights_apart():
            super().to_disk(path, exclude=exclude)
        if "model" not in exclude:
            save_weights(self.model, Path(path))

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> ProKDNer:
        """Load the pipe from `to_disk`.

        RAISES (ProKDError): If the weights are missing or not those of this pipe.
        """
        super().from_disk(path, exclude=exclude)
        if "model" not in exclude:
            load_weights(self.model, Path(path))
        return self

    def predict(self, docs: Iterable[Doc]) -> list[np.ndarray]:
        """Find the probabilities of the tags.

        RETURNS (list[np.ndarray]): float32 [n_words, n_tags] for each doc, in the order of `tags`.
        """
        return probabilities(self.read(list(docs)))

    def read(self, docs: Sequence[Doc]) -> TaggerOutput:
        """What the model says of each word, where the encoder's pieces are not words too, see `units`."""
        units = self.to_units(docs)
        return to_words(self.model.predict(units.docs), units, docs)

    def to_units(self, docs: Sequence[Doc]) -> Units:
        """Docs as the model reads them, see `units`."""
        nodes = encoder_nodes(self.model)
        module = nodes[0].shims[0].module if nodes else None
        return to_units(docs, None if module is None else module.pieces)

    def set_annotations(self, docs: Iterable[Doc], predicted: list[np.ndarray]) -> None:
        """Decode the probabilities of `predict` and set the entities and their scores."""
        n_alternatives, joining = self.cfg["alternatives"], frozenset(self.cfg["joining"])
        reading = {name: self.cfg[name] for name in ("temperature", "touching")}
        thresholds = thresholds_of(self.cfg["threshold"], self.labels)
        for doc, p, spans in zip(docs, predicted, decode(predicted, self.labels, **reading)):
            words = [word.text for word in doc] if spans else []
            fitted = whole_entities(spans, words, joining)
            # the threshold last: a part of what is not sure enough is no entity either
            found = [span for span in fitted if span.start < span.end and span.score >= thresholds[span.label]]
            others = None
            if n_alternatives:
                others = [other_labels(p, span, self.labels, **reading)[:n_alternatives] for span in found]
            set_entities(doc, found, others)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[dict[str, float]] = None,
    ) -> dict[str, float]:
        """Learn from a batch. Which loss falls on which doc is the objective's business.

        losses (Optional[dict]): Gets the whole loss under the pipe's name, its parts under `<name>.<part>`, and
            `<name>.pseudo_labels.<fact>` what this epoch's pseudo-labels are like, see `LabelSummary`, and, where
            `initialize` was given `dev`, how good the prototypes are that made them (`dev_f`).
        RETURNS (dict): `losses`.
        RAISES (ProKDError): If the loss is not a number, or the objective finds that training collapsed.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "ProKDNer.update")
        if not any(len(example.predicted) for example in examples):
            return losses
        progress = self._advance(len(examples))
        examples *= self.objective.readings
        set_dropout_rate(self.model, drop)
        units = self.to_units([example.predicted for example in examples])
        output, backprop = self.model.begin_update(units.docs)
        output = leaf(output)
        named = self.objective.losses(get_head(self.model), output, self._batch(examples, units, output), progress)
        names, values = list(named), torch.stack([value.detach().float() for value in named.values()])
        found = dict(zip(names, values.tolist()))  # a GPU is waited for once a step, here
        if not math.isfinite(found["loss"]):
            raise ProKDError(
                f"Training stopped: the loss became {found['loss']} in epoch {progress.epoch + 1}. "
                "Use a lower learning rate (training.optimizer.learn_rate) or precision = fp32."
            )
        backprop(gradient_of(named["loss"], output))
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] += found.pop("loss")
        for part, value in found.items():
            key = f"{self.name}.{part}"
            losses[key] = losses.get(key, 0.0) + value
        losses.update(self._of_epoch)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Step the weights; grad_clip bounds encoder and head together."""
        clip_together(self.model, sgd.grad_clip)
        self.model.finish_update(sgd)

    def _advance(self, n_examples: int) -> Progress:
        """Count examples; where a new epoch begins, let the objective prepare it."""
        epoch = min(int(self._examples_seen / self._examples_an_epoch), self._epochs - 1)
        share = min(self._examples_seen / self._examples_an_epoch - epoch, 1.0)
        progress = Progress(epoch, self._epochs, share)
        if self._epochs_started <= epoch:
            self._epochs_started = epoch + 1
            summary = self.objective.start_epoch(get_head(self.model), progress, self._corpus_pass)
            facts = {} if summary is None else {**summary.named(self.labels), **self._score_prototypes()}
            self._of_epoch = {f"{self.name}.{OF_EPOCH}.{fact}": value for fact, value in facts.items()}
        self._examples_seen += n_examples
        return progress

    def _score_prototypes(self) -> dict[str, float]:
        """How good the prototypes of this epoch are, by labels of the source."""
        training = self._training
        f1 = None if training.dev is None else score_prototypes(training.nlp, self, training.dev(training.nlp))
        return {} if f1 is None else {"dev_f": f1}

    def _corpus_pass(self) -> Iterator[tuple[TaggerOutput, Batch]]:
        """The outputs for all texts of the training corpus that have no labels, without dropout and gradients."""
        if self._training.get_examples is None:
            raise ProKDError(
                "Self-training needs the whole training corpus: call nlp.initialize() with it before updates."
            )
        unlabelled = (example for example in self._training.get_examples() if not has_gold(example.reference))
        for examples in util.minibatch(unlabelled, 128):
            docs = [example.predicted for example in examples]
            for _name, pipe in self._upstream():
                docs = list(pipe.pipe(docs))
            units = self.to_units(docs)
            output = self.model.predict(units.docs)
            yield output, self._batch(examples, units, output)

    def _upstream(self) -> Iterator[tuple[str, Any]]:
        """The pipes that a listener inside our model may listen to."""
        for name, pipe in self._training.nlp.pipeline if self._training.nlp is not None else []:
            if pipe is self:
                return
            if hasattr(pipe, "listeners"):
                yield name, pipe

    def _batch(self, examples: list[Example], units: Units, output: TaggerOutput) -> Batch:
        """What is known of the units; of several words, their first tells."""
        device = output.logits.device
        if self.objective.needs_soft_labels:
            check_words(example for example in examples if not has_gold(example.reference))
        examples = [
            example if len(doc) == len(example.predicted) else Example(doc, example.reference)
            for example, doc in zip(examples, units.docs)
        ]
        classes = torch.from_numpy(gold_classes(examples, self.labels)).to(device)
        if not self.objective.needs_soft_labels:
            return Batch(classes)

        def rows(read: Callable[[Doc, int], np.ndarray], n_columns: int) -> Tensor:
            found = [
                np.zeros((len(firsts), n_columns), dtype=np.float32)
                if has_gold(example.reference)
                else read(example.reference, n_columns)[firsts]
                for example, firsts in zip(examples, units.firsts)
            ]
            return torch.from_numpy(np.concatenate(found)).to(device)

        soft = rows(get_soft_labels, len(self.tags))
        vectors = rows(get_vectors, output.vectors.shape[1]) if self.objective.needs_vectors else None
        targets = [example.predicted for example in examples if not has_gold(example.reference)]
        # 64 bits: of a million texts, two have the same once in 37 million corpora
        keys = b"".join(blake2b(doc.to_array(ORTH).tobytes(), digest_size=8).digest() for doc in targets)
        return Batch(classes, soft, np.frombuffer(keys, dtype=np.uint64), vectors, len(examples) - len(targets))
