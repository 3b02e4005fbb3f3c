"""Several targets in one run: which workflows run, and the table at the end."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from spacy_prokd.cli import app
from spacy_prokd.errors import ProKDError
from spacy_prokd.targets import train_targets


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "project.yml").write_text("vars: {seed: 0, gpu_id: -1, target_lang: de}", encoding="utf8")
    for target, scores in {"de": (0.7, 0.75), "nl": (0.8, 0.79)}.items():
        (tmp_path / "metrics" / target).mkdir(parents=True)
        for role, f1 in zip(("teacher", "student"), scores):
            metrics = {"ents_f": f1, "data": f"{target} test", "entities": 1295}
            (tmp_path / "metrics" / target / f"{role}.json").write_text(json.dumps(metrics), encoding="utf8")
    return tmp_path


@pytest.fixture
def runs(monkeypatch) -> list[list[str]]:
    """The commands that would run; one for "xx" fails."""
    commands: list[list[str]] = []

    def run(command: list[str], check: bool, stdout: IO[str] | None) -> subprocess.CompletedProcess:
        assert command[:5] == [sys.executable, "-m", "spacy", "project", "run"] and not check
        commands.append(command[5:])
        return subprocess.CompletedProcess(command, int("xx" in command))

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_the_first_target_trains_the_teacher_of_all(project, runs):
    table = train_targets(project, ["de", "nl"], ["--vars.seed", "1"])
    assert runs == [
        ["all", str(project), "--vars.target_lang", "de", "--vars.teacher", "de", "--vars.seed", "1"],
        ["another", str(project), "--vars.target_lang", "nl", "--vars.teacher", "de", "--vars.seed", "1"],
    ]
    page = io.StringIO()
    Console(file=page, width=80).print(table)
    assert [line.split() for line in page.getvalue().splitlines()[-3:-1]] == [
        ["de", "de", "test", "1,295", "70.00", "75.00", "+5.00"],
        ["nl", "nl", "test", "1,295", "80.00", "79.00", "-1.00"],
    ]


def test_languages_together_are_one_target_with_a_row_for_each(project, runs):
    parts = {lang: {"ents_f": f1, "entities": 10} for lang, f1 in {"de test": 0.5, "nl test": 0.25}.items()}
    (project / "metrics" / "de+nl").mkdir()
    for role in ("teacher", "student"):
        metrics = {"ents_f": 0.4, "data": "de test, nl test", "entities": 20, "parts": parts}
        (project / "metrics" / "de+nl" / f"{role}.json").write_text(json.dumps(metrics), encoding="utf8")
    table = train_targets(project, ["de", "de+nl"]).__rich__()
    assert runs[1][2:] == [
        *("--vars.target_lang", "de+nl", "--vars.teacher", "de"),
        *("--vars.package_name", "prokd_de_nl"),
    ]
    assert [list(column.cells) for column in table.columns[:4]] == [
        ["de", "de+nl", "de+nl"],
        ["de test", "de test", "nl test"],
        ["1,295", "10", "10"],
        ["70.00", "50.00", "25.00"],
    ]


@pytest.mark.parametrize(
    ("weight", "overrides", "teachers"),
    [
        ("0.5", "", {"de": "de", "nl": "nl"}),
        ("${vars.weight}", "", {"de": "de", "nl": "nl"}),
        ("0.0", "", {"de": "de", "nl": "de"}),
        ("0.5", "--vars.weight=0.0", {"de": "de", "nl": "nl"}),
        ("${vars.weight}", "--vars.weight=0.0", {"de": "de", "nl": "de"}),
    ],
)
def test_a_teacher_that_reads_the_targets_text_is_no_other_targets(
    project, runs, monkeypatch, capsys, weight, overrides, teachers
):
    sections = ["[vars]\nweight = 0.1", "[components]", "[components.ner]", "[components.ner.objective]"]
    (project / "configs").mkdir()
    config = "\n".join([*sections, f"alignment_weight = {weight}"])
    (project / "configs" / "teacher.cfg").write_text(config, encoding="utf8")
    monkeypatch.setenv("SPACY_CONFIG_OVERRIDES", overrides)
    train_targets(project, ["de", "nl"])
    assert {run[3]: run[5] for run in runs} == teachers
    is_shared = teachers["nl"] == "de"
    assert [run[0] for run in runs] == ["all", "another" if is_shared else "all"]
    assert ("each target gets a teacher of its own" in capsys.readouterr().out) is not is_shared


def test_a_config_that_cannot_be_read_runs_nothing(project, runs):
    (project / "configs").mkdir()
    for content in ("[", "[vars]\nx = 1\n", "[components]\nx = ${vars.x}\n"):
        (project / "configs" / "teacher.cfg").write_text(content, encoding="utf8")
        with pytest.raises(ProKDError, match=r"teacher\.cfg cannot be read as a config"):
            train_targets(project, ["de", "nl"])
    assert not runs


def test_a_run_that_fails_ends_it_and_says_what_is_done(project, runs):
    with pytest.raises(ProKDError, match="'xx' failed.* done: de"):
        train_targets(project, ["de", "xx", "nl"])
    assert [run[3] for run in runs] == ["de", "xx"]


def test_a_language_twice_or_no_project_runs_nothing(project, runs, tmp_path):
    with pytest.raises(ProKDError, match="de is named twice"):
        train_targets(project, ["de", "nl", "de"])
    with pytest.raises(ProKDError, match=r"has no project\.yml"):
        train_targets(tmp_path / "metrics", ["de"])
    assert not runs


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (["--vars.sed", "1"], 1, r"project\.yml has no variable 'sed'\. Did you mean --vars\.seed\?"),
        (["--vars.seed", "1", "--vars.bogus=2"], 1, r"no variable 'bogus'\. It has seed, gpu_id, target_lang\."),
        (["--bogus", "1"], 2, r"No such option '?--bogus"),
    ],
)
def test_a_mistyped_setting_runs_nothing(project, runs, settings, code, message):
    result = CliRunner().invoke(app, ["targets", "de", "nl", "--project", str(project), *settings])
    assert result.exit_code == code and not runs
    assert re.fullmatch(rf"Error: .*{message}.*\n", result.stderr), result.stderr


def test_options_of_a_run_are_no_variables(project, runs):
    train_targets(project, ["de"], ["--force", "--vars.gpu_id", "0"])
    assert runs[0][-3:] == ["--force", "--vars.gpu_id", "0"]


def test_for_machines_there_is_json_and_nothing_else(project, runs):
    result = CliRunner().invoke(app, ["targets", "de", "nl", "--project", str(project), "--json"])
    found = json.loads(result.stdout)
    assert {target: round(100 * roles["student"]["ents_f"]) for target, roles in found.items()} == {"de": 75, "nl": 79}
    assert len(runs) == 2


def test_what_follows_the_languages_goes_to_the_project(project, runs):
    result = CliRunner().invoke(app, ["targets", "de", "nl", "--project", str(project), "--vars.seed", "3"])
    assert result.exit_code == 0 and "+5.00" in result.output
    assert [run[-2:] for run in runs] == [["--vars.seed", "3"]] * 2
    result = CliRunner().invoke(app, ["targets", "--vars.seed", "3"])
    assert result.exit_code == 1 and "No language is named" in result.output
