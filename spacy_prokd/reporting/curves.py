"""The curves of a run: learning, pseudo-labels over epochs, and what scores are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from markupsafe import Markup

from ..loggers import OF_EPOCH
from .charts import Series, line_chart

Logs = Mapping[str, Sequence[Mapping[str, Any]]]  # of each pipeline, its evaluations
Charts = list[tuple[str, Markup]]  # each with its title
LabelFacts = Mapping[str, Mapping[int, float | None]]  # each fact in each epoch, counted from 1

_SOURCE_DEV = "ents_f"
_RELABELLED = "relabelled"
_TITLES = {
    "dev_f": "Entity F1 of the prototypes alone on source dev",
    _RELABELLED: "Share of words whose pseudo-label is not the teacher’s",
    "sureness": "Mean probability of the pseudo-labels",
    "invalid": "Share of entity words with an I- tag that continues no entity",
}
_WORDS = "words."  # of an entity type, and its name


def draw_learning(logs: Logs) -> Charts:
    """Draw source-dev F1 of all pipelines in one chart, then one for each pipeline and named loss.

    Of a training that ended before its second evaluation there are no losses to draw: one point is no curve.
    """
    f1 = [
        Series(role, [e["step"] for e in log], [e["scores"].get(_SOURCE_DEV) for e in log], _look(number))
        for number, (role, log) in enumerate(logs.items())
    ]
    charts = {"Entity F1 on source dev": f1}
    drawn_by_epoch = read_label_facts(logs)
    for number, (role, log) in enumerate(logs.items()):
        if len(log) < 2:
            continue
        for loss in dict.fromkeys(name for e in log for name in e["losses"] if f".{OF_EPOCH}." not in name):
            part = loss.rpartition(".")[2]
            if part not in drawn_by_epoch:
                series = Series(role, [e["step"] for e in log], [e["losses"].get(loss) for e in log], _look(number))
                charts[_TITLES[part] if part == _RELABELLED else f"Loss of the {role}: {loss}"] = [series]
    return [(title, line_chart(title, series)) for title, series in charts.items()]


def read_label_facts(logs: Logs) -> LabelFacts:
    """Find what logs say of the pseudo-labels of each epoch: `LabelSummary` by name. Nothing in older logs."""
    facts: dict[str, dict[int, float | None]] = {}
    for evaluation in chain.from_iterable(logs.values()):
        for name, value in evaluation["losses"].items():
            _pipe, found, fact = name.partition(f".{OF_EPOCH}.")
            if found:
                facts.setdefault(fact, {})[evaluation["epoch"] + 1] = value
    return facts


def types_of(facts: LabelFacts) -> list[str]:
    """The entity types that `draw_labels` needs a look for."""
    return [fact.removeprefix(_WORDS) for fact in facts if fact.startswith(_WORDS)]


def draw_labels(facts: LabelFacts, looks: Mapping[str, str]) -> Charts:
    """Draw pseudo-labels over epochs: their facts, and how many words of each type there are.

    facts (LabelFacts): From `read_label_facts`.
    looks (Mapping[str, str]): The CSS class of each type.
    """
    charts = {
        title: [_over_epochs("student", facts[fact], _look(1))] for fact, title in _TITLES.items() if fact in facts
    }
    types = {label: facts[_WORDS + label] for label in types_of(facts)}
    if types:
        charts["Words of each type, divided by those that the teacher finds"] = [
            _over_epochs(label, values, looks[label]) for label, values in types.items()
        ]
    return [(title, line_chart(title, series, "epoch")) for title, series in charts.items()]


def draw_reliability(scores: Mapping[str, Mapping[str, Any]]) -> Markup | None:
    """Draw how many entities of a score are right; None where no pipeline gives scores."""
    series = [
        Series(role, [each["score"] for each in bins], [each["right"] for each in bins], _look(number))
        for number, (role, metrics) in enumerate(scores.items())
        if (bins := (metrics.get("calibration") or {}).get("bins"))
    ]
    return line_chart("Share of entities that are right", series, "score", diagonal=True) if series else None


def _over_epochs(name: str, values: Mapping[int, float | None], look: str) -> Series:
    return Series(name, list(values), list(values.values()), look)


def _look(number: int) -> str:
    """The colour of a pipeline."""
    return f"series-{number % 3}"
