"""A project made from a user's own files: whole, ready to run, and nothing of it where something is wrong."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from weasel.util import load_project_config, split_command

from spacy_prokd.arguments import parse_label_map, without_quotes
from spacy_prokd.errors import ProKDError
from spacy_prokd.project import Files, find_template, make_project, pair_targets

ROOT = Path(__file__).parents[1]
SENTENCE = {"text": "Ruth Baker flew to Oslo.", "spans": [{"start": 0, "end": 10, "label": "PER"}]}


@pytest.fixture
def files(tmp_path) -> list[Files]:
    """Labelled English without a dev file, plain Dutch."""
    source, target = tmp_path / "my_en.jsonl", tmp_path / "my nl.TXT"
    source.write_text("\n".join(json.dumps(SENTENCE) for _ in range(20)), encoding="utf8")
    target.write_text("Zij woont in Leiden.\nHij werkt bij Philips.\n", encoding="utf8")
    return [Files("en", source), Files("nl", target)]


def make(folder: Path, files: list[Files], **settings: object):
    return make_project(folder, files[0], files[1:], **settings)


def snapshot(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_project_has_all_that_it_needs(files, tmp_path):
    report = make(tmp_path / "made" / "project", files)
    project = tmp_path / "made" / "project"
    assert snapshot(project) == [
        ".gitignore",
        "configs/student.cfg",
        "configs/teacher.cfg",
        "data/en/train.jsonl",
        "data/nl/train.txt",
        "data/origins.json",
        "project.yml",
    ]
    assert (project / "data/en/train.jsonl").read_bytes() == files[0].train.read_bytes()
    for name in ("teacher.cfg", "student.cfg"):
        assert (project / "configs" / name).read_bytes() == (ROOT / "configs" / name).read_bytes()
    assert report.source.splits["dev"].docs == 2
    assert report.targets[0].splits["train"].docs == 2


def test_the_workflow_is_the_projects_own_with_other_variables(files, tmp_path):
    files[1] = files[1]._replace(lang="zh-Hans")
    make(tmp_path / "project", files, label_map={"PER": "PERSON", "X": None})
    made, ours = (
        load_project_config(tmp_path / "project", interpolate=False),
        load_project_config(ROOT, interpolate=False),
    )
    changed = {name for name in ours["vars"] if made["vars"][name] != ours["vars"][name]}
    assert changed == {"corpus_dir", "target_lang", "corpus_labels", "package_name"}
    assert made["vars"]["package_name"] == "prokd_zh_hans"
    assert made["vars"]["corpus_labels"] == "{PER: PERSON, X: null}"
    assert made["commands"] == ours["commands"]
    assert '  corpus_dir: "data"  # a folder with' in (tmp_path / "project" / "project.yml").read_text(encoding="utf8")


@pytest.mark.parametrize(
    "label",
    [
        "X",
        "art-music",
        "1",
        "true",
        "null",
        "Person's",
        'say "x"',
        "back\\slash",
        "$x",
        "${vars.seed}",
        "a: b, {c}",
        "größe 😀",
    ],
)
def test_the_workflow_gets_the_label_map_that_init_was_given(files, tmp_path, label):
    label_map = {"PER": label, label: None, "MISC": None}
    make(tmp_path / "project", files, label_map=label_map)
    made = {command["name"]: command for command in load_project_config(tmp_path / "project")["commands"]}
    *_others, option, text = split_command(made["convert"]["script"][0])
    assert option == "--labels" and parse_label_map(text) == label_map


def test_a_path_with_spaces_is_one_argument_of_the_workflows_commands():
    paths = {"vars.corpus_dir": "my corpus", "vars.encoder": "/my encoders/tiny"}
    scripts = [line for command in load_project_config(ROOT, overrides=paths)["commands"] for line in command["script"]]
    for path in paths.values():
        assert any(path in line for line in scripts)
        for line in scripts:
            assert line.count(path) == sum(path in argument for argument in split_command(line)), line


def test_the_workflows_commands_are_the_same_on_windows():
    paths = {"vars.corpus_dir": "my corpus", "vars.corpus_labels": "{LOCATION: LOC, MISC: null}"}
    scripts = [line for command in load_project_config(ROOT, overrides=paths)["commands"] for line in command["script"]]
    for line in scripts:  # Weasel splits them so
        assert [without_quotes(argument) for argument in shlex.split(line, posix=False)] == split_command(line)


def test_the_rules_of_a_language_cut_its_text_here_and_in_the_workflow(files, tmp_path):
    files[1].train.write_text("Dat is b.v. zo.\n", encoding="utf8")
    words = {}
    for lang in ("xx", "nl"):
        report = make(tmp_path / lang, files, pipeline_lang=lang)
        words[lang] = report.targets[0].splits["train"].words
        assert load_project_config(tmp_path / lang)["vars"]["pipeline_lang"] == lang
    assert words == {"xx": 6, "nl": 5}
    with pytest.raises(ProKDError, match="no language 'qq'"):
        make(tmp_path / "project", files, pipeline_lang="qq")
    assert not (tmp_path / "project").exists()


def test_all_files_find_their_place(files, tmp_path):
    dev, test, labelled = (tmp_path / f"{name}.jsonl" for name in ("more", "gold", "few"))
    for path in (dev, test, labelled):
        path.write_text(json.dumps(SENTENCE), encoding="utf8")
    source, target = files
    given = [source._replace(lang="fr", dev=dev), target._replace(test=test, labelled=labelled)]
    make(tmp_path / "project", given)
    assert snapshot(tmp_path / "project" / "data") == [
        "fr/dev.jsonl",
        "fr/train.jsonl",
        "nl/labelled.jsonl",
        "nl/test.jsonl",
        "nl/train.txt",
        "origins.json",
    ]


def test_several_targets_have_folders_of_their_own(files, tmp_path):
    swedish = tmp_path / "my_sv.txt"
    swedish.write_text("Hon bor i Lund.\n", encoding="utf8")
    report = make(tmp_path / "project", [*files, Files("sv", swedish)])
    assert snapshot(tmp_path / "project" / "data") == [
        *("en/train.jsonl", "nl/train.txt", "origins.json", "sv/train.txt")
    ]
    assert [(each.lang, each.splits["train"].docs) for each in report.targets] == [("nl", 2), ("sv", 1)]
    made = load_project_config(tmp_path / "project", interpolate=False)["vars"]
    assert (made["target_lang"], made["package_name"]) == ("nl", "prokd_${vars.target_lang}")


def test_what_is_given_for_each_target_is_paired_in_order():
    a, b, c, d = map(Path, "abcd")
    assert pair_targets(["nl", "sv"], [a, b], [c, d], []) == [Files("nl", a, test=c), Files("sv", b, test=d)]
    for train, test, labelled, message in [
        ([a], [], [], r"2 --target-lang \(nl, sv\) and 1 --target were given"),
        ([a, b], [c], [], "and 1 --target-test were given"),
        ([a, b], [], [a, b, c], "and 3 --target-labelled were given"),
    ]:
        with pytest.raises(ProKDError, match=message):
            pair_targets(["nl", "sv"], train, test, labelled)


def test_a_dry_run_writes_nothing(files, tmp_path):
    before = snapshot(tmp_path)
    assert make(tmp_path / "project", files, dry_run=True).targets[0].splits["train"].docs == 2
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({0: "gone.jsonl"}, r"no file .*gone\.jsonl"),
        ({0: "broken.jsonl"}, r"^\S+/broken\.jsonl:1: not JSON"),
        ({1: "latin.txt"}, r"latin\.txt:1: byte 1 .* not UTF-8.* latin\.txt > utf8\.txt"),
        ({0: "my nl.TXT"}, r"my nl\.TXT has fewer than 10 texts \(2\) and there is no dev file"),
        ({0: "."}, r"is a folder\. Name a file"),
        ({1: "words.docx"}, r"words\.docx is in an unknown format. Known are \.tsv"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(files, tmp_path, changed, message):
    (tmp_path / "broken.jsonl").write_text("{", encoding="utf8")
    (tmp_path / "latin.txt").write_bytes("Köln".encode("latin1"))
    (tmp_path / "words.docx").write_text("Leiden", encoding="utf8")
    for which, name in changed.items():
        files[which] = files[which]._replace(train=tmp_path / name)
    with pytest.raises(ProKDError, match=message):
        make(tmp_path / "project", files)
    assert not (tmp_path / "project").exists()


def test_a_folder_with_something_in_it_stays_as_it_is(files, tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "notes.txt").write_text("mine", encoding="utf8")
    with pytest.raises(ProKDError, match=r"project is there already and not empty"):
        make(tmp_path / "project", files)
    assert snapshot(tmp_path / "project") == ["notes.txt"]


def test_a_file_in_the_place_of_the_project_stays_and_nobody_is_told_to_delete_it(files, tmp_path):
    (tmp_path / "project").write_text("mine", encoding="utf8")
    with pytest.raises(ProKDError, match=r"project is a file\. A project is a folder: name a new one"):
        make(tmp_path / "project", files)
    assert (tmp_path / "project").read_text(encoding="utf8") == "mine"


def test_the_folder_where_one_is_stays(files, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ProKDError, match="a folder of its own"):
        make(Path("."), files)


def test_a_file_to_learn_from_is_none_to_score_by(files, tmp_path):
    both = tmp_path / "both.jsonl"
    both.write_text(json.dumps(SENTENCE), encoding="utf8")
    again = tmp_path / "made" / ".." / "both.jsonl"
    (tmp_path / "made").mkdir()
    files[1] = files[1]._replace(labelled=both, test=again)
    with pytest.raises(ProKDError, match=r"both\.jsonl is given to learn from \(--target-labelled\) and to score by"):
        make(tmp_path / "project", files)
    assert not (tmp_path / "project").exists()


def test_one_language_twice(files, tmp_path):
    source, target = files
    with pytest.raises(ProKDError, match="both 'en'"):
        make(tmp_path / "project", [source, target._replace(lang="en")])
    with pytest.raises(ProKDError, match="nl is named twice"):
        make(tmp_path / "project", [source, target, target])


@pytest.mark.parametrize("lang", ["../nl", "Javanese", "Dutch", "dutch", "NL", "", "n l", "qq", "qq-Latn"])
def test_a_language_is_a_code_and_no_path(files, tmp_path, lang):
    with pytest.raises(ProKDError, match="no code of a language"):
        make(tmp_path / "project", [files[0], files[1]._replace(lang=lang)])


@pytest.mark.parametrize(
    ("lang", "meant"),
    [
        *[("po", "pl"), ("cz", "cs"), ("sp", "es"), ("dk", "da"), ("jp", "ja"), ("gr", "el")],
        *[("Ukrainian", "uk"), ("DUTCH", "nl"), ("haitian creole", "ht")],
    ],
)
def test_who_writes_a_country_or_a_name_for_a_language_is_told_its_code(files, tmp_path, lang, meant):
    with pytest.raises(ProKDError, match=rf"'{lang}' is no code of a language\. Did you mean '{meant}'\?"):
        make(tmp_path / "project", [files[0], files[1]._replace(lang=lang)])


@pytest.mark.parametrize("lang", ["pl", "nb", "sh", "xx", "als", "zh-Hans"])
def test_any_language_may_be_one_of_a_project(files, tmp_path, lang):
    assert make(tmp_path / "project", [files[0], files[1]._replace(lang=lang)], dry_run=True).targets[0].lang == lang


def test_the_wheel_has_the_template(tmp_path):
    command = [sys.executable, "setup.py", "-q", "build", "-b", str(tmp_path), "bdist_wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        for name in ("project.yml", "configs/teacher.cfg", "configs/student.cfg"):
            assert wheel.read(f"spacy_prokd/template/{name}") == (find_template() / name).read_bytes()
