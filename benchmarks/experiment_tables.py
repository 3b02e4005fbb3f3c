"""Results of experiments: a line each, and the table of them."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from experiment_matrix import Cell
from experiment_steps import Step
from rich import box
from rich.table import Table
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_prokd.errors import ProKDError
from spacy_prokd.scoring import gold_spans, predicted_spans

Result = dict[str, Any]
RESAMPLES = 1000


def read_results(path: Path) -> list[Result]:
    """The results of a file, the last of each cell."""
    lines = path.read_text(encoding="utf8").splitlines() if path.is_file() else []
    latest = {place_of(result): result for result in map(json.loads, lines)}
    return list(latest.values())


def place_of(result: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a result is of."""
    return tuple(result[key] for key in ("corpus", "source", "target", "encoder", "variant", "seed"))


def read_result(cell: Cell, evaluation: Step) -> Result:
    """What a finished cell found, with how long its steps took, whichever cell they ran for."""
    metrics = json.loads((evaluation.folder / "teacher.json").read_text(encoding="utf8"))
    ran = [(step.name, step.record()) for step in dict.fromkeys(evaluation.before())]
    seconds: Counter[str] = Counter()
    for name, record in ran:
        seconds[name] += record["seconds"]
    data = next(step for step in evaluation.needs if step.name == "convert").folder
    lang, split = metrics["data"].split()
    converted = json.loads((data / lang / "convert.json").read_text(encoding="utf8"))
    return {
        **cell.describe(),
        "target_texts": converted["splits"]["train"]["docs"],
        "commits": sorted({record["commit"] for _name, record in ran}),
        "processors": sorted({record.get("processor", "unknown") for _name, record in ran}),
        "data": metrics["data"],
        "seconds": {name: round(each, 1) for name, each in seconds.items()},
        "peak_megabytes": max(record["peak_megabytes"] for _name, record in ran),
        "entity_f1": metrics["ents_f"],
        "precision": metrics["ents_p"],
        "recall": metrics["ents_r"],
        "token_f1": metrics["token_f"],
        "per_type": metrics["ents_per_type"],
        "counts": pack(count_entities(data / lang / f"{split}.spacy", evaluation.folder / "tagged.spacy")),
    }


def count_entities(reference: Path, tagged: Path) -> np.ndarray:
    """int64 [n_sentences, 3]: entities found rightly, found, and to be found."""
    vocab = Vocab()
    pairs = zip(*(DocBin().from_disk(path).get_docs(vocab) for path in (tagged, reference)), strict=True)
    counts = []
    for predicted, gold in pairs:
        example = Example(predicted, gold)
        found, expected = set(predicted_spans(example)), set(gold_spans(example))
        counts.append((len(found & expected), len(found), len(expected)))
    return np.array(counts)


def pack(counts: np.ndarray) -> str:
    """Counts as text that is short."""
    return base64.b64encode(zlib.compress(counts.astype("<u2").tobytes(), 9)).decode()


def unpack(text: str) -> np.ndarray:
    """What `pack` got."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<u2").reshape(-1, 3).astype(np.int64)


def f1_of(counts: np.ndarray) -> np.ndarray:
    """F1 in percent of sums of counts [..., 3]."""
    right, found, expected = np.moveaxis(counts, -1, 0)
    return 100.0 * 2 * right / np.maximum(found + expected, 1)


def summarise(results: Sequence[Result], baseline: str) -> list[dict[str, Any]]:
    """A row for each variant: F1 by target, and what it gains over the baseline.

    The gain is over the cells that both have, seed by seed, averaged over seeds and then over targets; its interval
    holds 95 % of what 1,000 resamples of each target's sentences give, the same ones for both (paired bootstrap).

    RETURNS (list[dict[str, Any]]): In percent.
    RAISES (ProKDError): If no result is of the baseline.
    """
    by_variant: dict[str, dict[str, dict[int, Result]]] = defaultdict(lambda: defaultdict(dict))
    for result in results:
        by_variant[result["variant"]][f"{result['corpus']}/{result['target']}"][result["seed"]] = result
    if baseline not in by_variant:
        raise ProKDError(f"No result is of the baseline '{baseline}', only of {', '.join(by_variant) or 'none'}.")
    weights: dict[str, np.ndarray] = {}
    rows = []
    for variant, of_targets in by_variant.items():
        f1 = {target: _mean_and_deviation(seeds.values()) for target, seeds in of_targets.items()}
        whole = [each for each in f1.values() if each["n"]]
        row = {
            "variant": variant,
            "f1": f1,
            "mean": round(float(np.mean([each["mean"] for each in whole])), 2) if whole else None,
        }
        if variant != baseline:
            row["gain"] = _gain(of_targets, by_variant[baseline], weights)
        rows.append(row)
    return rows


def _mean_and_deviation(results: Iterable[Result]) -> dict[str, Any]:
    results = list(results)
    scores = [100 * result["entity_f1"] for result in results if "entity_f1" in result]
    return {
        "n": len(scores),
        "failed": len(results) - len(scores),
        "mean": round(float(np.mean(scores)), 2) if scores else None,
        "deviation": round(float(np.std(scores, ddof=1)), 2) if len(scores) > 1 else None,
    }


def _gain(
    ours: Mapping[str, Mapping[int, Result]], theirs: Mapping[str, Mapping[int, Result]], weights: dict[str, np.ndarray]
) -> dict[str, Any] | None:
    gains, resampled = [], []
    for target, seeds in ours.items():
        common = [
            seed
            for seed, result in seeds.items()
            if "counts" in result and "counts" in theirs.get(target, {}).get(seed, {})
        ]
        if not common:
            continue
        pairs = [(unpack(seeds[seed]["counts"]), unpack(theirs[target][seed]["counts"])) for seed in common]
        n = len(pairs[0][0])
        if target not in weights:
            weights[target] = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
        drawn = weights[target]
        gains.append(np.mean([f1_of(a.sum(axis=0)) - f1_of(b.sum(axis=0)) for a, b in pairs]))
        resampled.append(np.mean([f1_of(drawn @ a) - f1_of(drawn @ b) for a, b in pairs], axis=0))
    if not gains:
        return None
    low, high = np.percentile(np.mean(resampled, axis=0), [2.5, 97.5])
    return {
        "targets": len(gains),
        "mean": round(float(np.mean(gains)), 2),
        "interval": [round(float(low), 2), round(float(high), 2)],
    }


def make_table(rows: Sequence[Mapping[str, Any]], baseline: str) -> Table:
    """The rows of `summarise`, in Markdown."""
    targets = list(dict.fromkeys(target for row in rows for target in row["f1"]))
    table = Table(box=box.MARKDOWN)
    table.add_column("entity F1", no_wrap=True)
    for header in (*targets, "mean", f"gain over {baseline}"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        gain = row.get("gain")
        told = "" if gain is None else f"{gain['mean']:+.2f} ({gain['interval'][0]:+.2f} to {gain['interval'][1]:+.2f})"
        whole = all(target in row["f1"] and row["f1"][target]["n"] for target in targets)
        table.add_row(
            row["variant"],
            *(_cell(row["f1"].get(target)) for target in targets),
            f"{row['mean']:.2f}" if whole else "",
            told,
        )
    return table


def _cell(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return ""
    failed = f" ({score['failed']} failed)" if score["failed"] else ""
    if not score["n"]:
        return failed.strip(" ()")
    deviation = "" if score["deviation"] is None else f" ± {score['deviation']:.2f}"
    return f"{score['mean']:.2f}{deviation}{failed}"
