"""Several target languages in one run of a project: a teacher for all, a student and a package for each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from .errors import ProKDError
from .reporting.inputs import read_metrics


def train_targets(project: Path, targets: Sequence[str], settings: Sequence[str] = ()) -> Table:
    """Run the workflow `all` for the first target and `another`, with the first one's teacher, for each other.

    project (Path): Folder with project.yml.
    targets (Sequence[str]): Codes of the languages without labels.
    settings (Sequence[str]): More arguments of `spacy project run`, such as `--vars.seed 1`.
    RETURNS (Table): F1 of the teacher and of each student.
    RAISES (ProKDError): If a language is named twice or a run fails; what was made before it stays.
    """
    if not (project / "project.yml").is_file():
        raise ProKDError(f"{project} has no project.yml. Name the folder of a project: `spacy-prokd init` makes one.")
    if twice := {target for target in targets if targets.count(target) > 1}:
        raise ProKDError(f"{', '.join(sorted(twice))} is named twice.")
    for target in targets:
        workflow = "all" if target == targets[0] else "another"
        variables = ["--vars.target_lang", target, "--vars.teacher", targets[0]]
        command = [sys.executable, "-m", "spacy", "project", "run", workflow, str(project), *variables, *settings]
        if subprocess.run(command, check=False).returncode:
            made = ", ".join(targets[: targets.index(target)]) or "none"
            raise ProKDError(f"The run for '{target}' failed, as said above. Targets that are done: {made}.")
    return summarise({target: project / "metrics" / target for target in targets})


def summarise(metrics: dict[str, Path]) -> Table:
    """Lay the scores of several targets side by side.

    metrics (dict[str, Path]): By target, the folder with teacher.json and student.json.
    RETURNS (Table): A row for each, entity F1 in per cent.
    """
    table = Table("target", "scored on", box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("entities", "teacher F1", "student F1", "change"):
        table.add_column(header, justify="right")
    for target, folder in metrics.items():
        teacher, student = (read_metrics(folder / f"{role}.json") for role in ("teacher", "student"))
        f1 = [100 * scores["ents_f"] for scores in (teacher, student)]
        table.add_row(
            target, student["data"], f"{student['entities']:,}", *(f"{f:.2f}" for f in f1), f"{f1[1] - f1[0]:+.2f}"
        )
    return table
