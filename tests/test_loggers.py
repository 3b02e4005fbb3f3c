import io
import json
import re
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import spacy
from pages import blocks
from spacy.cli.train import train as train_config
from spacy.training import Example
from spacy.training.loop import train
from spacy.util import registry

from spacy_prokd.loggers import create_logger, evaluation_line

INFO = {
    "step": 20,
    "epoch": 1,
    "seconds": 3,
    "words": 900,
    "score": 0.5,
    "other_scores": {"ents_f": 0.5, "ents_per_type": {"PER": {"f": 0.25}}, "note": "not a number"},
    "losses": {"prokd_ner": 30.0, "prokd_ner.alignment": 10.0},
    "checkpoints": [(0.5, 20)],
}


def _nlp():
    nlp = spacy.blank("xx")
    nlp.add_pipe("ner").add_label("PER")
    nlp.config["training"]["score_weights"] = {"ents_f": 1.0}
    return nlp


def test_a_line_has_flat_scores_and_mean_losses():
    assert evaluation_line(INFO, n_steps=10) == {
        "step": 20,
        "epoch": 1,
        "seconds": 3,
        "words": 900,
        "score": 0.5,
        "scores": {"ents_f": 0.5, "ents_per_type.PER.f": 0.25},
        "losses": {"prokd_ner": 3.0, "prokd_ner.alignment": 1.0},
    }


def test_losses_are_divided_by_the_steps_since_the_last_evaluation(tmp_path):
    path = tmp_path / "student" / "log.jsonl"
    log_step, finalize = create_logger(progress_bar=None, output_file=str(path))(_nlp(), io.StringIO(), io.StringIO())
    for step in range(5):
        info = {**INFO, "step": step, "losses": {"ner": 2.0 if step == 0 else 8.0, "ner.part": 4.0}}
        log_step(info if step % 4 == 0 else None)
    finalize()
    lines = [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]
    assert [line["step"] for line in lines] == [0, 4]
    assert [line["losses"]["ner"] for line in lines] == [2.0, 2.0]
    assert [line["losses"]["ner.part"] for line in lines] == [4.0, 1.0]


def test_what_holds_for_an_epoch_is_no_sum_over_steps():
    losses = {"prokd_ner.relabelled": 0.5, "prokd_ner.pseudo_labels.relabelled": 0.25}
    assert evaluation_line({**INFO, "losses": losses}, n_steps=10)["losses"] == {
        "prokd_ner.relabelled": 0.05,
        "prokd_ner.pseudo_labels.relabelled": 0.25,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_null(value):
    line = evaluation_line({**INFO, "losses": {"ner": value}}, n_steps=1)
    assert json.loads(json.dumps(line, allow_nan=False))["losses"] == {"ner": None}


def test_without_a_file_it_is_the_console_logger():
    stdout = io.StringIO()
    log_step, finalize = create_logger(progress_bar=None)(_nlp(), stdout, io.StringIO())
    log_step({**INFO, "losses": {"ner": 1.0}})
    finalize()
    assert "ENTS_F" in stdout.getvalue()


def test_spacy_trains_with_it_and_a_second_run_replaces_the_file(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("from an older run\n")
    nlp = _nlp()
    example = Example.from_dict(nlp.make_doc("Ada Lovelace wrote."), {"entities": [(0, 12, "PER")]})
    registry.readers.register("test_loggers.reader", func=lambda: lambda nlp: iter([example]))
    nlp.config["corpora"] = {name: {"@readers": "test_loggers.reader"} for name in ("train", "dev")}
    nlp.config["training"].update({"max_steps": 4, "eval_frequency": 2, "max_epochs": 0})
    nlp.config["training"]["logger"] = {"@loggers": "spacy-prokd.Logger.v1", "output_file": str(path)}
    nlp.initialize(lambda: [example])
    train(nlp, stdout=io.StringIO(), stderr=io.StringIO())
    lines = [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 4]
    assert all(line["losses"]["ner"] > 0 and "ents_f" in line["scores"] for line in lines)


def four_steps(corpus, folder):
    return {
        "paths.train": str(corpus / "source.spacy"),
        "paths.dev": str(corpus / "source.spacy"),
        "paths.log": str(folder / "log.jsonl"),
        "corpora.train.min_examples": 0,
        "training.max_steps": 4,
        "training.eval_frequency": 2,
    }


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # spaCy leaves files for the garbage collector to close
def test_it_is_one_of_several_in_a_chain(corpus, tmp_path, capsys):
    """As a user adds Weights & Biases or MLflow: on the command line, the whole block as JSON."""
    ours = {"@loggers": "spacy-prokd.Logger.v1", "progress_bar": "eval", "output_file": "${paths.log}"}
    another = {"@loggers": "spacy.LookupLogger.v1", "patterns": [r"^losses\.prokd_ner", "^other_scores.ents_f$"]}
    settings = {
        **four_steps(corpus, tmp_path),
        "training.logger": {"@loggers": "spacy.ChainLogger.v1", "logger1": ours, "logger2": another},
    }
    config = Path(__file__).parents[1] / "configs" / "hash_embed.cfg"
    train_config(config, tmp_path / "out", overrides=settings)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf8").splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 4]
    said = [line.split(" -> ") for line in capsys.readouterr().out.splitlines() if " -> " in line]
    scores = [float(value) for name, value in said if name == "other_scores.ents_f"]
    losses = [float(value) for name, value in said if name == "losses.prokd_ner"]  # sums; ours are means
    assert [line["scores"]["ents_f"] for line in lines] == pytest.approx(scores)
    assert [line["losses"]["prokd_ner"] for line in lines] == pytest.approx([losses[0], losses[1] / 2, losses[2] / 2])


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # as above
def test_the_blocks_of_the_docs_log_to_what_they_name(corpus, tmp_path, monkeypatch):
    """By spaCy's loggers; the libraries that these talk to, not installed here, are stand-ins that remember calls."""
    wandb, mlflow = MagicMock(), MagicMock()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    chain, third = (block.text for block in blocks("docs/howto/training.md", "ini"))
    config = (Path(__file__).parents[1] / "configs" / "hash_embed.cfg").read_text(encoding="utf8")
    config, n_loggers = re.subn(
        r"\[training\.logger\]\n[^\[]*", chain + third.replace("logger2", "logger3") + "\n", config
    )
    assert n_loggers == 1
    (tmp_path / "config.cfg").write_text(config, encoding="utf8")
    train_config(tmp_path / "config.cfg", overrides=four_steps(corpus, tmp_path))
    assert wandb.init.call_args.kwargs["project"] == "prokd-de"
    assert mlflow.start_run.call_args.kwargs["run_name"] == "prokd-de"
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf8").splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 4]
    for calls in (wandb.log.call_args_list, mlflow.log_metrics.call_args_list):
        logged = [call.args[0] for call in calls]
        scores = [values["ents_f"] for values in logged if "ents_f" in values]
        assert scores == [line["scores"]["ents_f"] for line in lines]
        losses = [values["loss_prokd_ner"] for values in logged if "loss_prokd_ner" in values]
        assert losses == pytest.approx([n * line["losses"]["prokd_ner"] for n, line in zip((1, 2, 2), lines)])  # sums
    assert any("ents_per_type.PER.f" in call.args[0] for call in mlflow.log_metrics.call_args_list)
