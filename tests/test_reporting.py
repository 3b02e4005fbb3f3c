import json
import re
from xml.etree import ElementTree

import pytest

from spacy_prokd.errors import ProKDError
from spacy_prokd.reporting import write_report

ROLES = ("teacher", "student")
KINDS = {"metrics": "json", "logs": "jsonl", "configs": "cfg"}
CONFIG = """
[paths]
encoder = "assets/encoder"
[nlp]
lang = "xx"
[components]
[components.prokd_ner]
factory = "prokd_ner"
encoder = ${{paths.encoder}}
[components.prokd_ner.objective]
@misc = "spacy-prokd.{role}.v1"
beta = 0.8125
[training]
seed = 17
[training.logger]
@loggers = "spacy-prokd.Logger.v1"
"""


@pytest.fixture
def run(tmp_path):
    """The arguments of `write_report` for a small run whose files are in `tmp_path`."""
    for role, f in zip(ROLES, (0.612, 0.654)):
        metrics = {
            "ents_p": f,
            "ents_r": f,
            "ents_f": f,
            "token_f": None,
            "ents_per_type": {"PER": {"p": f, "r": f, "f": f, "support": 31}},
            "calibration": {"ece": 0.0625, "bins": [{"score": 0.4, "right": 0.3, "entities": 10}]},
            "labels_only_in_data": [],
            "encoder": "<b>small</b>",
            "versions": {"spacy": "3.8.18"},
        }
        (tmp_path / f"{role}.json").write_text(json.dumps(metrics))
        losses = [{"prokd_ner": 2.0, f"prokd_ner.{role}_part": 1.0}, {"prokd_ner": None, f"prokd_ner.{role}_part": 0.5}]
        lines = [{"step": i, "scores": {"ents_f": 0.5}, "losses": loss} for i, loss in enumerate(losses)]
        (tmp_path / f"{role}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (tmp_path / f"{role}.cfg").write_text(CONFIG.format(role=role.title()))
    files = {kind: {role: tmp_path / f"{role}.{end}" for role in ROLES} for kind, end in KINDS.items()}
    return {"output": tmp_path / "report" / "index.html", "source_lang": "en", "target_lang": "de", **files}


def test_the_page_has_scores_curves_and_settings(run):
    page = write_report(**run).read_text(encoding="utf8")
    assert "61.2" in page and "65.4" in page and "(31)" in page
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert titles[:2] == ["Share of entities that are right, over their score", "Entity F1 on source dev"]
    assert {"Loss of the teacher: prokd_ner.teacher_part", "Loss of the student: prokd_ner.student_part"} < set(titles)
    assert "spacy-prokd.Student.v1" in page and "0.8125" in page and "assets/encoder" in page and "3.8.18" in page
    assert "spacy-prokd.Logger.v1" not in page


def test_the_page_says_what_a_score_is_worth_where_there_are_scores(run):
    page = write_report(**run).read_text(encoding="utf8")
    assert "6.2 points for the teacher, 6.2 points for the student." in " ".join(page.split())
    for path in run["metrics"].values():
        path.write_text(json.dumps({**json.loads(path.read_text()), "calibration": None}))
    page = write_report(**run).read_text(encoding="utf8")
    assert "What a score is worth" not in page and "calibration" not in page


def test_the_page_needs_nothing_from_outside(run):
    page = write_report(**run).read_text(encoding="utf8")
    assert not re.search(r"<script|<link|<img|@import|url\((?!#)|(?:src|href)=\"(?!#)", page)
    assert len(page) < 200_000


def test_text_of_a_run_is_escaped(run):
    page = write_report(**run).read_text(encoding="utf8")
    assert "<b>small</b>" not in page and "&lt;b&gt;small" in page


def test_charts_are_named_follow_the_theme_and_share_no_ids(run):
    page = write_report(**run).read_text(encoding="utf8")
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(charts) == 6
    for chart in charts:
        ElementTree.fromstring(chart)
        assert 'role="img"' in chart and "aria-label" in chart and "var(--ink)" in chart
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_the_same_run_gives_the_same_page(run):
    assert write_report(**run).read_bytes() == write_report(**run).read_bytes()


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("student.json", "project run evaluate"),
        ("teacher.jsonl", "project run teacher"),
        ("student.cfg", "project run student"),
    ],
)
def test_a_missing_input_names_the_command_that_makes_it(run, tmp_path, file, command):
    (tmp_path / file).unlink()
    with pytest.raises(ProKDError, match=f"{file} is missing.*{command}"):
        write_report(**run)
    assert not run["output"].exists()


@pytest.mark.parametrize("content", ['{"step": 1}\n', '{"step": 1, "scores"\n', "[]\n"])
def test_a_damaged_log_names_file_and_line(run, content):
    log = run["logs"]["student"]
    log.write_text(log.read_text() + content)
    with pytest.raises(ProKDError, match=r"student.jsonl, line 3.*project run student"):
        write_report(**run)


def test_an_empty_log_is_an_error(run):
    run["logs"]["student"].write_text("")
    with pytest.raises(ProKDError, match=r"student.jsonl is empty"):
        write_report(**run)


def test_metrics_without_entity_scores_are_an_error(run):
    run["metrics"]["teacher"].write_text('{"token_acc": 1.0}')
    with pytest.raises(ProKDError, match="no entity scores"):
        write_report(**run)
