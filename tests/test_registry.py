"""A fresh interpreter needs no import: spaCy finds all that is registered through entry points."""

from __future__ import annotations

import json
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[1] / "setup.cfg"
REGISTRIES = {"thinc_schedules": "schedules"}  # others are named as in spaCy


def run(code: str, *args: str) -> str:
    """Run Python in an interpreter that has imported nothing of ours."""
    result = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def declared() -> dict[str, dict[str, str]]:
    parser = ConfigParser(delimiters=("=",))
    parser.optionxform = str
    parser.read(SETUP, encoding="utf8")
    groups = {}
    for group, lines in parser["options.entry_points"].items():
        pairs = (line.split("=") for line in lines.strip().splitlines())
        groups[group] = {name.strip(): value.strip() for name, value in pairs}
    return groups


def registered() -> list[tuple[str, str]]:
    return [(group, name) for group, names in declared().items() if group != "console_scripts" for name in names]


def test_what_is_installed_is_what_setup_cfg_declares():
    installed: dict[str, dict[str, str]] = {}
    for entry in distribution("spacy-prokd").entry_points:
        installed.setdefault(entry.group, {})[entry.name] = entry.value
    assert installed == declared(), "install again: python -m pip install -e ."


def test_every_entry_point_resolves_without_an_import():
    # one interpreter for each registry would take a minute; none of these resolves by importing another's module
    code = """
import json, sys, spacy
from spacy.util import registry
found = {}
for group, name in json.loads(sys.argv[1]):
    registry_name = {"thinc_schedules": "schedules"}.get(group, group.removeprefix("spacy_"))
    if registry_name == "factories":
        found[name] = spacy.blank("xx").has_factory(name) and spacy.Language.get_factory_meta(name).factory == name
    else:
        found[name] = callable(registry.get(registry_name, name))
print(json.dumps(found))
"""
    pairs = registered()
    assert {group for group, _name in pairs} >= {
        "spacy_factories",
        "spacy_architectures",
        "spacy_misc",
        "spacy_readers",
    }
    found = json.loads(run(code, json.dumps(pairs)))
    assert found == {name: True for _group, name in pairs}


@pytest.mark.parametrize("group, name", registered(), ids=lambda value: value)
def test_an_entry_point_names_what_registers_itself_under_it(group, name):
    """Else the name would mean one thing before our module is imported and another after."""
    from spacy.language import Language
    from spacy.util import registry

    (entry,) = [e for e in distribution("spacy-prokd").entry_points if e.group == group and e.name == name]
    loaded = entry.load()
    if group == "spacy_factories":
        assert Language.get_factory_meta(name).factory == name
    else:
        assert getattr(registry, REGISTRIES.get(group, group.removeprefix("spacy_"))).get(name) is loaded


def test_importing_the_package_is_cheap():
    heavy = run("import sys, spacy_prokd; print([m for m in ('torch', 'spacy', 'transformers') if m in sys.modules])")
    assert heavy.strip() == "[]"


def test_help_needs_no_torch():
    code = """
import sys
sys.argv = ["spacy-prokd", "--help"]
from spacy_prokd.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
assert not {"torch", "spacy", "transformers"} & set(sys.modules), "help imports what is slow"
"""
    shown = run(code)
    assert all(
        command in shown for command in ("assets", "encoder", "convert", "label", "evaluate", "package", "report")
    )


def test_the_factory_says_what_it_assigns_and_how_it_is_scored():
    import spacy

    meta = spacy.Language.get_factory_meta("prokd_ner")
    assert {"doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"} <= set(meta.assigns)
    assert meta.default_score_weights["ents_f"] == 1.0
