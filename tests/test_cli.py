"""The command line: it does what the functions do, and says in a paragraph what is wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import spacy
import torch
from conftest import LABELS, SOURCE, TARGET, make_docs, read_tagged, to_examples
from huggingface_hub import HfApi
from safetensors import SafetensorError
from spacy.tokens import Doc, DocBin
from spacy.util import fix_random_seed
from thinc.api import Adam
from transformers import AutoConfig
from typer.main import get_command

from spacy_prokd import cli
from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.encoder_loading import describe
from spacy_prokd.errors import ProKDError
from spacy_prokd.pipeline import ProKDNer
from spacy_prokd.soft_labels import VECTORS_KEY

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def lines(texts: list[str]) -> str:
    """Columns, as CoNLL has them."""
    sentences = ["\n".join(f"{w} {t}" for w, t in zip(*read_tagged(text))) for text in texts]
    return "\n\n".join(sentences) + "\n"


@pytest.fixture
def raw(tmp_path) -> Path:
    """A corpus folder as a user has it."""
    folder = tmp_path / "raw"
    for lang in ("en", "de"):
        (folder / lang).mkdir(parents=True)
    for split in ("train", "dev"):
        (folder / "en" / f"{split}.conll").write_text(lines(SOURCE), encoding="utf8")
    (folder / "de" / "train.txt").write_text("\n".join(TARGET) + "\n", encoding="utf8")
    (folder / "de" / "test.conll").write_text(
        lines(["Angela/B-PER Merkel/I-PER in Berlin/B-LOC bei Siemens/B-ORG ."]), encoding="utf8"
    )
    return folder


@pytest.fixture(scope="module")
def saved(small_tok2vec, tmp_path_factory) -> Path:
    """A small trained pipeline."""
    fix_random_seed(0)
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-prokd.PrototypeTagger.v1", "dropout": 0.0, "tok2vec": small_tok2vec}
    nlp.add_pipe("prokd_ner", config={"model": model})
    examples = to_examples(make_docs(nlp.vocab, SOURCE))
    nlp.initialize(lambda: examples)
    sgd = Adam(0.01, L2=0.0)
    for _ in range(30):
        nlp.update(examples, sgd=sgd)
    nlp = describe("an-encoder", "en", "de")(nlp)
    folder = tmp_path_factory.mktemp("pipelines") / "teacher"
    nlp.to_disk(folder)
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command; gives its exit code, stdout and stderr."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spacy-prokd", *map(str, args)])
        monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # else it is called "python -m pytest"
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def fails(run):
    """Run a command that fails with one paragraph, and give that."""

    def fails(*args: object) -> str:
        code, _out, err = run(*args)
        message = err.strip()
        assert code == 1
        assert message.startswith("Error: ") and "\n" not in message and "Traceback" not in message, message
        return message

    return fails


@pytest.fixture
def facts(run):
    """Run a command with --json; gives the one object that is on stdout."""

    def facts(*args: object) -> dict:
        code, out, err = run(*args, "--json")
        assert code == 0, err
        return json.loads(out)

    return facts


@pytest.fixture
def trained(run, raw, saved, tmp_path) -> Path:
    """A folder with `corpus`, and `training` and `metrics` of a teacher and a student that are the same."""
    assert run("convert", raw, tmp_path / "corpus")[0] == 0
    for role in ("teacher", "student"):
        shutil.copytree(saved, tmp_path / "training" / role / "model-last")
        line = {"step": 0, "epoch": 0, "scores": {"ents_f": 0.5}, "losses": {"prokd_ner": 1.0}, "score": 0.5}
        (tmp_path / "training" / role / "log.jsonl").write_text(json.dumps(line) + "\n", encoding="utf8")
        assert run("evaluate", saved, tmp_path / "corpus", tmp_path / "metrics" / f"{role}.json")[0] == 0
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- what works


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_init_and_convert_found_as_json(facts, raw, tmp_path, dry_run):
    source = ("--source", raw / "en" / "train.conll", "--source-dev", raw / "en" / "dev.conll")
    target = ("--target", raw / "de" / "train.txt", "--target-lang", "de")
    found = facts("init", tmp_path / "project", *source, *target, *["--dry-run"] * dry_run)
    assert (tmp_path / "project").exists() != dry_run
    assert found["source"]["splits"]["train"]["entities"].keys() == set(LABELS)
    (target,) = facts("convert", raw, tmp_path / "corpus")["targets"]
    assert target == json.loads((tmp_path / "corpus" / "de" / "convert.json").read_text(encoding="utf8"))


def test_scores_as_json_are_those_of_the_file(facts, trained):
    metrics = trained / "metrics" / "again.json"
    said = facts("evaluate", trained / "training" / "student" / "model-last", trained / "corpus", metrics)
    assert said == json.loads(metrics.read_text(encoding="utf8"))


def test_assets_lists_the_files(run, facts, raw, monkeypatch):
    monkeypatch.chdir(raw.parent)  # names that fit on a line
    code, out, _err = run("assets", "raw", "made/files.json")
    assert code == 0
    listed = json.loads(Path("made/files.json").read_text(encoding="utf8"))
    assert list(listed) == ["raw/en/train.conll", "raw/en/dev.conll", "raw/de/train.txt", "raw/de/test.conll"]
    for name, fact in listed.items():
        content = Path(name).read_bytes()
        assert fact == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert [name, f"{len(content):,}"] in [line.split() for line in out.splitlines()]
    assert facts("assets", "raw", "made/files.json") == listed


def sizes(output: Path) -> dict[str, int]:
    found = output.rglob("*") if output.is_dir() else [output]
    return {str(path): path.stat().st_size for path in found if path.is_file()}


def test_what_encoder_label_and_annotate_wrote_as_json(facts, raw, saved, corpus, tiny_encoder, tmp_path):
    encoder, soft, doubtful = tmp_path / "encoder", tmp_path / "soft", tmp_path / "doubtful.jsonl"
    said = facts("encoder", tiny_encoder, encoder)
    assert said == {"encoder": str(tiny_encoder), "output": str(encoder), "files": sizes(encoder)}
    said = facts("label", corpus / "target.spacy", soft, saved)
    assert said == {"texts": len(TARGET), "openers": {}, "output": str(soft), "files": sizes(soft)}
    assert str(soft / "00000.spacy") in said["files"]
    said = facts("annotate", saved, raw / "de" / "train.txt", doubtful, "--most", 3)
    assert said == {"texts": 3, "output": str(doubtful), "files": sizes(doubtful)}
    assert len(doubtful.read_text(encoding="utf8").splitlines()) == 3


def test_calibrate_says_that_it_replaced_a_pipeline(run, saved, corpus, tmp_path):
    arguments = ("calibrate", saved, corpus / "source.spacy", "--output", tmp_path / "calibrated")
    for end in ("calibrated", "calibrated, in place of the one that was there"):
        code, out, _err = run(*arguments)
        assert code == 0 and " ".join(out.split()).endswith(f"/{end}")


def test_calibrate_says_how_far_scores_were_off(run, facts, saved, corpus, tmp_path):
    arguments = ("calibrate", saved, corpus / "source.spacy", "--output", tmp_path / "calibrated")
    code, out, _err = run(*arguments)
    assert code == 0 and re.search(
        r"1\.00 before, \d\.\d\d now.* were \d+\.\d points off .*, and are \d+\.\d\.", out
    ), out
    said = facts(*arguments)
    assert said["texts"] == len(SOURCE) and said["entities"] > 0
    assert said["temperature"].keys() == said["ece"].keys() == {"before", "after"}
    assert (said["output"], said["files"]) == (str(tmp_path / "calibrated"), sizes(tmp_path / "calibrated"))


@pytest.mark.parametrize("times, is_few", [(1, True), (10, False)])
def test_a_temperature_of_few_entities_is_called_uncertain(run, saved, tmp_path, times, is_few):
    DocBin(docs=times * make_docs(spacy.blank("xx").vocab, SOURCE)).to_disk(tmp_path / "labelled.spacy")
    code, out, _err = run("calibrate", saved, tmp_path / "labelled.spacy", "--output", tmp_path / "calibrated")
    assert code == 0 and ("These are few: from fewer than 100" in out) == is_few, out


def test_what_report_package_and_push_make_as_json(facts, trained, monkeypatch):
    page = trained / "report.html"
    said = facts("report", trained / "training", trained / "metrics", page)
    assert said == {"output": str(page), "files": sizes(page)} and page.stat().st_size > 0

    inputs = (trained / "training", trained / "corpus", trained / "metrics", trained / "packages")
    said = facts("package", *inputs, "--name", "prokd_de", "--version", "0.1.0", "--encoder", "none")
    folder = trained / "packages" / "xx_prokd_de-0.1.0"
    wheel = folder / "dist" / "xx_prokd_de-0.1.0-py3-none-any.whl"
    assert said == {"wheel": str(wheel), "output": str(folder), "files": sizes(folder)}
    assert str(wheel) in said["files"]

    pipeline, repo = folder / "xx_prokd_de" / folder.name, "https://huggingface.co/me/nl"
    said = facts("push", said["output"], "--repo", "me/nl", "--dry-run")
    uploaded = {path.relative_to(pipeline).as_posix() for path in pipeline.rglob("*") if path.is_file()} | {wheel.name}
    assert said["files"].keys() == uploaded and said["files"][wheel.name] == wheel.stat().st_size
    assert said["files"]["README.md"] > (folder / "README.md").stat().st_size, "the hub's metadata come before it"
    del said["files"]
    assert said == {"repo": "me/nl", "url": None, "wheel_url": f"{repo}/resolve/main/{wheel.name}"}

    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **settings: f"https://huggingface.co/{repo_id}")
    monkeypatch.setattr(HfApi, "create_commit", lambda self, *arguments, **settings: None)
    assert facts("push", folder, "--repo", "me/nl")["url"] == repo


def test_info_names_versions_and_no_folder(run, facts):
    said = facts("info")
    assert said["torch"] == version("torch")
    for package in ("click", "openTSNE", "matplotlib", "jinja2", "datasets", "cupy-cuda12x"):  # of setup.cfg
        assert package in said
    assert not {"pytest", "mkdocs-material"} & set(said), "what only our tests need"
    assert said["matrix products"] in ("float32", "bfloat16", "float16")
    assert not any(str(folder) in json.dumps(said) for folder in (Path.home(), Path.cwd()))
    code, table, _err = run("info")
    assert code == 0 and all(name in table for name in said)


def test_init_shows_what_it_found_and_the_next_command(run, raw, tmp_path):
    files = (
        "--source",
        raw / "en" / "train.conll",
        "--source-dev",
        raw / "en" / "dev.conll",
        "--target",
        raw / "de" / "train.txt",
    )
    code, out, _err = run("init", tmp_path / "project", *files, "--target-lang", "de", "--dry-run")
    assert code == 0 and "Nothing was written" in out and not (tmp_path / "project").exists()
    settings = ("--target-lang", "de", "--pipeline-lang", "de", "--labels", "{ORG: null}")
    code, out, _err = run("init", tmp_path / "project", *files, *settings)
    assert code == 0 and "PER" in out and "ORG" not in out
    assert out.splitlines()[-2:] == [f"  cd {tmp_path / 'project'}", "  python -m spacy project run all"]
    workflow = (tmp_path / "project" / "project.yml").read_text(encoding="utf8")
    assert 'corpus_labels: "{ORG: null}"' in workflow and 'pipeline_lang: "de"' in workflow


def test_init_for_several_targets_names_the_command_for_all(run, raw, tmp_path):
    given = (
        "init",
        tmp_path / "project",
        "--source",
        raw / "en" / "train.conll",
        "--source-dev",
        raw / "en" / "dev.conll",
    )
    german, spanish = (("--target", raw / "de" / "train.txt", "--target-lang", lang) for lang in ("de", "es"))
    code, out, _err = run(*given, *german, *spanish)
    assert code == 0 and "de/train.txt" in out and "es/train.txt" in out
    assert [line for line in out.splitlines() if line.startswith("  ")][-3:] == [
        f"  cd {tmp_path / 'project'}",
        "  python -m spacy_prokd targets de es",
        "  python -m spacy_prokd targets de+es",
    ]
    code, _out, err = run(*given, *german, *spanish[2:])
    assert code == 1 and "2 --target-lang (de, es) and 1 --target were given" in err


def test_convert_writes_docbins(run, raw, tmp_path):
    code, out, _err = run("convert", raw, tmp_path / "corpus", "--labels", "{ORG: null, LOC: PLACE}")
    assert code == 0 and "PLACE" in out
    assert files(tmp_path / "corpus") == [
        *("de/convert.json", "de/labelled.spacy", "de/test.spacy", "de/train.spacy"),
        *("en/convert.json", "en/dev.spacy", "en/train.spacy"),
    ]
    docs = list(DocBin().from_disk(tmp_path / "corpus" / "en" / "train.spacy").get_docs(spacy.blank("xx").vocab))
    assert {ent.label_ for doc in docs for ent in doc.ents} == {"PLACE", "PER"}
    target = list(DocBin().from_disk(tmp_path / "corpus" / "de" / "train.spacy").get_docs(spacy.blank("xx").vocab))
    assert len(target) == 8 and not any(doc.has_annotation("ENT_IOB") for doc in target)


def test_convert_takes_the_rules_of_a_language(run, raw, tmp_path):
    (raw / "de" / "train.txt").write_text("Das z.B. geht.\n", encoding="utf8")
    assert run("convert", raw, tmp_path / "corpus", "--pipeline-lang", "de")[0] == 0
    (doc,) = read_docs(tmp_path / "corpus" / "de" / "train.spacy", spacy.blank("xx").vocab)
    assert [word.text for word in doc] == ["Das", "z.B.", "geht", "."]


def test_label_evaluate_and_report(run, trained, saved):
    training, corpus, metrics = trained / "training", trained / "corpus", trained / "metrics"
    code, out, _err = run("label", corpus / "de" / "train.spacy", training / "soft", saved)
    assert code == 0 and "Labelled 8 texts" in out
    assert json.loads((training / "soft" / "labels.json").read_text()) == LABELS

    arguments = ("evaluate", training / "teacher" / "model-last", corpus, metrics / "teacher.json")
    code, out, _err = run(*arguments, "--tagged", metrics / "teacher.spacy")
    assert code == 0 and "test.spacy" in out and "PER" in out
    arguments = ("evaluate", training / "student" / "model-last", corpus, metrics / "student.json")
    also = (
        "--tagged",
        metrics / "student.spacy",
        "--prototypes",
        metrics / "prototypes.spacy",
        "--word-map",
        metrics / "words.json",
    )
    code, out, _err = run(*arguments, *also, "--compare-with", metrics / "teacher.json")
    assert code == 0 and "teacher" in out and "student" in out and "+0.00" in out, out
    scores = json.loads((metrics / "student.json").read_text())
    assert scores["sentences"] == 1 and scores["entities"] == 3 and scores["ents_f"] == scores["seqeval_f"]

    code, out, _err = run("report", training, metrics, trained / "report.html")
    assert code == 0
    page = (trained / "report.html").read_text(encoding="utf8")
    assert "student" in page and "</html>" in page
    assert 'id="mistakes"' in page and "Merkel: I-PER" in page


def test_report_and_package_are_of_the_languages_of_the_student(run, fails, trained):
    """Whatever another project's are: no default is taken for a fact."""
    training, metrics, page = trained / "training", trained / "metrics", trained / "report.html"
    meta = training / "student" / "model-last" / "meta.json"
    about = json.loads(meta.read_text(encoding="utf8"))
    about["spacy_prokd"] |= {"source_lang": "fi", "target_lang": "sv+da"}
    meta.write_text(json.dumps(about), encoding="utf8")
    for options, title in (((), "fi to sv and da"), (("--source-lang", "en", "--target-lang", "nl"), "en to nl")):
        assert run("report", training, metrics, page, *options)[0] == 0
        assert f"<title>spacy-prokd: {title}</title>" in page.read_text(encoding="utf8")

    named = ("--name", "prokd", "--version", "0.1.0", "--encoder", "none", "--vocabulary-size", 0)
    assert run("package", training, trained / "corpus", metrics, trained / "packages", *named)[0] == 0
    card = (trained / "packages" / "xx_prokd-0.1.0" / "README.md").read_text(encoding="utf8")
    assert "Swedish and Danish" in card

    del about["spacy_prokd"]["target_lang"]
    meta.write_text(json.dumps(about), encoding="utf8")
    assert "student/model-last does not say for which languages" in fails("report", training, metrics, page)
    meta.write_text("{", encoding="utf8")
    assert "meta.json is damaged" in fails("report", training, metrics, page)


def test_who_forgets_the_folder_of_the_language_is_told_it(fails, trained):
    training = trained / "training"
    page = trained / "report.html"
    nowhere = training.parent / "nowhere"
    assert fails("report", nowhere, trained / "metrics", page).endswith(
        "`python -m spacy project run student` makes one."
    )
    for lang in ("nl", "uk"):
        shutil.copytree(training / "student", nowhere / lang / "student")
        (nowhere / lang / "student" / "model-last" / "meta.json").touch()
    meant = f"Did you mean {nowhere / 'nl'} or {nowhere / 'uk'} in place of {nowhere}?"
    assert meant in fails("report", nowhere, trained / "metrics", page)
    named = ("--name", "prokd", "--version", "0.1.0", "--encoder", "none", "--source-lang", "en", "--target-lang", "nl")
    arguments = (nowhere, trained / "corpus", trained / "metrics", trained / "packages")
    assert meant in fails("package", *arguments, *named)


def test_scores_of_the_source_are_called_that(run, fails, raw, saved, tmp_path):
    (raw / "de" / "test.conll").unlink()
    run("convert", raw, tmp_path / "corpus")
    arguments = ("evaluate", saved, tmp_path / "corpus", tmp_path / "metrics.json")
    code, out, _err = run(*arguments, "--tagged", tmp_path / "tagged.spacy")
    assert code == 0 and "No text in de has labels to score on" in out
    tagged = [doc.text.split() for doc in read_docs(tmp_path / "tagged.spacy", spacy.blank("xx").vocab)]
    assert tagged == [read_tagged(text)[0] for text in SOURCE] + [text.split() for text in TARGET]
    arguments = ("evaluate", saved, tmp_path / "corpus", tmp_path / "metrics.json", "--target-lang", "nl")
    assert "has no folder 'nl'" in fails(*arguments)


def test_a_report_without_labelled_target_text_compares_plain_ones(run, raw, trained):
    (raw / "de" / "test.conll").unlink()
    assert run("convert", raw, trained / "corpus")[0] == 0
    training, metrics = trained / "training", trained / "metrics"
    for role in ("teacher", "student"):
        arguments = ("evaluate", training / role / "model-last", trained / "corpus", metrics / f"{role}.json")
        assert run(*arguments, "--tagged", metrics / f"{role}.spacy")[0] == 0
    assert run("report", training, metrics, trained / "report.html")[0] == 0
    page = " ".join((trained / "report.html").read_text(encoding="utf8").split())
    assert "entity of each type in en dev was found" in page
    assert "These are 8 texts in de of those trained on. They have no labels" in page
    assert "they find the same entities in all 8 texts" in page


def test_label_stores_word_vectors_when_asked(run, raw, saved, tmp_path):
    run("convert", raw, tmp_path / "corpus")
    train = tmp_path / "corpus" / "de" / "train.spacy"
    assert run("label", train, tmp_path / "soft", saved, "--vectors")[0] == 0
    docs = DocBin().from_disk(tmp_path / "soft" / "00000.spacy").get_docs(spacy.blank("xx").vocab)
    assert all(VECTORS_KEY in doc.user_data for doc in docs)


def test_label_goes_on_where_it_was(run, raw, saved, tmp_path):
    assert run("convert", raw, tmp_path / "corpus")[0] == 0
    arguments = ("label", tmp_path / "corpus" / "de" / "train.spacy", tmp_path / "soft", saved)
    assert run(*arguments)[0] == 0
    shard = tmp_path / "soft" / "00000.spacy"
    first = shard.stat().st_mtime_ns
    (tmp_path / "soft" / "labels.json").unlink()  # as if it had been stopped
    assert run(*arguments)[0] == 0
    assert shard.stat().st_mtime_ns == first and (tmp_path / "soft" / "labels.json").exists()
    DocBin(docs=[Doc(spacy.blank("xx").vocab, words=["Berlin"])]).to_disk(arguments[1])
    assert "Labelled 1 text in" in run(*arguments)[1]
    assert shard.stat().st_mtime_ns != first


def test_encoder_copies_a_folder(run, tiny_encoder, tmp_path):
    code, out, _err = run("encoder", tiny_encoder, tmp_path / "copy")
    assert code == 0 and str(tmp_path / "copy") in out.replace("\n", "")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files(tmp_path / "copy"))
    assert str(tiny_encoder) not in (tmp_path / "copy" / "config.json").read_text(encoding="utf8")


def test_push_lists_the_files_and_uploads_nothing_when_dry(run, fails, tmp_path):
    meta = {
        "lang": "xx",
        "name": "p",
        "version": "1",
        "performance": dict.fromkeys(("ents_p", "ents_r", "ents_f"), 0.5),
    }
    meta["spacy_prokd"] = {"target_lang": "nl", "scores": {"student": {}}}
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "xx_p-1-py3-none-any.whl").write_bytes(b"PK")
    (tmp_path / "README.md").write_text("# xx_p", encoding="utf8")
    (tmp_path / "meta.json").write_text(json.dumps(meta), encoding="utf8")
    code, out, _err = run("push", tmp_path, "--repo", "me/nl", "--private", "--dry-run")
    assert code == 0 and "Nothing was uploaded" in out
    assert ["xx_p-1-py3-none-any.whl", "2"] in [line.split() for line in out.splitlines()]
    assert "was not uploaded" in fails("push", tmp_path, "--repo", "me/nl")


@pytest.fixture
def no_hub(monkeypatch) -> None:
    """Only folders can be read."""
    read = AutoConfig.from_pretrained

    def offline(name: str | Path, **settings: object) -> object:
        if not Path(name).is_dir():
            raise OSError("no network")
        return read(name, **settings)

    monkeypatch.setattr(AutoConfig, "from_pretrained", offline)


def test_the_version(run):
    assert run("--version") == (0, f"{version('spacy-prokd')}\n", "")


@pytest.fixture
def small_training(corpus) -> tuple[object, ...]:
    """Arguments of `train`."""
    paths = ("--paths.train", corpus / "source.spacy", "--paths.dev", corpus / "source.spacy")
    few = ("--training.max_steps", 2, "--training.eval_frequency", 1, "--corpora.train.min_examples=0")
    return (ROOT / "configs" / "hash_embed.cfg", *paths, *few)


def test_train_takes_what_spacys_takes(run, small_training, monkeypatch, tmp_path):
    monkeypatch.setenv("SPACY_CONFIG_OVERRIDES", "--training.seed 3")
    code, out, _err = run("train", *small_training, "-o", tmp_path / "out", "--components.prokd_ner.threshold=0.5")
    assert code == 0 and "LOSS" in out.upper()
    config = spacy.util.load_config(tmp_path / "out" / "model-last" / "config.cfg")
    assert config["training"]["max_steps"] == 2 and config["training"]["seed"] == 3
    assert config["components"]["prokd_ner"]["threshold"] == 0.5


def test_examples_in_the_help_are_calls_of_the_command():
    commands = get_command(cli.app).commands
    examples = {name: command.epilog for name, command in commands.items() if command.epilog}
    assert {"init", "targets", "evaluate", "annotate", "push"} <= set(examples)
    for name, example in examples.items():
        called, *arguments = shlex.split(example.removeprefix("Example: spacy-prokd "))
        assert called == name
        commands[name].make_context(name, arguments)  # raises if an argument is missing or unknown


# --- what does not


def test_a_missing_corpus_folder(fails, tmp_path):
    nowhere = tmp_path / "nowhere"
    corpus = tmp_path / "corpus"
    for command in (["assets", nowhere, corpus / "files.json"], ["convert", nowhere, corpus]):
        assert "nowhere" in fails(*command)
    assert not corpus.exists()


def test_a_missing_language(fails, raw, tmp_path):
    message = fails("convert", raw, tmp_path / "corpus", "--target-lang", "fr")
    assert "no folder 'fr'" in message and "de, en" in message
    assert "no folder 'fr'" in fails("assets", raw, tmp_path / "corpus" / "files.json", "--target-lang", "fr")
    assert not (tmp_path / "corpus").exists()


def test_a_language_that_spacy_does_not_have(fails, raw, tmp_path):
    assert "no language 'qq'" in fails("convert", raw, tmp_path / "corpus", "--pipeline-lang", "qq")
    assert not (tmp_path / "corpus").exists()


def test_a_label_map_that_is_none(fails, raw, tmp_path):
    for text in ("LOC", "[LOC]", "{LOC: {", "{LOC"):
        assert "label map" in fails("convert", raw, tmp_path / "corpus", "--labels", text)


def test_a_malformed_line_is_named(fails, raw, tmp_path):
    (raw / "en" / "train.conll").write_text("Angela B-PER\nMerkel Q-PER\n", encoding="utf8")
    assert "train.conll:2" in fails("convert", raw, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("command", ["assets", "label", "evaluate"])
def test_a_gpu_that_is_not_there(command, fails, monkeypatch, raw, saved, corpus, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = {
        "assets": ("assets", raw, tmp_path / "files.json"),
        "label": ("label", corpus / "target.spacy", tmp_path / "soft", saved),
        "evaluate": ("evaluate", saved, corpus / "source.spacy", tmp_path / "teacher.json"),
    }[command]
    message = fails(*arguments, "--gpu-id", 0)
    assert "GPU 0 was asked for" in message and "-1 for the CPU" in message
    assert not any((tmp_path / name).exists() for name in ("files.json", "soft", "teacher.json"))


def test_an_encoder_that_would_be_written_outside_its_folder(fails, tiny_encoder, tmp_path):
    message = fails("encoder", tiny_encoder, tmp_path / "encoders" / ".." / "mine")
    assert "leads out of its folder" in message and "absolute path" in message
    assert not (tmp_path / "mine").exists()


def test_an_encoder_without_a_tokenizer(fails, tiny_encoder, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(tiny_encoder, folder)
    for path in folder.glob("*token*"):
        path.unlink()
    message = fails("encoder", folder, tmp_path / "copy")
    assert "has no tokenizer" in message and "save_pretrained" in message
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("name", ["multilingual-e5-smal", "Multilingual-E5-small", "multilingual-e5-base"])
def test_a_name_close_to_the_bundled_encoders_is_not_asked_of_the_hub(name, fails, no_hub, tmp_path):
    assert f"no encoder '{name}'. The bundled one is multilingual-e5-small;" in fails("encoder", name, tmp_path / "e")


def test_that_the_hub_is_asked_is_said_before(run, no_hub, tiny_encoder, tmp_path):
    code, _out, err = run("encoder", "someone/a-model", tmp_path / "copy")
    asked, error = err.splitlines()
    assert code == 1 and asked.startswith("The Hugging Face hub is asked for someone/a-model")
    assert error.startswith("Error: The encoder 'someone/a-model' could not be read: no network")
    assert run("encoder", tiny_encoder, tmp_path / "copy")[2] == ""


def test_an_encoder_that_is_not_there(fails, tmp_path):
    message = fails("encoder", tmp_path / "nowhere", tmp_path / "copy")
    assert "nowhere" in message and not (tmp_path / "copy").exists()


def test_a_full_disk(fails, monkeypatch, raw, saved, corpus, tmp_path):
    """Half a file is written, then there is no space: neither that half nor anything else is left."""
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        write(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(DocBin, "to_disk", lambda self, path: full(Path(path), self.to_bytes()))
    assert "No space left on device. " in fails("convert", raw, tmp_path / "converted")
    assert files(tmp_path / "converted") == []
    assert "No space left on device. " in fails("label", corpus / "target.spacy", tmp_path / "soft", saved)
    assert files(tmp_path / "soft") == [".settings.json"]


def test_a_disk_that_weights_do_not_fit_on(fails, monkeypatch, saved, corpus, small_training, tmp_path):
    """safetensors has an error of its own for it."""

    def full(*args: object, **kwargs: object) -> None:
        raise SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    message = fails("calibrate", saved, corpus / "source.spacy", "--output", tmp_path / "calibrated")
    assert message.endswith("No space left on device (os error 28). No output was left half-written.")
    assert not list(tmp_path.glob("*calibrated*"))
    assert fails("train", *small_training, "--output", tmp_path / "out").endswith("not whole: run it again.")


def test_a_file_that_may_not_be_read_is_named(fails, monkeypatch, raw, tmp_path):
    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "train.conll")

    monkeypatch.setattr("spacy_prokd.corpus.convert.read_file", denied)
    assert "Permission denied: train.conll." in fails("convert", raw, tmp_path / "corpus")


def test_a_folder_where_a_file_should_be_is_named(fails, raw, saved, tmp_path):
    (tmp_path / "out.jsonl").mkdir()
    message = fails("annotate", saved, raw / "de" / "train.txt", tmp_path / "out.jsonl")
    assert f"Is a directory: {tmp_path / 'out.jsonl'}." in message


def test_a_corpus_in_another_format(fails, saved, raw, tmp_path):
    path = raw / "de" / "train.txt"
    assert fails("label", path, tmp_path / "soft", saved) == (
        f"Error: {path} is not a readable .spacy file (ValueError: [E1014] Error loading DocBin data). Other formats "
        "are converted first: `spacy-prokd convert` writes .spacy files, in a project to corpus/<target>/<lang>/. "
        "Name one of these; if it is damaged, convert again."
    )


def test_a_teacher_that_is_none(fails, corpus, tmp_path):
    assert "train the teacher first" in fails("label", corpus / "target.spacy", tmp_path / "soft", tmp_path)


@pytest.mark.parametrize("file", ["config.cfg", "meta.json", "tokenizer", "vocab/strings.json", "prokd_ner/model"])
@pytest.mark.parametrize("command", ["label", "annotate"])
def test_a_damaged_pipeline(fails, command, file, saved, corpus, raw, tmp_path):
    shutil.copytree(saved, tmp_path / "damaged")
    (tmp_path / "damaged" / file).write_bytes(b"\0 not what it was {")
    arguments = {
        "label": (corpus / "target.spacy", tmp_path / "out", tmp_path / "damaged"),
        "annotate": (tmp_path / "damaged", raw / "de" / "train.txt", tmp_path / "out.jsonl"),
    }
    assert "damaged cannot be loaded as a pipeline: " in fails(command, *arguments[command])
    assert not list(tmp_path.glob("out*"))


def test_batches_of_nothing_are_refused(run, saved, corpus, tmp_path):
    code, _out, err = run("label", corpus / "target.spacy", tmp_path / "soft", saved, "--batch-size", 0)
    assert code == 2 and "--batch-size" in err


def test_teachers_with_other_labels(fails, saved, corpus, small_tok2vec, tmp_path):
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-prokd.PrototypeTagger.v1", "tok2vec": small_tok2vec}
    nlp.add_pipe("prokd_ner", config={"model": model})
    examples = to_examples([Doc(nlp.vocab, words=["Rain", "falls"], ents=["B-WEATHER", "O"])])
    nlp.initialize(lambda: examples)
    nlp.to_disk(tmp_path / "other")
    message = fails("label", corpus / "target.spacy", tmp_path / "soft", saved, tmp_path / "other")
    assert "labels differ" in message and "WEATHER" in message


def test_nothing_to_score(fails, saved, corpus, tmp_path):
    assert "nothing to score" in fails("evaluate", saved, corpus / "target.spacy", tmp_path / "m.json")
    assert "Name its target language: --target-lang" in fails("evaluate", saved, corpus, tmp_path / "m.json")
    (corpus / "de").mkdir()
    assert "nothing to score" in fails("evaluate", saved, corpus, tmp_path / "m.json")
    arguments = ("evaluate", saved, corpus / "source.spacy", tmp_path / "m.json", "--word-map", tmp_path / "words.json")
    assert "is no folder of a converted corpus" in fails(*arguments)
    assert not (tmp_path / "m.json").exists()
    assert not (tmp_path / "m.json").exists()


def test_a_report_before_training(fails, tmp_path):
    assert "spacy project run" in fails("report", tmp_path, tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_bug_keeps_its_traceback(monkeypatch, raw, tmp_path):
    """Only what is wrong with the input is turned into a paragraph."""

    def bug(*args: object, **kwargs: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr("spacy_prokd.corpus.convert.convert_corpus", bug)
    monkeypatch.setattr(sys, "argv", ["spacy-prokd", "convert", str(raw), str(tmp_path / "corpus")])
    with pytest.raises(KeyError):
        cli.main()


def test_a_command_that_there_is_not(run):
    code, _out, err = run("trian")
    assert code == 2 and "No such command" in err


@pytest.mark.parametrize(
    "arguments, hint",
    [
        (("evaluate", "a", "b", "c", "--debug"), "--debug stands before the command: spacy-prokd --debug evaluate ..."),
        (
            ("train", ROOT / "configs" / "teacher.cfg", "--debug"),
            "--debug stands before the command: spacy-prokd --debug train ...",
        ),
        (("--json", "info"), "--json stands behind the command: spacy-prokd info ... --json"),
        (("--gpu-id", "0", "evaluate"), "--gpu-id stands behind the command: spacy-prokd evaluate ... --gpu-id"),
    ],
)
def test_an_option_in_the_wrong_place_says_where_it_stands(run, arguments, hint):
    code, _out, err = run(*arguments)
    assert code == 2 and hint in " ".join(re.sub(r"[│╭╮╰╯─]", " ", err).split()), err


@pytest.mark.parametrize("arguments", [("info", "--bogus"), ("--bogus", "info"), ("--debug", "--most", "info")])
def test_an_option_that_there_is_nowhere_has_no_place(run, arguments):
    code, _out, err = run(*arguments)
    assert code == 2 and "No such option" in err and "stands" not in err


def test_training_that_cannot_go_on_is_said_once(run, small_training, monkeypatch, tmp_path):
    def collapse(*args: object, **kwargs: object) -> None:
        raise ProKDError("Training collapsed: lower beta.")

    monkeypatch.setattr(ProKDNer, "update", collapse)
    code, out, err = run("train", *small_training, "--output", tmp_path / "out")
    assert (code, err) == (1, "Error: Training collapsed: lower beta.\n")
    assert "Aborting" in out and "lower beta" not in out
    with pytest.raises(ProKDError):
        run("--debug", "train", *small_training, "--output", tmp_path / "out")


def test_training_on_what_is_not_there(run, fails, small_training, tmp_path):
    message = fails("train", *small_training, "--paths.train", tmp_path / "nowhere.spacy")
    assert "nowhere.spacy does not exist. Run `spacy-prokd convert`" in message
    config, given = small_training[0], dict(zip(small_training[1:5:2], small_training[2:5:2]))
    for name in ("train", "dev"):
        others = [each for option, path in given.items() if option != f"--paths.{name}" for each in (option, path)]
        message = fails("train", config, *others, *small_training[5:])
        assert f"Set paths.{name} in the config, or on the command line: `--paths.{name} corpus/nl/en/{name}" in message
    code, out, err = run("train", *small_training, "--training.max_epochs", "many")
    assert code == 1 and "'many' is not <class 'int'>" in out and not err
    code, _out, err = run("train", tmp_path / "nowhere.cfg")
    assert code == 2 and "nowhere.cfg" in err.replace("\n", "") and "Traceback" not in err
    assert run("train", *small_training, "--bogus", 1)[::2] == (2, "Error: No such option '--bogus'.\n")


def test_debug_shows_the_traceback_of_an_error(raw, tmp_path):
    """As people call it: the console is what they see."""
    command = [
        sys.executable,
        "-m",
        "spacy_prokd",
        "--debug",
        "convert",
        raw,
        tmp_path / "corpus",
        "--target-lang",
        "fr",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" in result.stderr and "convert_corpus" in result.stderr
    assert "ProKDError" in result.stderr and "no folder 'fr'" in result.stderr


def test_ctrl_c_ends_with_one_line(run, monkeypatch, raw, tmp_path):
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spacy_prokd.corpus.convert.convert_corpus", stop)
    for options in ((), ("--debug",)):
        code, out, err = run(*options, "convert", raw, tmp_path / "corpus")
        assert (code, out, err) == (130, "", "Stopped. No output was left half-written.\n")


def test_ctrl_c_in_training_is_no_success(run, small_training, monkeypatch, tmp_path):
    """spaCy saves a pipeline then, which the next step would take for a trained one."""

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ProKDNer, "update", stop)
    code, _out, err = run("train", *small_training, "--output", tmp_path / "out")
    assert (tmp_path / "out" / "model-last" / "meta.json").is_file()
    assert code == 130 and err.splitlines()[-1].startswith("Stopped. A pipeline that it was training is not trained")


def test_ctrl_c_in_the_run_of_a_target(run, monkeypatch, tmp_path):
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spacy_prokd.targets.train_targets", stop)
    code, out, err = run("targets", "nl", "--project", tmp_path)
    assert (code, out) == (130, "") and "not trained to the end, or not whole: run it again." in err


def test_a_reader_that_goes_away_is_no_error(run, monkeypatch, raw, tmp_path):
    """`spacy-prokd assets ... | head -1`"""

    def closed(*args: object, **kwargs: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("spacy_prokd.corpus.convert.list_corpus", closed)
    assert run("assets", raw, tmp_path / "files.json") == (1, "", "")


@pytest.mark.parametrize("name", get_command(cli.app).commands)
def test_help_is_not_cut_at_80_characters(run, monkeypatch, name):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    code, out, _err = run(name, "--help")
    assert code == 0 and "Usage:" in out and "…" not in out
