"""The documentation: its Python runs, its commands exist, its links lead somewhere, its site builds."""

from __future__ import annotations

import ast
import configparser
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import spacy
import srsly
from conftest import SOURCE, TARGET, initialize, learn, make_docs, make_nlp, to_examples
from pages import PAGES, ROOT, blocks, run_python
from spacy.cli._util import app as spacy_app
from spacy.tokens import Doc, DocBin
from thinc.api import Config
from typer.main import get_command
from typer.testing import CliRunner

from spacy_prokd.cli import app

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PACKAGE = ROOT / "spacy_prokd"
CONFIGS = {f"configs/{path.name}": Config().from_disk(path, interpolate=False) for path in ROOT.glob("configs/*.cfg")}
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def pages_with(*languages: str) -> list[str]:
    return [page for page in PAGES if blocks(page, *languages)]


def without_blocks(page: str) -> str:
    return re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)


# --- Python


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory, tiny_transformer, tiny_encoder) -> Path:
    """What a run of the workflow leaves in `run`, with a tiny pipeline as teacher, student and installed package, and
    stand-ins of a sentence or two for corpora that are not in this repository."""
    root = tmp_path_factory.mktemp("left_behind")
    folder = root / "run"
    nlp = make_nlp(tiny_transformer)
    docs = make_docs(nlp.vocab, SOURCE)
    initialize(nlp, to_examples(docs), tiny_encoder)
    learn(nlp, to_examples(docs), steps=40)
    for name in ("xx_prokd_de", "training/de/teacher/model-last", "training/de/student/model-last"):
        (folder / name).mkdir(parents=True)
        nlp.to_disk(folder / name)
    shutil.copytree(tiny_encoder, folder / "encoders" / "multilingual-e5-small")
    shutil.copytree(ROOT / "benchmarks" / "results", folder / "benchmarks" / "results")
    plain = [Doc(nlp.vocab, words=text.split()) for text in TARGET]
    chinese = [Doc(nlp.vocab, words=list("科·比-布、莱"), ents=["B-PER", *["I-PER"] * 6])]
    corpora = {"de/en/train": docs, "de/en/dev": docs, "de/de/train": plain, "de/de/dev": docs}
    for name, content in {**corpora, "ar/en/train": docs, "zh/zh/dev": chinese}.items():
        path = folder / "corpus" / f"{name}.spacy"
        path.parent.mkdir(parents=True, exist_ok=True)
        DocBin(docs=content).to_disk(path)
    for name in ("conll/de", "conll/es", "conll/en", "wikiann/ar", "wikiann/zh"):
        path = root / "shared" / "data" / name / "train.tsv"
        path.parent.mkdir(parents=True)
        path.write_text("Berlin\tB-LOC\n\nRain\tO\n", encoding="utf8")
    return root


@pytest.fixture
def workspace(left_behind, tmp_path, monkeypatch) -> Path:
    """A copy of `left_behind`; one is in `run`."""
    shutil.copytree(left_behind, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_runs(page, workspace):
    run_python(page)


def test_the_notebook_runs(workspace, capsys):
    cells = json.loads((ROOT / "docs" / "first_steps.ipynb").read_text(encoding="utf8"))["cells"]
    names: dict[str, Any] = {}
    for i, cell in enumerate(cell for cell in cells if cell["cell_type"] == "code"):
        assert not cell["outputs"], "an output would be stale one day"
        exec(compile("".join(cell["source"]), f"cell {i}", "exec"), names)
    assert "Ruth Baker PER" in capsys.readouterr().out
    assert names["scores"]["ents_f"] == 1.0


@pytest.mark.parametrize("page", [page for page in pages_with("console") if page != "docs/cli.md"])
def test_printed_output_is_what_is_printed(page, workspace, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run_python(page)
    for block in blocks(page, "console"):
        command, _newline, expected = block.text.partition("\n")
        arguments = shlex.split(command.removeprefix("$ python -m spacy_prokd "))
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert [line.rstrip() for line in result.output.splitlines()] == expected.splitlines()


# --- commands


class Call(NamedTuple):
    """A command of spaCy's or ours, as a page has it."""

    program: str
    arguments: list[str]
    whole: bool  # not only named in a sentence

    def __str__(self) -> str:
        return " ".join([self.program, *self.arguments])


def parse_call(line: str, whole: bool) -> Call | None:
    words = shlex.split(line.removeprefix("$ "), comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    if words[:1] == ["spacy-prokd"]:
        words = ["python", "-m", "spacy_prokd", *words[1:]]
    if words[:2] != ["python", "-m"] or words[2] not in ("spacy", "spacy_prokd"):
        return None
    is_spacys = words[2] == "spacy" or words[3] == "train"  # ours takes what spaCy's takes
    return Call("spacy" if is_spacys else "spacy_prokd", words[3:], whole)


def calls(page: str) -> Iterator[Call]:
    if page == "docs/cli.md":  # usage, not calls
        return
    fenced = [(line, True) for block in blocks(page, "", "console") for line in block.text.splitlines()]
    inline = [(code, False) for code in re.findall(r"`((?:python -m spacy|spacy-prokd )[^`]+)`", without_blocks(page))]
    for text, whole in fenced + inline:
        if whole and not text.startswith(("python", "spacy-prokd", "$ ", "SPACY_")):
            continue
        for line in text.split(" && "):
            if call := parse_call(line, whole):
                yield call


def find_command(call: Call) -> tuple[Any, list[str]]:
    """The command and its arguments."""
    command, arguments = get_command(spacy_app if call.program == "spacy" else app), list(call.arguments)
    while hasattr(command, "commands") and not (len(arguments) == 1 and arguments[0].startswith("--")):
        assert arguments and arguments[0] in command.commands, f"{call}: no such command"
        command = command.commands[arguments.pop(0)]
    return command, arguments


def check_setting(call: Call, arguments: list[str], name: str) -> None:
    """An option that is a setting of a config or a variable of project.yml."""
    if name.startswith("vars."):
        known = srsly.read_yaml(ROOT / "project.yml")["vars"]
        assert name.removeprefix("vars.") in known, f"{call}: project.yml has no {name}"
    elif arguments[0] in CONFIGS:
        section: Any = CONFIGS[arguments[0]]
        for part in name.split(".")[:-1]:
            assert part in section, f"{call}: {arguments[0]} has no section of {name}"
            section = section[part]


@pytest.mark.parametrize("page", [page for page in PAGES if list(calls(page))])
def test_commands_exist(page):
    for call in calls(page):
        command, arguments = find_command(call)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        known.add("--help")
        for option in (argument[2:] for argument in arguments if argument.startswith("--")):
            if option.startswith("vars.") or ("." in option and call.program == "spacy"):
                check_setting(call, arguments, option)
            else:
                assert f"--{option}" in known, f"{call}: no option --{option}"
        if call.whole and call.program == "spacy_prokd":
            command.make_context(command.name, arguments)  # raises if an argument is missing or of another type


def test_the_command_line_has_a_page_that_is_up_to_date():
    again = "in docs/: python -m typer spacy_prokd.cli utils docs --name spacy-prokd --output cli.md"
    sections = re.split(r"^## `spacy-prokd (\w+)`$", PAGES["docs/cli.md"].replace("&#x27;", "'"), flags=re.MULTILINE)
    described = dict(zip(sections[1::2], sections[2::2]))
    commands = get_command(app).commands
    assert list(described) == list(commands), again
    for name, command in commands.items():
        expected = {parameter.opts[0] for parameter in command.params} | {"--help"}
        found = set(re.findall(r"^\* `([\w-]+)", described[name], re.MULTILINE))
        assert found == expected, again
        assert all((parameter.help or "").split("<")[0] in described[name] for parameter in command.params), again


# --- configs


@pytest.mark.parametrize("page", pages_with("ini"))
def test_configs_name_what_is_registered(page):
    for block in blocks(page, "ini"):
        sections = re.findall(r"^\[(.+)\]$", block.text, re.MULTILINE)
        around = {name.rsplit(".", n)[0] for name in sections for n in range(1, name.count(".") + 1)} - set(sections)
        text = "\n".join([*(f"[{name}]" for name in sorted(around)), block.text])
        check_section(Config().from_str(text, interpolate=False))


def check_section(section: dict[str, Any]) -> None:
    for name, value in section.items():
        if isinstance(value, dict):
            check_section(value)
        elif name.startswith("@"):
            settings = set(section) - {name}
            assert settings <= set(inspect.signature(spacy.registry.get(name[1:], value)).parameters), value
        elif name == "factory":
            assert spacy.blank("xx").has_factory(value), value


# --- reference


def test_all_that_is_registered_is_in_the_reference():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf8")
    lines = "\n".join(setup["options.entry_points"].values()).splitlines()
    registered = [line.partition(" =")[0] for line in lines if ".v1 =" in line or line.startswith("prokd_ner")]
    headings = HEADING.findall(PAGES["docs/api.md"])
    assert len(registered) > 10
    assert not set(registered) - set(headings)


def test_the_method_names_code_that_is_there():
    named = re.findall(r"`([\w/]+\.py)(?:: ([\w., ]+))?`", PAGES["docs/method.md"])
    assert len(named) > 10
    for path, names in named:
        code = (PACKAGE / path).read_text(encoding="utf8")
        for name in filter(None, re.split(r", |\.", names)):
            assert re.search(rf"^\s*(def|class) {name}\b", code, re.MULTILINE), f"{path} has no {name}"


def messages() -> list[str]:
    """All strings of the package; what an f-string fills in is "…"."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_messages_are_those_of_the_code():
    quoted = [heading.strip("`") for heading in HEADING.findall(PAGES["docs/troubleshooting.md"]) if "`" in heading]
    assert len(quoted) >= 12
    known = messages()
    for message in quoted:
        assert any(message.strip("… ") in text for text in known), f"no code says: {message}"


# --- links


def anchors(page: str) -> set[str]:
    """Those that GitHub and the site give the headings of a page."""
    titles = [re.sub(r"\[(.+?)\]\(.+?\)", r"\1", title) for title in HEADING.findall(without_blocks(page))]
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]+`", "", without_blocks(page))):
        if re.match(r"\w+:", link):
            continue
        path, _hash, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(str(target.resolve().relative_to(ROOT))), f"{page}: {link}"


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    reference = (tmp_path / "site" / "api.html").read_text(encoding="utf8")
    assert "RETURNS (" not in reference and "Eq. 12" in reference, "docstrings are cut into sections"
    for page in (tmp_path / "site").rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|link|img|iframe)[^>]* (?:src|href)=\"?(https?:[^\" >]+)", page.read_text(encoding="utf8")
        )
        assert not fetched, f"{page.name} fetches {fetched}"
