"""The report: one HTML file with the scores, mistakes, words, curves and settings of a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, Template
from spacy.tokens import Doc

from ..colours import HUES, TINT, number_hues
from ..corpus.joined import describe_target
from ..files import atomic_file
from ..mistakes import GOLD_SPANS, count_alone, count_confusions, is_labelled
from ..preferences import LABELS, Preference, compare_preferences
from ..wording import say_if_few
from .curves import draw_labels, draw_learning, draw_reliability, read_label_facts, types_of
from .inputs import dotted, read_config, read_log, read_metrics, read_tagged, read_word_map
from .sentences import show_disagreements, show_word, show_worst
from .words import MARGIN, NAMES_MARGIN, SIDE, group_points, place_names

SCORES = {
    "ents_f": "Entity F1",
    "ents_p": "Entity precision",
    "ents_r": "Entity recall",
    "token_f": "Token F1",
    "seqeval_f": "Entity F1 by seqeval",
}
FEWEST_PLACES = 2  # of a word: what is said of it once is no preference
MOST_WORDS = 20  # with other preferences; the rest are counted


def write_report(
    output: Path,
    *,
    source_lang: str,
    target_lang: str,
    metrics: Mapping[str, Path],
    logs: Mapping[str, Path],
    configs: Mapping[str, Path],
    tagged: Mapping[str, Path],
    prototypes: Path,
    word_map: Path,
) -> Path:
    """Write one self-contained page: nothing in it is fetched, so it can be mailed and opened anywhere.

    Each mapping goes from a pipeline's name ("teacher", "student") to a file; the first mapping's order is the
    order on the page, and a name is also the project command that trains that pipeline.

    output (Path): The HTML file; it appears whole or not at all.
    source_lang (str): The language with labels.
    target_lang (str): The language without.
    metrics (Mapping[str, Path]): The JSON files of `evaluate`.
    logs (Mapping[str, Path]): The JSON Lines files of spacy-prokd.Logger.v1.
    configs (Mapping[str, Path]): The trained pipelines' `config.cfg`.
    tagged (Mapping[str, Path]): What was scored as each tagged it, with the labels, and texts of the target without
        labels, where what was scored is not of the target; left out if a file is missing.
    prototypes (Path): The same texts as the student's prototypes tagged them; left out if it is missing or empty.
    word_map (Path): Words of both languages as points of a plane; left out if it is missing.
    RETURNS (Path): `output`.
    RAISES (ProKDError): If an input is missing or damaged, with the project command that makes it.
    """
    scores = {role: read_metrics(path) for role, path in metrics.items()}
    evaluations = {role: read_log(path, command=role) for role, path in logs.items()}
    settings = {role: _settings(read_config(path, command=role)) for role, path in configs.items()}
    run = {role: _run_facts(each) for role, each in scores.items()}
    docs = read_tagged(tagged)
    teacher = next(iter(tagged))
    said = read_tagged({teacher: tagged[teacher], "prototypes": prototypes})
    words = read_word_map(word_map)
    labelled = {role: list(filter(is_labelled, each)) for role, each in docs.items()}
    support = _support(scores.values())
    label_facts = read_label_facts(evaluations)
    shown = _find_labels([*support, *types_of(label_facts)], chain(*docs.values(), *said.values()), words)
    looks = _looks(shown, scores.values())
    groups = {kind: group_points((words or {}).get(kind, ()), looks) for kind in ("words", "prototypes")}
    html = _template("report.html").render(
        source_lang=source_lang,
        target_lang=describe_target(target_lang),
        roles=list(scores),
        scores=scores,
        score_names={key: name for key, name in SCORES.items() if any(key in each for each in scores.values())},
        support=support,
        few=say_if_few(sum(filter(None, support.values()))),
        run=run,
        run_names=_all_keys(run),
        settings=settings,
        setting_names=sorted(_all_keys(settings)),
        charts=draw_learning(evaluations),
        evaluated_once=[role for role, log in evaluations.items() if len(log) == 1],
        label_charts=draw_labels(label_facts, looks),
        calibration_errors={
            role: each["calibration"]["ece"] for role, each in scores.items() if each.get("calibration")
        },
        reliability=draw_reliability(scores),
        hues=HUES,
        tint=TINT,
        looks=looks,
        confusions={role: count_confusions(each) for role, each in labelled.items()},
        words=words,
        groups=groups,
        names=place_names(groups["prototypes"]),
        view_box=f"{-MARGIN} {-MARGIN} {SIDE + MARGIN + NAMES_MARGIN} {SIDE + 2 * MARGIN}",
        **(_show_mistakes(labelled, looks) if docs else {}),
        disagreements=[_show_disagreements(each, looks) for each in (docs, said) if each],
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


def _find_labels(labels: Iterable[str], docs: Iterable[Doc], words: Mapping[str, Any] | None) -> set[str]:
    """Each type that is on the page."""
    found = set(labels)
    found.update(span.label_ for doc in docs for span in (*doc.ents, *doc.spans.get(GOLD_SPANS, ())))
    found.update(point["tag"][2:] for point in (words or {}).get("words", ()) if point["tag"] != "O")
    return found


def _looks(shown: Collection[str], scores: Collection[Mapping[str, Any]]) -> dict[str, str]:
    """The CSS class of each type that is on the page: its colour, which depends on what the pipelines know."""
    unknown = set.intersection(*(set(each.get("labels_only_in_data", ())) for each in scores))
    unseen = set().union(*(each.get("labels_only_in_pipeline", ()) for each in scores))
    numbers = number_hues({*shown, *unseen} - unknown, unknown)
    return {label: f"type-{numbers[label]}" for label in sorted(shown)}


def _show_mistakes(tagged: Mapping[str, Sequence[Doc]], looks: Mapping[str, str]) -> dict[str, Any]:
    """Where the last of the two pipelines was worst, and the words that they tell apart by another tag."""
    student = list(tagged)[-1]
    preferences = compare_preferences(tagged, FEWEST_PLACES)
    return {
        "worst": show_worst(student, tagged[student], looks),
        "preferences": [_preference_row(each, tagged[student]) for each in preferences[:MOST_WORDS]],
        "n_preferences": len(preferences),
        "preferred_as_labelled": {
            role: sum(each.tags[role][0] == each.tags[LABELS][0] for each in preferences) for role in tagged
        },
    }


def _show_disagreements(tagged: Mapping[str, Sequence[Doc]], looks: Mapping[str, str]) -> dict[str, Any]:
    """Texts that two disagree about, those without labels if there are any, and how often who is right."""
    unlabelled = {role: [doc for doc in docs if not is_labelled(doc)] for role, docs in tagged.items()}
    compared = unlabelled if all(unlabelled.values()) else tagged
    return {
        "labelled": compared is tagged,
        "n_texts": len(next(iter(compared.values()))),
        "alone": {
            role: count_alone(compared[role], compared[other]) for role, other in zip(compared, reversed(compared))
        },
        "texts": show_disagreements(compared, looks),
    }


def _preference_row(preference: Preference, docs: Sequence[Doc]) -> dict[str, Any]:
    """What the page shows of a word: the word in an example in place of where the example is."""
    text, word = preference.example
    return {**preference._asdict(), "example": show_word(docs[text], word)}


def _run_facts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the metrics file says beside scores: encoder, seed, versions, sentences."""
    facts = {
        key: value
        for key, value in metrics.items()
        if not key.startswith(("ents_", "token_", "seqeval", "calibration", "parts"))
    }
    return dotted(facts)


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the result: the components with their objective and model, and how they were trained."""
    training = {key: value for key, value in config["training"].items() if key not in ("logger", "score_weights")}
    settings = {**dotted(config["components"]), **dotted(training, prefix="training.")}
    return {name: _without_folders(value) for name, value in settings.items()}


def _without_folders(value: Any) -> Any:
    """Of a path from the root, also one in `encoders/`, the last name alone: a report is made to be passed on."""
    is_from_root = isinstance(value, str) and (Path(value).is_absolute() or "//" in value)
    return Path(value).name or value if is_from_root else value
