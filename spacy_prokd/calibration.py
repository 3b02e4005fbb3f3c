"""Are scores what they say? Of entities with a score of 0.8, four of five should be right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from spacy.training import Example

from .scoring import gold_spans

N_BINS = 10


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
    distance = sum(each["entities"] * abs(each["score"] - each["right"]) for each in bins)
    return {"ece": round(distance / len(scores), 4), "bins": bins}
