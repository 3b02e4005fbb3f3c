"""The workflow of project.yml, run whole with few steps, and what of it reruns when something changes."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import spacy
import srsly
from conftest import LABELS, SOURCE, TARGET, read_tagged
from spacy.tokens import DocBin
from weasel.cli.run import check_rerun, project_run
from weasel.util import load_project_config

HERE = Path(__file__).parents[1]
FEW_STEPS = " ".join(
    (
        "--training.max_steps=2",
        "--training.eval_frequency=1",
        "--corpora.train.min_examples=0",
        "--corpora.dev.limit=0",
    )
)


def columns(texts: list[str]) -> str:
    return "\n\n".join("\n".join(f"{w}\t{t}" for w, t in zip(*read_tagged(text))) for text in texts) + "\n"


def make_corpus(folder: Path) -> None:
    for lang in ("en", "de", "es"):
        (folder / lang).mkdir(parents=True)
    for split in ("train", "dev"):
        (folder / "en" / f"{split}.tsv").write_text(columns(SOURCE), encoding="utf8")
    for lang in ("de", "es"):
        (folder / lang / "train.txt").write_text("\n".join(TARGET), encoding="utf8")
        (folder / lang / "test.tsv").write_text(columns(SOURCE[:4]), encoding="utf8")


class Project:
    """A checkout of its own: project.yml, configs, a corpus and an encoder."""

    def __init__(self, root: Path, encoder: Path) -> None:
        self.root = root
        shutil.copy(HERE / "project.yml", root)
        shutil.copytree(HERE / "configs", root / "configs")
        make_corpus(root / "assets" / "tiny")
        self.vars = {"vars.corpus_dir": "assets/tiny", "vars.encoder": str(encoder)}

    def run(self, name: str, **changed: object) -> None:
        project_run(self.root, name, overrides=self._overrides(changed))

    def commands(self, **changed: object) -> dict[str, dict]:
        config = load_project_config(self.root, overrides=self._overrides(changed))
        commands = {command["name"]: command for command in config["commands"]}
        return {name: commands[name] for name in config["workflows"]["all"]}

    def outputs(self, **changed: object) -> dict[str, Path]:
        named = [path for command in self.commands(**changed).values() for path in command.get("outputs", [])]
        return {path: self.root / path for path in named}

    def due(self, **changed: object) -> set[str]:
        """The commands that a run would not skip now."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            return {name for name, command in self.commands(**changed).items() if check_rerun(self.root, command)}

    def state(self) -> dict[str, int]:
        return {
            str(file.relative_to(self.root)): file.stat().st_mtime_ns
            for output in self.outputs().values()
            for file in ([output] if output.is_file() else output.rglob("*"))
        }

    def _overrides(self, changed: dict[str, object]) -> dict[str, object]:
        return {**self.vars, **{f"vars.{name}": value for name, value in changed.items()}}


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_encoder) -> Iterator[Project]:
    """After one run of the whole workflow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPACY_CONFIG_OVERRIDES", FEW_STEPS)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        project = Project(tmp_path_factory.mktemp("project"), tiny_encoder)
        project.run("all")
        yield project


def test_the_workflow_is_all_commands_in_an_order_that_works(project):
    config = load_project_config(project.root)
    assert (
        config["workflows"]["all"]
        == [command["name"] for command in config["commands"]]
        == [
            "assets",
            "encoder",
            "convert",
            "teacher",
            "label",
            "student",
            "evaluate",
            "package",
            "report",
        ]
    )
    made: list[str] = []
    for command in project.commands().values():
        for dep in command.get("deps", []):
            is_given = dep.startswith(("assets/", "configs/"))
            assert is_given or any(dep == path or dep.startswith(f"{path}/") for path in made), f"nothing makes {dep}"
        made += command.get("outputs", [])


def test_every_declared_output_is_there(project):
    for name, path in project.outputs().items():
        assert path.exists(), f"{name} is declared, but was not written"
        assert any(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*"))), f"{name} is empty"


def test_the_outputs_are_what_they_should_be(project):
    root = project.root
    nlp = spacy.load(root / "training" / "de" / "student" / "model-last")
    assert nlp.get_pipe("prokd_ner").labels == tuple(LABELS)
    assert json.loads((root / "training" / "de" / "soft" / "labels.json").read_text()) == LABELS
    for role in ("teacher", "student"):
        metrics = json.loads((root / "metrics" / "de" / f"{role}.json").read_text(encoding="utf8"))
        assert metrics["data"] == "de test" and metrics["sentences"] == 4 and metrics["encoder"] == "tiny-bert"
        log = list(srsly.read_jsonl(root / "training" / "de" / role / "log.jsonl"))
        assert [line["step"] for line in log] == [0, 1, 2]
    assert "prokd_ner.cross_entropy" in next(iter(srsly.read_jsonl(root / "training/de/teacher/log.jsonl")))["losses"]
    assert "prokd_ner.distillation" in next(iter(srsly.read_jsonl(root / "training/de/student/log.jsonl")))["losses"]
    (wheel,) = (root / "packages" / "xx_prokd_de-0.1.0" / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = b"".join(archive.read(name) for name in archive.namelist())
    assert str(root).encode() not in packed and project.vars["vars.encoder"].encode() not in packed


def test_a_second_run_does_nothing(project, capfd):
    assert project.due() == set()
    before = project.state()
    capfd.readouterr()
    project.run("all")
    out = capfd.readouterr().out
    assert all(f"Skipping '{name}': nothing changed" in out for name in project.commands())
    assert project.state() == before


@pytest.mark.parametrize(
    "variable, value, due",
    [
        ("seed", 1, {"teacher", "student"}),
        ("corpus_labels", "{ORG: null}", {"convert"}),
        ("pipeline_lang", "de", {"convert", "student", "package"}),
        ("student_layers", 2, {"student"}),
        ("package_version", "0.2.0", {"package"}),
        ("vocabulary_size", 100, {"package"}),
        ("encoder", "multilingual-e5-small", {"encoder", "teacher", "student", "package"}),
        ("more_teachers", "training/es/teacher/model-last", {"label"}),
        ("teacher", "es", {"teacher", "label", "student", "evaluate", "report"}),
    ],
)
def test_a_changed_variable_reruns_what_names_it(project, variable, value, due):
    assert project.due(**{variable: value}) == due


@pytest.mark.parametrize(
    "file, due",
    [
        ("assets/tiny/de/train.txt", {"assets", "convert"}),
        ("assets/tiny/en/train.tsv", {"assets", "convert"}),
        ("configs/teacher.cfg", {"teacher"}),
        ("configs/student.cfg", {"student"}),
        ("corpus/de/en/train.spacy", {"convert", "teacher", "student"}),
        ("corpus/de/en/dev.spacy", {"convert", "teacher", "student", "evaluate"}),
        ("corpus/de/de/train.spacy", {"convert", "label", "evaluate", "package"}),
        ("training/de/teacher/model-last/prokd_ner/model", {"teacher", "label", "student", "evaluate"}),
        ("training/de/soft/00000.spacy", {"label", "student"}),
        ("training/de/student/model-last/prokd_ner/model", {"student", "evaluate", "package"}),
        ("metrics/de/student.json", {"evaluate", "package", "report"}),
    ],
)
def test_a_changed_file_reruns_what_reads_it_and_what_writes_it(project, file, due):
    path = project.root / file
    content = path.read_bytes()
    try:
        path.write_bytes(content + b"\n")
        assert project.due() == due
    finally:
        path.write_bytes(content)


def test_a_lost_output_is_made_again(project):
    report = project.root / "reports" / "de.html"
    content = report.read_bytes()
    report.unlink()
    assert project.due() == {"report"}
    project.run("report")
    assert report.read_bytes()[:100] == content[:100]


def test_another_target_writes_elsewhere_and_takes_the_first_ones_teacher(project):
    shared = {path for path in project.outputs() if path in project.outputs(target_lang="es")}
    assert all(path.startswith("encoders/") for path in shared), shared
    before = project.state()
    lock = (project.root / "project.lock").read_bytes()
    own_rules = {"target_lang": "es", "teacher": "de", "pipeline_lang": "${vars.target_lang}"}
    project.run("another", **own_rules)
    made = project.outputs(**own_rules)
    assert all(path.exists() for path in made.values())
    assert "packages/es_prokd_es-0.1.0" in made
    langs = [spacy.load(project.root / f"training/{path}/model-last").lang for path in ("de/teacher", "es/student")]
    assert langs == ["xx", "es"]
    assert "training/de/teacher/model-last" in made and not (project.root / "training" / "es" / "teacher").exists()
    assert project.state() == before, "the teacher and all else of the first target stay as they are"
    (project.root / "project.lock").write_bytes(lock)


def test_more_teachers_label_beside_the_first(project, tmp_path):
    """And nothing is named where there are none."""
    lock, teacher = (project.root / "project.lock").read_bytes(), "training/de/teacher/model-last"
    shutil.copytree(project.root / "training/de/soft", tmp_path / "soft")
    project.run("label", more_teachers=f"{teacher} {teacher}")
    settings = json.loads((project.root / "training/de/soft/.settings.json").read_text(encoding="utf8"))
    assert len(settings["teachers"]) == 3
    shutil.rmtree(project.root / "training/de/soft")
    shutil.copytree(tmp_path / "soft", project.root / "training/de/soft")
    (project.root / "project.lock").write_bytes(lock)


def test_two_targets_together_are_one_student_scored_on_each(project):
    lock = (project.root / "project.lock").read_bytes()
    both = {"target_lang": "de+es", "teacher": "de", "package_name": "prokd_de_es"}
    project.run("another", **both)
    made = project.outputs(**both)
    assert all(path.exists() for path in made.values()) and not (project.root / "training/de+es/teacher").exists()
    assert {"training/de/teacher/model-last", "packages/xx_prokd_de_es-0.1.0"} <= set(made)
    metrics = json.loads((project.root / "metrics/de+es/student.json").read_text(encoding="utf8"))
    assert {name: part["sentences"] for name, part in metrics["parts"].items()} == {"de test": 4, "es test": 4}
    soft = DocBin().from_disk(project.root / "training/de+es/soft/00000.spacy")
    texts = [doc.text.strip() for doc in soft.get_docs(spacy.blank("xx").vocab)]
    assert texts == [text for text in TARGET for _lang in ("de", "es")], "each text is there twice"
    test = project.root / "corpus/de+es/de+es/es/test.spacy"
    test.write_bytes(test.read_bytes() + b"\n")
    assert "evaluate" in project.due(**both), "a change of what is scored counts"
    (project.root / "project.lock").write_bytes(lock)


def test_a_package_name_of_ones_own(project):
    outputs = project.outputs(package_name="names_de", package_version="1.0.0")
    assert "packages/xx_names_de-1.0.0" in outputs


def test_a_missing_language_stops_the_run(project, capfd):
    lock = (project.root / "project.lock").read_bytes()
    with pytest.raises(SystemExit) as stop:
        project.run("all", target_lang="fr")
    assert stop.value.code not in (0, None)
    assert "no folder 'fr'" in capfd.readouterr().err
    assert not (project.root / "corpus" / "fr").exists()
    assert (project.root / "project.lock").read_bytes() == lock
