"""How good are the labels that self-training would use? Each reading of Eq. 8 to 10, before any student is trained.

Prototypes come from a teacher's own words on unlabelled target text; the gold labels of the target's dev set
only score the result, they choose nothing.

    python benchmarks/pseudo_labels.py training/de/teacher/model-best corpus/de/de
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import spacy
import torch
import typer
from rich.console import Console
from rich.table import Table
from spacy.tokens import Doc
from spacy.util import minibatch
from torch import Tensor

from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.decoding import decode
from spacy_prokd.network.prototypes import (
    Moments,
    PrototypeBank,
    distances,
    hybrid,
    measuring_unit,
    prototype_probabilities,
    sharpen,
)
from spacy_prokd.progress import progress_bar

TAUS = (0.5, 0.7, 0.9)  # the paper's range
BETA = 0.8


def read(nlp: spacy.Language, docs: list[Doc], name: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Word vectors and probabilities of each batch."""
    with progress_bar() as progress:  # on stderr: stdout may be JSON
        for batch in progress.track(list(minibatch(docs, 256)), description=name):
            output = nlp.get_pipe("prokd_ner").read(batch)
            yield output.vectors, torch.softmax(output.logits, dim=-1)


def entity_f1(docs: list[Doc], probabilities: Tensor, labels: tuple[str, ...]) -> dict[str, float]:
    """Precision, recall and F1 of the decoded entities, in percent."""
    arrays = np.split(probabilities.numpy(), np.cumsum([len(doc) for doc in docs])[:-1])
    found = {(i, *span[:3]) for i, spans in enumerate(decode(arrays, labels)) for span in spans}
    gold = {(i, ent.start, ent.end, ent.label_) for i, doc in enumerate(docs) for ent in doc.ents}
    correct = len(found & gold)
    precision, recall = correct / max(1, len(found)), correct / max(1, len(gold))
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    return {"p": round(100 * precision, 1), "r": round(100 * recall, 1), "f": round(100 * f1, 1)}


def main(
    teacher: Annotated[Path, typer.Argument(help="Trained teacher")],
    corpus: Annotated[Path, typer.Argument(help="Folder with the target's train.spacy and dev.spacy")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Score the labels of each reading on the target's dev set."""
    nlp = spacy.load(teacher)
    labels = nlp.get_pipe("prokd_ner").labels
    train, dev = (list(read_docs(corpus / f"{split}.spacy", nlp.vocab)) for split in ("train", "dev"))
    n_classes = len(nlp.get_pipe("prokd_ner").tags)
    moments = {}
    for h, p in read(nlp, train, "train"):
        for name, power in (("soft q", 1.0), ("argmax q", float("inf"))):
            moments.setdefault(name, Moments(n_classes, h.shape[1], h.device)).add(h, sharpen(p, power))
    h, p = (torch.cat(tensors) for tensors in zip(*read(nlp, dev, "dev")))
    results = {"teacher": entity_f1(dev, p, labels)}
    for weights, gathered in moments.items():
        for distance in ("euclidean", "mahalanobis"):
            bank = PrototypeBank(n_classes, h.shape[1])
            bank.reset(gathered.sums, measuring_unit(gathered.within_class_covariance(), distance))
            d = distances(h, bank, distance)
            for prior in (False, True):
                for tau in TAUS:
                    pi = prototype_probabilities(d, bank, tau, prior=prior)
                    name = f"{weights}, {distance}, {'with' if prior else 'no'} prior, tau {tau}"
                    results[f"pi: {name}"] = entity_f1(dev, pi, labels)
                    results[f"hybrid: {name}"] = entity_f1(dev, hybrid(pi, p, BETA), labels)
    if as_json:
        print(json.dumps(results))
        return
    table = Table("labels", "precision", "recall", "F1")
    for name, scores in results.items():
        table.add_row(name, *(f"{scores[key]:.1f}" for key in "prf"))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
