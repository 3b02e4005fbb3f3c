"""The report: one HTML file with the settings, the scores and the learning curves of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup

from ..files import atomic_file
from .charts import Series, line_chart
from .inputs import dotted, read_config, read_log, read_metrics

SCORES = {
    "ents_f": "Entity F1",
    "ents_p": "Entity precision",
    "ents_r": "Entity recall",
    "token_f": "Token F1",
    "seqeval_f": "Entity F1 by seqeval",
}
_SOURCE_DEV = "ents_f"


def write_report(
    output: Path,
    *,
    source_lang: str,
    target_lang: str,
    metrics: Mapping[str, Path],
    logs: Mapping[str, Path],
    configs: Mapping[str, Path],
) -> Path:
    """Write one self-contained page: nothing in it is fetched, so it can be mailed and opened anywhere.

    Each mapping goes from a pipeline's name ("teacher", "student") to a file; the first mapping's order is the
    order on the page, and a name is also the project command that trains that pipeline.

    output (Path): The HTML file; it appears whole or not at all.
    source_lang (str): The language with labels.
    target_lang (str): The language without.
    metrics (Mapping[str, Path]): The JSON files of `evaluate`, on the target's test set.
    logs (Mapping[str, Path]): The JSON Lines files of spacy-prokd.Logger.v1.
    configs (Mapping[str, Path]): The trained pipelines' `config.cfg`.
    RETURNS (Path): `output`.
    RAISES (ProKDError): If an input is missing or damaged, with the project command that makes it.
    """
    scores = {role: read_metrics(path) for role, path in metrics.items()}
    evaluations = {role: read_log(path, command=role) for role, path in logs.items()}
    settings = {role: _settings(read_config(path, command=role)) for role, path in configs.items()}
    run = {role: _run_facts(each) for role, each in scores.items()}
    html = _template("report.html").render(
        source_lang=source_lang,
        target_lang=target_lang,
        roles=list(scores),
        scores=scores,
        score_names={key: name for key, name in SCORES.items() if any(key in each for each in scores.values())},
        support=_support(scores.values()),
        run=run,
        run_names=_all_keys(run),
        settings=settings,
        setting_names=sorted(_all_keys(settings)),
        charts=_charts(evaluations),
        calibration_errors={
            role: each["calibration"]["ece"] for role, each in scores.items() if each.get("calibration")
        },
        reliability=_draw_reliability(scores),
    )
    with atomic_file(output) as temporary:
        temporary.write_text(html, encoding="utf8")
    return output


def _template(name: str) -> Template:
    loader = PackageLoader("spacy_prokd.reporting")
    return Environment(loader=loader, autoescape=True, trim_blocks=True).get_template(name)


def _all_keys(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The rows of a table with a column for each pipeline: what any of them has, in order of appearance."""
    return list(dict.fromkeys(key for table in tables.values() for key in table))


def _support(scores: Iterable[Mapping[str, Any]]) -> dict[str, int | None]:
    """Each type with the number of its entities in the reference, None where no metrics file says."""
    support: dict[str, int | None] = {}
    for each in scores:
        for label, values in (each["ents_per_type"] or {}).items():
            support[label] = values.get("support", support.get(label))
    return dict(sorted(support.items()))


def _run_facts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the metrics file says beside scores: encoder, seed, versions, sentences."""
    facts = {
        key: value
        for key, value in metrics.items()
        if not key.startswith(("ents_", "token_", "seqeval", "calibration"))
    }
    return dotted(facts)


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the result: the components with their objective and model, and how they were trained."""
    training = {key: value for key, value in config["training"].items() if key not in ("logger", "score_weights")}
    return {**dotted(config["components"]), **dotted(training, prefix="training.")}


def _charts(evaluations: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, Markup]]:
    """Source-dev F1 of all pipelines in one chart, then one for each pipeline and named loss."""
    roles = list(evaluations)
    f1 = [
        Series(role, [e["step"] for e in log], [e["scores"].get(_SOURCE_DEV) for e in log], colour)
        for colour, (role, log) in enumerate(evaluations.items())
    ]
    charts = {"Entity F1 on source dev": f1}
    for colour, role in enumerate(roles):
        log = evaluations[role]
        for loss in dict.fromkeys(name for e in log for name in e["losses"]):
            series = Series(role, [e["step"] for e in log], [e["losses"].get(loss) for e in log], colour)
            charts[f"Loss of the {role}: {loss}"] = [series]
    return [(title, line_chart(title, series)) for title, series in charts.items()]


def _draw_reliability(scores: Mapping[str, Mapping[str, Any]]) -> Markup | None:
    """How many entities of a score are right; None where no pipeline gives scores."""
    series = [
        Series(role, [each["score"] for each in bins], [each["right"] for each in bins], colour)
        for colour, (role, metrics) in enumerate(scores.items())
        if (bins := (metrics.get("calibration") or {}).get("bins"))
    ]
    return line_chart("Share of entities that are right", series, "score", diagonal=True) if series else None
