"""What the documentation has people type is run: the commands of each page, from top to bottom, in one shell."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
import spacy
from conftest import TARGET
from pages import PAGES, ROOT, blocks, run_python
from spacy.tokens import DocBin

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="commands run in forks of a process that has imported torch"),
    pytest.mark.skipif(shutil.which("bash") is None, reason="commands run in bash"),
]
NOT_RUN = {  # and why
    "python -m pytest": "runs this",
    "python -m spacy_prokd demo": "ends with Ctrl-C alone; tests/test_browser.py looks at the page",
    "python -m spacy benchmark speed": "tags 12,800 texts, however few there are",
    "python -m spacy project run all . --vars.gpu_id 0": "needs a GPU",
    "python benchmarks/": "takes hours, on corpora that are not here; tests/test_benchmarks.py does the same with less",
    "python -m spacy_prokd convert ../shared/data/wikiann": "reads a corpus that is not here",
    "cp -r ../shared/data/conll": "copies a corpus that is not here",
    "cp ../shared/data/conll": "copies a corpus that is not here",
    "python -m spacy_prokd label corpus/ar/": "reads a corpus that is not here",
    "python -m spacy_prokd label corpus/de/de/train.spacy training/de/soft TEACHER": "TEACHER is any of several",
    "python -m spacy_prokd evaluate TEACHER": "TEACHER is any of several",
}
FIRST, TUTORIAL = "docs/index.md", "docs/tutorial.md"
MADE = {  # files that a page speaks of, of which its commands make the last
    "README.md": [
        "packages/xx_prokd_de-0.1.0/dist/*.whl",
        "reports/de.html",
        "my-project/reports/nl.html",
        "reports/nl.html",
    ],
    FIRST: re.findall(r"^\| `([\w/.]+)`", PAGES[FIRST], re.MULTILINE),
    TUTORIAL: [
        "my-project/reports/nl.html",
        "my-project/wheels/spacy_prokd-*.whl",
        "my-project/wheels/xx_prokd_nl-*.whl",
    ],
    "docs/howto/commands.md": [
        "scores.json",
        "tagged.spacy",
        "trained/model-last",
        "assembled/prokd_ner",
        "teacher.cfg",
    ],
    "docs/howto/pipelines.md": ["assembled/prokd_ner", "training/textcat/model-last/textcat"],
    "docs/howto/scores.md": ["packages/xx_prokd_de-0.1.1/dist/*.whl", "doubtful.jsonl"],
    "docs/howto/texts.md": ["packages/de_prokd-0.1.0/dist/*.whl", "corpus/rules/de/test.spacy"],
    "docs/howto/training.md": [
        "encoders/bert-base-multilingual-cased",
        "training/nl_from_de/teacher/model-last",
        *(f"my-project/packages/xx_prokd_{target}-0.1.0/dist/*.whl" for target in ("nl", "sv", "nl_sv")),
    ],
}
SAID = {  # what a page says is printed
    TUTORIAL: r"^\(.*\)$",
    "docs/howto/commands.md": "Config is valid",
    "docs/howto/scores.md": "^Temperature of the scores",
    "docs/howto/texts.md": "misaligned",
    "docs/results.md": r"^\d+\.\d+$",
}


def list_commands(page: str) -> str:
    """Those of blocks without a language, those whose output is shown, and those that are cells of a table."""
    cells = re.findall(r"\| `(python -m [^`]+)` \|$", PAGES[page], re.MULTILINE)
    shown = [block.text.partition("\n")[0].removeprefix("$ ") for block in blocks(page, "console")]
    return "\n".join([*cells, *shown, *(block.text for block in blocks(page, ""))])


COMMANDS = {page: commands for page in PAGES if page != "docs/cli.md" and (commands := list_commands(page))}


class Walk(NamedTuple):
    """Where a page was followed, with folders for the checkout and for what pip installs, and what was printed."""

    root: Path
    output: str


@pytest.fixture(scope="module")
def environment(tiny_encoder) -> Iterator[dict[str, str]]:
    """Of a shell whose `python` is that of warm_python.py, and whose pip asks no index for anything."""
    program = Path(__file__).with_name("warm_python.py")
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        python = Path(folder) / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -SE "{program}" "$0" "$@"\n', encoding="utf8")
        python.chmod(0o755)
        listener.bind(str(python.with_name("socket")))
        listener.listen()
        settings = ["--training.max_steps=2", "--training.eval_frequency=1"]
        command = [sys.executable, str(program), "serve", str(listener.fileno()), str(tiny_encoder), *settings]
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # a process with threads is not one to fork
        server = subprocess.Popen(command, pass_fds=[listener.fileno()], env=alone, start_new_session=True)
        listener.close()
        pip = {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "NO_DEPS": "1", "NO_BUILD_ISOLATION": "0"}  # "0" is for "no"
        yield {
            **alone,
            **{f"PIP_{name}": value for name, value in pip.items()},
            "PATH": f"{folder}:{os.environ['PATH']}",
        }
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture(scope="module")
def follow(environment, tiny_encoder, tmp_path_factory) -> Callable[[str], Walk]:
    """Do what a page says, once. All but the first ones begin where docs/index.md ends."""

    @cache
    def follow(page: str) -> Walk:
        root = tmp_path_factory.mktemp("page")
        folder, installed = root / "checkout", root / "installed"
        if page in ("README.md", FIRST, TUTORIAL):
            check_out(folder)
        else:
            shutil.copytree(follow(FIRST).root, root, dirs_exist_ok=True)
        lay_out(page, folder, tiny_encoder)
        commands = COMMANDS[page].replace("path/to/spacy-prokd", str(folder))
        for command in NOT_RUN:
            commands = commands.replace(command, f": {command}")  # the shell's way to do nothing
        result = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", commands],
            cwd=folder,
            env={**environment, "PIP_TARGET": str(installed), "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf8",
            check=False,
        )
        assert result.returncode == 0, f"{page}: the last command failed ({result.returncode})\n{result.stdout[-9000:]}"
        return Walk(root, result.stdout)

    return follow


def check_out(folder: Path) -> None:
    """Copy this checkout, without what is for its developers, and with forty lines of each file of the sample."""
    shutil.copytree(ROOT / "spacy_prokd", folder / "spacy_prokd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "configs", folder / "configs")
    for name in ("project.yml", "setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for path in (ROOT / "assets").glob("sample/*/*"):
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf8").splitlines(keepends=True)
        copy.write_text("".join(lines[40:80]), encoding="utf8")


def lay_out(page: str, folder: Path, encoder: Path) -> None:
    """Write what pages take for granted: the reader's texts, an encoder of the hub (as a folder, which comes before the
    hub), and the configs of one page, under the name that the command below each has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_python(TUTORIAL)  # writes my_en.jsonl and my_nl.txt
    for name in ("my_de.txt", "my_sv.txt", "texts.txt"):
        (folder / name).write_text("\n".join(TARGET), encoding="utf8")
    if page == "README.md":
        for name, text in {"en/train.jsonl": "my_en.jsonl", "nl/train.txt": "my_nl.txt"}.items():
            (folder / "my_corpus" / name).parent.mkdir(parents=True)
            shutil.copy(folder / text, folder / "my_corpus" / name)
    shutil.copytree(encoder, folder / "bert-base-multilingual-cased", dirs_exist_ok=True)
    for config, call in pairwise(blocks("docs/howto/pipelines.md", "ini", "")):
        if config.language == "ini":
            (folder / re.findall(r"\S+\.cfg", call.text)[0]).write_text(config.text, encoding="utf8")
    doc = spacy.blank("xx")("Ruth Baker reist morgen naar Antwerpen.")
    doc.cats = {"TRAVEL": 1.0, "OTHER": 0.0}
    DocBin(docs=[doc]).to_disk(folder / "cats.spacy")


@pytest.mark.parametrize("page", COMMANDS)
def test_commands_run(page, follow):
    walk = follow(page)
    missing = [path for path in MADE.get(page, []) if not any((walk.root / "checkout").glob(path))]
    assert not missing, walk.output[-9000:]
    assert re.search(SAID.get(page, ""), walk.output, re.MULTILINE), walk.output[-9000:]


def test_what_is_not_run_is_on_a_page():
    assert [command for command in NOT_RUN if not any(command in commands for commands in COMMANDS.values())] == []


def test_extras_of_pip_are_those_of_setup_cfg():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf8")
    named = re.findall(r"pip install [^`\n]*?\[([\w,]+)\]", "\n".join(PAGES.values()))
    assert len(named) > 5
    assert {extra for extras in named for extra in extras.split(",")} <= set(setup["options.extras_require"])
