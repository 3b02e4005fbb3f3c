"""The matrix of experiments: what runs, that nothing runs twice, and the sums behind the table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from test_project import FEW_STEPS, make_corpus
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("benchmarks_folder")

MATRIX = """
[corpora.tiny]
folder = "{folder}"
targets = ["de", "es"]

[variants.zero-shot]
student = false

[variants.prokd]

[variants.aligned]
teacher."components.prokd_ner.objective.alignment_weight" = 0.1

[variants.three]
teachers = 3

[variants.rounds]
rounds = 2

[[run]]
variants = {variants}
targets = ["tiny/de", "tiny/es"]
seeds = [0, 1]
"""


def write_matrix(path: Path, folder: str = "corpus", variants: tuple[str, ...] = ("zero-shot", "prokd")) -> Path:
    path.write_text(MATRIX.format(folder=folder, variants=json.dumps(variants)), encoding="utf8")
    return path


def steps_of(path: Path, work: Path) -> dict[tuple, set]:
    from experiment_matrix import cells, read_matrix
    from experiment_steps import StepMaker

    maker = StepMaker(work)
    return {
        (cell.variant_name, cell.target, cell.seed): set(maker.last_step(cell).before())
        for cell in cells(read_matrix(path))
    }


def named(steps: set, name: str) -> set:
    return {step for step in steps if step.name == name}


def test_each_cell_is_there_once_seed_by_seed(tmp_path: Path) -> None:
    path = write_matrix(tmp_path / "matrix.toml")
    path.write_text(path.read_text() + '[[run]]\nvariants = ["prokd"]\ntargets = ["tiny/de"]\nseeds = [0, 2]\n')
    assert list(steps_of(path, tmp_path)) == [
        (variant, target, seed) for seed in (0, 1) for variant in ("zero-shot", "prokd") for target in ("de", "es")
    ] + [("prokd", "de", 2)]


def test_settings_of_the_whole_file_are_those_of_each_variant_that_does_not_say_otherwise(tmp_path: Path) -> None:
    from experiment_matrix import Settings, Variant

    common = Settings(teacher={"a": 1, "b": 1}, student={"c": 1})
    assert Variant(teacher={"b": 2}).on_top_of(common) == Variant(teacher={"a": 1, "b": 2}, student={"c": 1})
    assert Variant(student=False, rounds=2).on_top_of(common).student is False
    path = write_matrix(tmp_path / "matrix.toml")
    path.write_text(
        '[settings.teacher]\n"corpora.train.limit" = 9\n' + path.read_text(encoding="utf8"), encoding="utf8"
    )
    teachers = named(set().union(*steps_of(path, tmp_path).values()), "teacher")
    assert teachers and all("--corpora.train.limit" in step.commands[0] for step in teachers)


def test_a_teacher_is_shared_unless_it_is_aligned(tmp_path: Path) -> None:
    found = steps_of(write_matrix(tmp_path / "m.toml", variants=("zero-shot", "prokd", "aligned", "three")), tmp_path)
    teachers = {cell: named(steps, "teacher") for cell, steps in found.items()}
    assert teachers["zero-shot", "de", 0] == teachers["prokd", "es", 0]
    assert len(teachers["prokd", "de", 0]) == 1
    assert not teachers["prokd", "de", 0] & teachers["prokd", "de", 1]
    assert not teachers["aligned", "de", 0] & teachers["aligned", "es", 0]
    (aligned,) = teachers["aligned", "es", 0]
    (convert,) = named(set(aligned.needs), "convert")
    assert f"{convert.folder}/es/train.spacy" == aligned.commands[0][aligned.commands[0].index("--paths.target") + 1]
    three = teachers["three", "de", 0]
    assert len(three) == 3 and teachers["prokd", "de", 0] < three
    (label,) = named(found["three", "de", 0], "label")
    assert set(label.needs) == three | named(found["three", "de", 0], "convert")
    assert all(str(teacher.folder / "model-last") in label.commands[0] for teacher in three)


def test_a_teacher_of_another_source_labels_too(tmp_path: Path) -> None:
    path = write_matrix(tmp_path / "m.toml", variants=("prokd", "two sources"))
    path.write_text(path.read_text().replace("[[run]]", '[variants."two sources"]\nmore_sources = ["es"]\n\n[[run]]'))
    found = steps_of(path, tmp_path)
    (english,) = named(found["prokd", "de", 0], "teacher")
    (spanish,) = named(found["two sources", "de", 0], "teacher") - {english}
    (convert,) = named(set(spanish.needs), "convert")
    assert f"{convert.folder}/es/train.spacy" in spanish.commands[0]
    (label,) = named(found["two sources", "de", 0], "label")
    labelling = [part for part in label.commands[0] if part.endswith("/model-last")]
    assert labelling == [f"{teacher.folder}/model-last" for teacher in (english, spanish)]
    (student,) = named(found["two sources", "de", 0], "student")
    assert f"{english.folder}/model-last" in student.commands[0]


def test_a_student_is_the_teacher_of_the_next_round(tmp_path: Path) -> None:
    found = steps_of(write_matrix(tmp_path / "m.toml", variants=("prokd", "rounds")), tmp_path)
    (first,) = named(found["prokd", "de", 0], "student")
    (second,) = named(found["rounds", "de", 0], "student") - {first}
    (label,) = named(set(second.needs), "label")
    assert first in second.needs and first in label.needs
    assert second.commands[0][second.commands[0].index("--paths.teacher") + 1] == str(first.folder / "model-last")
    assert second.commands[0][-2:] == ("--initialize.components.prokd_ner.layers", "null")


def test_commands_are_the_projects_own(tmp_path: Path) -> None:
    found = steps_of(write_matrix(tmp_path / "m.toml"), tmp_path / "work")
    (student,) = named(found["prokd", "es", 1], "student")
    (command,) = student.commands
    assert command[:4] == ("-m", "spacy_prokd", "train", "configs/student.cfg")
    settings = dict(zip(command[4::2], command[5::2]))
    assert settings["--system.seed"] == "1" and settings["--output"] == "{output}"
    soft = next(step for step in student.needs if step.name == "label")
    assert settings["--paths.train"] == str(soft.folder)
    assert not any("training/es" in part or "corpus/es" in part for part in command)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (('["zero-shot", "prokd"]', '["prodk"]'), "no variant is called ['prodk']"),
        (('"tiny/es"]', '"tiny/fr"]'), "no corpus has the targets ['tiny/fr']"),
        (("student = false", "students = false"), "students"),
        (("[[run]]", "[[run"), "is no matrix of experiments"),
    ],
)
def test_a_matrix_with_a_mistake(tmp_path: Path, changed: tuple[str, str], said: str) -> None:
    from experiments import app

    path = write_matrix(tmp_path / "matrix.toml")
    path.write_text(path.read_text().replace(*changed))
    result = CliRunner().invoke(app, ["run", str(path), "--work", str(tmp_path / "work")])
    assert result.exit_code == 1
    assert said in result.stderr and str(path) in result.stderr


def test_a_matrix_that_is_not_there(tmp_path: Path) -> None:
    from experiments import app

    result = CliRunner().invoke(app, ["run", str(tmp_path / "none.toml"), "--work", str(tmp_path / "work")])
    assert result.exit_code == 1 and "none.toml" in result.stderr


def make_step(folder: Path, name: str, code: str, needs: tuple = ()):
    from experiment_steps import Step

    return Step(name, folder / name, (("-c", code, "{output}"),), needs)


def test_what_is_done_is_not_run_again_and_a_failure_stops_only_what_needs_it(tmp_path: Path) -> None:
    from experiment_steps import run_steps

    write = "import sys, pathlib; (pathlib.Path(sys.argv[1]) / 'out').write_text('x')"
    first = make_step(tmp_path, "first", write)
    broken = make_step(tmp_path, "broken", "print('some words'); raise SystemExit('it broke')", (first,))
    after = make_step(tmp_path, "after", write, (broken,))
    other = make_step(tmp_path, "other", write, (first,))
    ended = {step.name: error for step, error in run_steps([after, other], 2, {"commit": "abc"})}
    assert ended["first"] is None and ended["other"] is None
    assert "broken: it broke" in str(ended["broken"]) and ended["after"] is ended["broken"]
    assert not ended["broken"].killed
    assert (other.folder / "out").read_text() == "x" and not after.folder.exists() and not broken.folder.exists()
    assert first.record()["commit"] == "abc" and first.record()["peak_megabytes"] > 1
    written = (first.folder / "out").stat().st_mtime_ns
    again = {step.name: error for step, error in run_steps([other], 1, {"commit": "def"})}
    assert again == {"first": None, "other": None}
    assert (first.folder / "out").stat().st_mtime_ns == written and first.record()["commit"] == "abc"


def test_a_step_that_was_stopped_is_no_result(tmp_path: Path) -> None:
    from experiment_steps import run_steps

    stopped = make_step(tmp_path, "stopped", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    ((_step, error),) = run_steps([stopped], 1, {"commit": "abc"})
    assert error.killed and "stopped by signal 15" in str(error)
    assert not stopped.folder.exists()


def test_the_whole_of_it(tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments import app

    make_corpus(tmp_path / "tiny")
    path = write_matrix(tmp_path / "matrix.toml", str(tmp_path / "tiny"))
    text = path.read_text().replace('["tiny/de", "tiny/es"]\nseeds = [0, 1]', '["tiny/de"]')
    path.write_text(f"{text}encoders = [{json.dumps(str(tiny_encoder))}]\n")
    monkeypatch.setenv("SPACY_CONFIG_OVERRIDES", FEW_STEPS)
    results = tmp_path / "results.jsonl"
    arguments = ["run", str(path), "--results", str(results), "--work", str(tmp_path / "work"), "--jobs", "2"]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    lines = results.read_text().splitlines()
    found = {result["variant"]: result for result in map(json.loads, lines)}
    assert len(lines) == 2 and set(found) == {"zero-shot", "prokd"}
    assert set(found["prokd"]["seconds"]) == {"encoder", "convert", "teacher", "label", "student", "evaluate"}
    assert "student" not in found["zero-shot"]["seconds"]
    assert len(found["prokd"]["processors"]) == 1
    assert found["prokd"]["data"] == "de test" and found["prokd"]["peak_megabytes"] > 100
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert results.read_text().splitlines() == lines
    shown = CliRunner().invoke(app, ["table", "--results", str(results), "--json"])
    assert [row["variant"] for row in json.loads(shown.stdout)] == ["zero-shot", "prokd"]


def test_entities_are_counted_by_sentence(tmp_path: Path) -> None:
    from experiment_tables import count_entities, f1_of, pack, unpack

    vocab = spacy.blank("xx").vocab

    def doc(*spans: tuple[int, int, str]) -> Doc:
        made = Doc(vocab, words=list("abcdef"))
        made.set_ents([Span(made, *span) for span in spans], default="outside")
        return made

    DocBin(docs=[doc((0, 2, "PER"), (3, 4, "LOC")), doc((1, 2, "LOC")), doc()]).to_disk(tmp_path / "gold.spacy")
    DocBin(docs=[doc((0, 2, "PER"), (3, 5, "LOC")), doc(), doc((0, 1, "PER"))]).to_disk(tmp_path / "found.spacy")
    counts = count_entities(tmp_path / "gold.spacy", tmp_path / "found.spacy")
    assert counts.tolist() == [[1, 2, 2], [0, 0, 1], [0, 1, 0]]
    assert (unpack(pack(counts)) == counts).all()
    assert f1_of(counts.sum(axis=0)) == pytest.approx(100 * 2 * 1 / (3 + 3))


def make_result(variant: str, target: str, seed: int, counts: list) -> dict:
    from experiment_tables import f1_of, pack

    sums = np.array(counts)
    return {
        **{"corpus": "tiny", "source": "en", "target": target, "encoder": "e", "variant": variant, "seed": seed},
        "entity_f1": float(f1_of(sums.sum(axis=0))) / 100,
        "counts": pack(sums),
    }


def test_the_table_by_hand() -> None:
    from experiment_tables import make_table, summarise

    half, all_right, none = [[1, 2, 2]] * 50, [[2, 2, 2]] * 50, [[0, 2, 2]] * 50
    results = [
        make_result("base", "de", 0, half),
        make_result("base", "de", 1, none),
        make_result("base", "es", 0, half),
        make_result("better", "de", 0, all_right),
        make_result("better", "de", 1, half),
        {**make_result("broken", "de", 0, half), "failed": "it collapsed"},
    ]
    for key in ("entity_f1", "counts"):
        del results[-1][key]
    base, better, broken = summarise(results, "base")
    assert base["f1"]["tiny/de"] == {"n": 2, "failed": 0, "mean": 25.0, "deviation": 35.36}
    assert base["mean"] == 37.5 and "gain" not in base
    # each resample has the same sentences on both sides, and all sentences are alike
    assert better["gain"] == {"targets": 1, "mean": 50.0, "interval": [50.0, 50.0]}
    assert broken["f1"]["tiny/de"]["failed"] == 1 and broken["gain"] is None
    table = make_table([base, better, broken], "base")
    assert table.row_count == 3


def test_the_interval_covers_what_sentences_scatter() -> None:
    from experiment_tables import summarise

    results = [
        make_result("base", "de", 0, [[1, 1, 1], [0, 1, 1]] * 100),
        make_result("other", "de", 0, [[0, 1, 1], [1, 1, 1]] * 100),
    ]
    (gain,) = [row["gain"] for row in summarise(results, "base") if row["variant"] == "other"]
    low, high = gain["interval"]
    assert gain["mean"] == 0.0
    # a difference of +-1 a sentence over 200 sentences: 1.96 * 100 / sqrt(200) = 13.9
    assert low == pytest.approx(-13.9, abs=2.5) and high == pytest.approx(13.9, abs=2.5)


def test_a_baseline_that_is_not_there(tmp_path: Path) -> None:
    from experiments import app

    result = CliRunner().invoke(app, ["table", "--results", str(tmp_path / "none.jsonl")])
    assert result.exit_code == 1
    assert "No result is of the baseline 'zero-shot'" in result.stderr
