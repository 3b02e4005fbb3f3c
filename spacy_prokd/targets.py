"""Several targets in one run of a project: a teacher for all that may share one, a student and a package for each."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

import srsly
from rich import box
from rich.table import Table
from spacy.util import load_config
from typer.main import get_command
from weasel import app as project_app
from weasel.util import parse_config_overrides

from .corpus.joined import check_twice
from .errors import ProKDError
from .reporting.inputs import read_metrics

ROLES = ("teacher", "student")
_TEACHER_CONFIG = Path("configs") / "teacher.cfg"
_OVERRIDES = "SPACY_CONFIG_OVERRIDES"  # of spaCy's training; Weasel, which runs the steps, has a variable of its own


@dataclass(frozen=True)
class TargetScores:
    """What `evaluate` wrote of each target, as a table for people.

    metrics (dict): By target and then by "teacher" and "student".
    """

    metrics: dict[str, dict[str, dict[str, Any]]]

    def __rich__(self) -> Table:
        """A row for each target, and for each language of those that have several; entity F1 in per cent."""
        table = Table("target", "scored on", box=box.SIMPLE_HEAD, pad_edge=False)
        for header in ("entities", "teacher F1", "student F1", "change"):
            table.add_column(header, justify="right")
        for target, metrics in self.metrics.items():
            teacher, student = (_parts(metrics[role]) for role in ROLES)
            for data, scores in student.items():
                before, after = (100 * each["ents_f"] for each in (teacher[data], scores))
                numbers = (f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}")
                table.add_row(target, data, f"{scores['entities']:,}", *numbers)
        return table


def train_targets(
    project: Path, targets: Sequence[str], settings: Sequence[str] = (), *, stdout: IO[str] | None = None
) -> TargetScores:
    """Run the workflow `all` for the first target and `another`, with the first one's teacher, for each other.

    A teacher that is aligned with the target's text is no other target's: then it is `all` for each.

    project (Path): Folder with project.yml.
    targets (Sequence[str]): Codes of the languages without labels; several with a plus sign between them, as in
        `nl+sv`, are one target: a student and a package for both.
    settings (Sequence[str]): More arguments of `spacy project run`, such as `--vars.seed 1`.
    stdout (IO[str] | None): Where the runs write what they say; to stdout if None.
    RETURNS (TargetScores): Of the teacher and of each student.
    RAISES (ProKDError): If a language is named twice, project.yml has no such variable, or a run fails; what was made
        before it stays.
    RAISES (click.UsageError): If `spacy project run` has no such option.
    """
    if not (project / "project.yml").is_file():
        raise ProKDError(f"{project} has no project.yml. Name the folder of a project: `spacy-prokd init` makes one.")
    check_twice(targets)
    _check_settings(project, settings)
    is_shared = not reads_target(project / _TEACHER_CONFIG)
    if not is_shared and len(targets) > 1:
        why = f"alignment_weight is not 0 in {project / _TEACHER_CONFIG}, so that a teacher reads the target's text"
        print(f"{why}: each target gets a teacher of its own.", file=stdout, flush=True)
    for target in targets:
        teacher = targets[0] if is_shared else target
        workflow = "all" if target == teacher else "another"
        variables = {"target_lang": target, "teacher": teacher, **name_package(target)}
        given = [argument for name, value in variables.items() for argument in (f"--vars.{name}", value)]
        command = [sys.executable, "-m", "spacy", "project", "run", workflow, str(project), *given, *settings]
        if subprocess.run(command, check=False, stdout=stdout).returncode:
            made = ", ".join(targets[: targets.index(target)]) or "none"
            raise ProKDError(f"The run for '{target}' failed, as said above. Targets that are done: {made}.")
    folder = project / "metrics"
    return TargetScores(
        {target: {role: read_metrics(folder / target / f"{role}.json") for role in ROLES} for target in targets}
    )


def reads_target(config: Path) -> bool:
    """Whether a teacher's config, with what SPACY_CONFIG_OVERRIDES says, aligns it with the target's text (Eq. 6).

    config (Path): The file; one that is missing aligns nothing, and the run says that it is missing.
    RAISES (ProKDError): If it cannot be read.
    """
    if not config.is_file():
        return False
    try:
        components = load_config(config, parse_config_overrides([], env_var=_OVERRIDES), interpolate=True)["components"]
    except (ValueError, KeyError) as error:  # also confection's and configparser's
        raise ProKDError(f"{config} cannot be read as a config: {' '.join(str(error).split())[:600]}") from None
    return any(component.get("objective", {}).get("alignment_weight") for component in components.values())


def name_package(target: str) -> dict[str, str]:
    """The variable of project.yml that names a target's package, where the name it has by itself cannot be one.

    target (str): Code of a language, or several: `zh-Hans`, `nl+sv`.
    RETURNS (dict[str, str]): `package_name`, or nothing.
    """
    return {} if target.isidentifier() else {"package_name": "prokd_" + re.sub(r"\W", "_", target).lower()}


def _check_settings(project: Path, settings: Sequence[str]) -> None:
    """What `spacy project run` itself does not see before it has run all, or shows a traceback of."""
    run = get_command(project_app).commands["run"].make_context("run", ["all", str(project), *settings])
    known = list(srsly.read_yaml(project / "project.yml").get("vars", {}))
    for name in parse_config_overrides(run.args, env_var=None):
        section, _dot, variable = name.partition(".")
        if section == "vars" and variable not in known:
            close = get_close_matches(variable, known)
            hint = f"Did you mean --vars.{' or --vars.'.join(close)}?" if close else f"It has {', '.join(known)}."
            raise ProKDError(f"{project / 'project.yml'} has no variable '{variable}'. {hint}")


def _parts(metrics: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    return metrics.get("parts", {metrics["data"]: metrics})
