"""Are scores what they say? Of entities with a score of 0.8, four of five should be right."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from .corpus.docbins import read_labelled
from .corpus.readers import copy_words
from .decoding import soften
from .errors import ProKDError
from .files import atomic_folder
from .loading import load_pipeline
from .scoring import gold_spans

N_BINS = 10
# nine fits in ten on so many are off by a factor of 1.5 at most, on a dozen by more than 2: tests/test_calibration.py
FEW_ENTITIES = 100
TEMPERATURES = np.geomspace(1.0, 5.0, 66)  # 2.5 % apart; none makes scores surer, for in the target fewer are right


class Calibration(NamedTuple):
    """What a new temperature did to the scores of the text that it was fitted on.

    texts, entities (int): How many were read, and found in them.
    temperature (dict[str, float]): "before" and "after".
    ece (dict[str, float | None]): The expected calibration error with each; None without entities.
    """

    texts: int
    entities: int
    temperature: dict[str, float]
    ece: dict[str, float | None]


@spacy.registry.callbacks("spacy-prokd.calibrate.v1")
def calibrate(
    corpus: Callable[[Language], Iterable[Example]],
    then: Optional[Callable[[Language], Language]] = None,
    data: str = "",
) -> Callable[[Language], Language]:
    """A callback for `training.before_to_disk`: scores say what they are worth, by labelled text of the source.

    It sets the temperature of prokd_ner's scores, which changes no entity. Where the text has fewer than
    FEW_ENTITIES, it leaves that as it is and says so: a temperature of a handful does more harm than good.

    corpus (Callable): Labelled text that is not trained on, ${corpora.dev}.
    then (Optional[Callable]): Another callback to call after it.
    data (str): What the text is, language and split, for the pipeline's meta.
    """

    def fit(nlp: Language) -> Language:
        references = [example.reference for example in corpus(nlp)]
        n_entities = sum(len(doc.ents) for doc in references)
        is_enough = n_entities >= FEW_ENTITIES
        if is_enough:
            set_temperature(nlp, references)
        else:
            warnings.warn(
                f"Scores are not calibrated: {data or 'the dev set'} has {n_entities} entities, and it takes "
                f"{FEW_ENTITIES}. Give more labelled text to see by how training goes.",
                stacklevel=2,
            )
        nlp = nlp if then is None else then(nlp)
        return _note(nlp, data) if is_enough else nlp

    return fit


def calibrate_pipeline(pipeline: str | Path, corpus: Path, output: Path) -> Calibration:
    """Write a copy of a pipeline whose scores are calibrated on labelled text, of the target if there is any.

    pipeline (str | Path): A saved pipeline's folder, or the name of an installed one; it stays as it is.
    corpus (Path): A .spacy file of labelled documents.
    output (Path): The folder to write; it appears whole or not at all, in place of a pipeline that is there.
    RAISES (ProKDError): If pipeline or corpus cannot be read, the corpus has no labels or no entity is found in it,
        or the output has something else in it.
    """
    if output.is_dir() and any(output.iterdir()) and not (output / "meta.json").is_file():
        raise ProKDError(f"{output} has something in it that is no pipeline, and would be lost. Name a new folder.")
    nlp = load_pipeline(pipeline)
    found = set_temperature(nlp, read_labelled(corpus, nlp.vocab))
    if not found.entities:
        raise ProKDError(f"{pipeline} finds no entity in {corpus}: there is no score to calibrate. Name another file.")
    with atomic_folder(output) as folder:
        _note(nlp, f"{corpus.parent.name} {corpus.stem}").to_disk(folder)
    return found


def set_temperature(nlp: Language, references: Sequence[Doc]) -> Calibration:
    """Set the temperature of prokd_ner's scores at which they say best which of its entities are right.

    nlp (Language): The pipeline; entities below its threshold count too, for these depend on the temperature.
    references (Sequence[Doc]): Labelled documents.
    RAISES (ProKDError): If the pipeline has no prokd_ner.
    """
    if "prokd_ner" not in nlp.pipe_names:
        raise ProKDError(f"There is no prokd_ner to calibrate, only {', '.join(nlp.pipe_names)}.")
    cfg = nlp.get_pipe("prokd_ner").cfg
    threshold, before = cfg["threshold"], cfg["temperature"]
    cfg.update(threshold=0.0, temperature=1.0)
    scores, right = tag_and_collect(nlp, references)
    temperatures = {"before": before, "after": fit_temperature(scores, right)}
    cfg.update(threshold=threshold, temperature=temperatures["after"])
    found = {when: calibration(soften(scores, temperature), right) for when, temperature in temperatures.items()}
    errors = {when: each and each["ece"] for when, each in found.items()}
    return Calibration(len(references), len(scores), temperatures, errors)


def _note(nlp: Language, data: str) -> Language:
    """Write into the pipeline's meta what its scores were calibrated on."""
    nlp.meta["spacy_prokd"] = {**nlp.meta.get("spacy_prokd", {}), "calibrated_on": data}
    return nlp


def fit_temperature(scores: np.ndarray, right: np.ndarray) -> float:
    """The temperature, 1 or above, at which scores say best which entities are right, by their log likelihood.

    scores, right (np.ndarray): From `collect_scores`.
    RETURNS (float): See `decoding.soften`; 1 without entities.
    """
    if not len(scores):
        return 1.0
    likelihoods = []
    for temperature in TEMPERATURES:
        softened = soften(scores, temperature)
        likelihoods.append(np.log(np.where(right, softened, 1 - softened).clip(1e-12)).sum())
    return round(float(TEMPERATURES[int(np.argmax(likelihoods))]), 3)


def tag_and_collect(nlp: Language, references: Sequence[Doc]) -> tuple[np.ndarray, np.ndarray]:
    """`collect_scores` of what a pipeline finds in the words of labelled documents."""
    return collect_scores(map(Example, nlp.pipe(map(copy_words, references)), references))


def collect_scores(examples: Iterable[Example]) -> tuple[np.ndarray, np.ndarray]:
    """The scores of found entities, and which are right.

    examples (Iterable[Example]): Tagged documents, of the reference's own words.
    RETURNS (tuple): float [n_entities] scores and bool [n_entities]; entities without a score are left out.
    """
    scores, right = [], []
    for example in examples:
        gold = set(gold_spans(example))
        for ent in example.predicted.ents:
            if ent._.score is not None:
                scores.append(ent._.score)
                right.append((ent.start, ent.end, ent.label_) in gold)
    return np.asarray(scores, dtype=float), np.asarray(right, dtype=bool)


def calibration(scores: np.ndarray, right: np.ndarray) -> dict[str, Any] | None:
    """Expected calibration error (Naeini et al., 2015), in bins of equal width.

    RETURNS (dict[str, Any] | None): `ece`, the mean distance between score and share of right ones, weighed by how
        many entities a bin has; `bins`, those that have any, each with mean `score`, share `right` and `entities`.
        None without entities.
    """
    if not len(scores):
        return None
    of_bin = np.minimum((scores * N_BINS).astype(int), N_BINS - 1)
    bins = [
        {
            "score": round(float(scores[of_bin == i].mean()), 4),
            "right": round(float(right[of_bin == i].mean()), 4),
            "entities": int((of_bin == i).sum()),
        }
        for i in np.unique(of_bin)
    ]
    distances = np.abs(np.bincount(of_bin, weights=scores - right))  # of sums, not of the rounded means above
    return {"ece": round(float(distances.sum()) / len(scores), 4), "bins": bins}
