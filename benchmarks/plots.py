"""Draw the results of `benchmarks/results/` as `benchmarks/plots/*.svg`: `python benchmarks/plots.py`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from experiment_tables import read_results, summarise
from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
TEACHER, STUDENT = "zero-shot, averaged weights", "prokd"
BASELINE = "student"  # of readings.toml
OURS, OTHERS = "#1f6f8b", "#b8bfc6"
STYLE = {
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "spacy-prokd",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e3e6e8",
}
NAMES = {
    "pipe": "spacy-prokd",
    "half_the_layers": "spacy-prokd, half the layers",
    "hand_loop": "loop by hand",
    "spacy_transformers": "spacy-transformers + ner",
    "hf_pipeline": "Hugging Face pipeline",
}
SCALES = {
    "document_length": "words a text",
    "batch_size": "texts a batch",
    "corpus_size": "texts",
    "threads": "threads, and two processes",
}


def draw_tagging(result: Mapping[str, Any], figure: Figure) -> None:
    """Words a second of each side."""
    rivals = ("hand_loop", "spacy_transformers", "hf_pipeline")
    speeds = {name: result[f"{name}_words_per_second"] for name in ("half_the_layers", *rivals)}
    speeds = {"pipe": result["words_per_second"], **speeds}
    _bars(figure.subplots(), speeds, "tagging, words a second")


def draw_training(result: Mapping[str, Any], figure: Figure) -> None:
    """Words a second of teacher and student, and of their rivals."""
    roles = {
        "teacher": "a teacher",
        "student": "a student",
        "half_student": "a student with half the layers (the rivals: with all)",
    }
    for axes, (role, told) in zip(figure.subplots(3, 1, sharex=True), roles.items()):
        hand, whole = "hand_loop" if role == "teacher" else "student_hand_loop", role.removeprefix("half_")
        speeds = {
            "pipe": result[f"{role}_words_per_second"],
            "hand_loop": result[f"{hand}_words_per_second"],
            "spacy_transformers": result[f"{whole}_spacy_transformers_words_per_second"],
        }
        _bars(axes, speeds, f"training {told}, words a second")


def draw_layers(result: Mapping[str, Any], figure: Figure) -> None:
    """F1 against speed: a point for each student."""
    axes = figure.subplots()
    students = result["students"]
    axes.plot([s["words_per_second"] for s in students], [s["f1"] for s in students], "o-", color=OURS)
    for s in students:
        label = f"{s['layers']} layers"
        axes.annotate(label, (s["words_per_second"], s["f1"]), xytext=(6, 4), textcoords="offset points")
    axes.set_xlabel("tagging, words a second")
    axes.set_ylabel("entity F1")
    axes.set_xlim(0, 1.25 * max(s["words_per_second"] for s in students))
    axes.grid()


def draw_memory(result: Mapping[str, Any], figure: Figure) -> None:
    """Resident memory while tagging, and the highest of training."""
    left, right = figure.subplots(1, 2)
    for key, label, style in (
        ("resident_megabytes", "one nlp.pipe", "-"),
        ("zone_resident_megabytes", "new words, in memory zones", "--"),
    ):
        reports = result[key]
        done = [(i + 1) * result["sentences"] / len(reports) for i in range(len(reports))]
        left.plot(done, reports, style, label=label, color=OURS)
    left.set_xlabel("sentences tagged")
    left.set_ylabel("resident MB")
    left.set_ylim(0)
    left.legend(frameon=False)
    left.grid(axis="y")
    peaks = result["training_peak_megabytes"]
    _bars(right, peaks, "training, highest resident MB", all_ours=True)


def draw_scaling(result: Mapping[str, Any], figure: Figure) -> None:
    """Words a second over what grows."""
    speeds = result["words_per_second"]
    for axes, (key, label) in zip(figure.subplots(2, 2).flat, SCALES.items()):
        found = dict(speeds[key])
        if key == "threads":
            names = [f"{n} thread{'s' if n != '1' else ''}" for n in found] + ["n_process=2"]
            axes.bar(names, [*found.values(), speeds["processes"]["2"]], color=OURS, width=0.6)
        else:
            axes.plot([int(n) for n in found], list(found.values()), "o-", color=OURS)
            axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.set_ylim(0)
        axes.grid(axis="y")
    figure.supylabel("words a second", fontsize=9)


def draw_target_texts(results: Sequence[Mapping[str, Any]], figure: Figure) -> None:
    """F1 of students over how many target texts they had; of none, their teacher's."""
    axes = figure.subplots()
    curves: dict[str, dict[int, float]] = defaultdict(dict)
    for result in results:
        texts = texts_read(result)
        if texts is not None and "failed" not in result and result["seed"] == 0:
            curves[result["target"]][texts] = 100 * result["entity_f1"]
    for target, points in curves.items():
        places = sorted(points)
        axes.plot(places, [points[n] for n in places], "o-", label=target)
    axes.set_xscale("symlog", linthresh=250)
    axes.set_xticks([0, 250, 1000, 4000, 20000], ["none", "250", "1,000", "4,000", "20,000"])
    axes.minorticks_off()
    axes.set_xlabel("target texts")
    axes.set_ylabel("entity F1")
    axes.legend(frameon=False)
    axes.grid()


def texts_read(result: Mapping[str, Any]) -> int | None:
    """How many target texts a pipeline was trained on; None for a variant that differs in more than that."""
    if result["variant"] == TEACHER:
        return 0
    if result["variant"] == STUDENT:
        return result.get("target_texts")
    student = result["settings"]["student"]
    return student.get("corpora.train.limit") if isinstance(student, Mapping) else None


def draw_readings(results: Sequence[Mapping[str, Any]], figure: Figure) -> None:
    """What each reading of the student's equations gains over the default, in the first result's language.

    Lines are the 95 % of a paired bootstrap; the band is the default's standard deviation over its seeds.
    """
    axes = figure.subplots()
    target = results[0]["target"]
    students = [result for result in results if result["target"] == target and result["settings"]["student"]]
    rows = summarise(students, BASELINE)
    (scores,) = next(row["f1"] for row in rows if row["variant"] == BASELINE).values()
    gains = {row["variant"]: row["gain"] for row in rows if row["variant"] != BASELINE}
    if scores["deviation"] is not None:
        axes.axvspan(-scores["deviation"], scores["deviation"], color=OTHERS, alpha=0.35, linewidth=0)
    for place, gain in enumerate(gains.values()):
        axes.plot(gain["interval"], [place, place], color=OURS)
        axes.plot(gain["mean"], place, "o", color=OURS, markersize=4)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(gains)), list(gains))
    axes.invert_yaxis()
    axes.set_xlabel(f"entity F1 ({target}) beyond the default's")
    axes.grid(axis="x")


def _bars(axes: Axes, values: Mapping[str, float], title: str, all_ours: bool = False) -> None:
    names = [NAMES.get(name, name) for name in values]
    colours = [OURS if all_ours or name in ("pipe", "half_the_layers") else OTHERS for name in values]
    bars = axes.barh(names, list(values.values()), color=colours)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=9)


DRAWINGS: dict[str, tuple[Callable[[Any, Figure], None], tuple[float, float]]] = {
    "tagging.json": (draw_tagging, (6.5, 2.3)),
    "training.json": (draw_training, (6.5, 4.3)),
    "layers.json": (draw_layers, (4.5, 3.0)),
    "memory.json": (draw_memory, (8.5, 3.0)),
    "scaling.json": (draw_scaling, (7.5, 5.0)),
    "falling_rate.jsonl": (draw_target_texts, (5.5, 3.5)),
    "readings.jsonl": (draw_readings, (7.0, 5.0)),
}


def _read(source: Path) -> Any:
    return read_results(source) if source.suffix == ".jsonl" else json.loads(source.read_text(encoding="utf8"))


def draw_all(results: Path, plots: Path) -> list[Path]:
    """Draw each group that has a result.

    RETURNS (list[Path]): The files written.
    """
    plots.mkdir(exist_ok=True)
    written = []
    with matplotlib.rc_context(STYLE):
        for name, (draw, size) in DRAWINGS.items():
            source = results / name
            if source.is_file():
                figure = Figure(figsize=size, layout="constrained")
                draw(_read(source), figure)
                written.append(plots / f"{source.stem}.svg")
                figure.savefig(written[-1], facecolor="white", metadata={"Date": None, "Creator": None})
    return written


if __name__ == "__main__":
    for path in draw_all(HERE / "results", HERE / "plots"):
        print(path.relative_to(HERE.parent))
