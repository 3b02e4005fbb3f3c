"""The page to try a pipeline: what it shows, that a moved slider asks no model, and how it starts."""

from __future__ import annotations

import json
import re
import socket
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import spacy
from browsing import free_port, serve_demo
from conftest import TEXTS
from spacy.tokens import DocBin
from streamlit import config
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest
from test_reporting import make_run, save_tagged
from websocket import WebSocket, create_connection  # which selenium needs

from spacy_prokd import cli
from spacy_prokd.architectures import get_head
from spacy_prokd.demo import launch
from spacy_prokd.demo.reading import (
    Entity,
    choose_colours,
    example_text,
    find_differences,
    highlight,
    keep,
    read,
    tabulate,
)
from spacy_prokd.errors import ProKDError
from spacy_prokd.loading import load_pipeline
from spacy_prokd.reporting import write_report
from spacy_prokd.shrinking import shrink

APP = Path(launch.__file__).with_name("app.py")
TEXT = TEXTS[0]

MERKEL = Entity((0, 6, "PER"), "Merkel", 0.9)
PARIS = Entity((15, 20, "LOC"), "Paris", 0.4)
RULE = Entity((22, 24, "ORG"), "AG", None)


@pytest.fixture
def student(student_nlp, tmp_path) -> str:
    """The folder of `student_nlp`."""
    student_nlp.to_disk(tmp_path / "student")
    return str(tmp_path / "student")


@pytest.fixture
def teacher(trained, tmp_path) -> str:
    """The folder of a teacher that also has a rule."""
    ruler = trained.add_pipe("entity_ruler", before="prokd_ner")
    ruler.add_patterns([{"label": "TIME", "pattern": "yesterday"}])
    trained.to_disk(tmp_path / "teacher")
    return str(tmp_path / "teacher")


@pytest.fixture
def page(monkeypatch):
    """Open the page of some pipelines."""

    def page(*names: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", [str(APP), *names])
        return AppTest.from_file(APP, default_timeout=60).run()

    return page


def html(page: AppTest) -> list[str]:
    assert not page.exception
    return [element.proto.body for element in page.get("html")]


def enter(page: AppTest, text: str) -> AppTest:
    page.text_area[0].input(text)
    return page.button[0].click().run()


# --- what is shown


def test_entities_with_their_scores(trained, teacher):
    found = read(teacher, TEXT).entities
    assert [(entity.text, entity.label) for entity in found] == [
        ("Angela Merkel", "PER"),
        ("Paris", "LOC"),
        ("yesterday", "TIME"),
    ]
    assert [entity.score for entity in found] == [ent._.score for ent in trained(TEXT).ents]
    assert all(TEXT[slice(*entity.place[:2])] == entity.text for entity in found)


def test_a_threshold_keeps_what_has_no_score():
    assert keep([MERKEL, PARIS, RULE], 0.4) == [MERKEL, PARIS, RULE]
    assert keep([MERKEL, PARIS, RULE], 0.41) == [MERKEL, RULE]


def test_text_and_labels_are_escaped():
    text, label = "<b>Merkel</b> & <script>", "<img src=x>"
    found = highlight(text, [Entity((3, 9, label), "Merkel", 0.9)], {}, set())
    assert "&lt;b&gt;" in found and "&amp;" in found and "&lt;script&gt;" in found and "&lt;img src=x&gt;" in found
    assert not any(tag in found for tag in ("<b>", "<script", "<img"))


def test_differences_are_marked():
    found = {"student": [MERKEL, PARIS], "teacher": [MERKEL._replace(score=0.5)]}
    assert find_differences(found) == {PARIS.place}
    marked = highlight("Merkel visited Paris.", found["student"], {"PER": "#fff", "LOC": "#000"}, {PARIS.place})
    assert "LOC ≠" in marked and "PER ≠" not in marked
    assert find_differences({"score": [MERKEL]}) == set()


@pytest.mark.parametrize(("text", "direction"), [("Oslo", "ltr"), ("1: أوسلو", "rtl"), ("", "ltr"), ("北京", "ltr")])
def test_the_direction_is_that_of_the_script(text, direction):
    assert f"direction: {direction}" in highlight(text, [], {}, set())


def test_scores_of_two_pipelines_are_in_one_table():
    assert tabulate({"score": [MERKEL, RULE]}) == [
        {"entity": "Merkel", "label": "PER", "score": 0.9},
        {"entity": "AG", "label": "ORG", "score": None},
    ]
    rows = tabulate({"student": [PARIS], "teacher": [MERKEL, PARIS._replace(score=0.3)]})
    assert rows == [
        {"entity": "Merkel", "label": "PER", "student": None, "teacher": 0.9, "found by": "teacher"},
        {"entity": "Paris", "label": "LOC", "student": 0.4, "teacher": 0.3, "found by": "both"},
    ]


def test_each_label_has_a_colour(student, teacher):
    assert set(choose_colours([student, teacher])) == {"LOC", "ORG", "PER", "TIME"}
    assert len(set(choose_colours([student, teacher]).values())) == 4


def test_a_label_has_the_colour_that_the_report_gives_it(student, teacher, tmp_path):
    """Of what the pipelines know, the report may show a part; of what they do not know, something beside it."""
    run = make_run(tmp_path)
    for role, path in run["metrics"].items():
        metrics = json.loads(path.read_text())
        of_type = {label: {"p": 0.5, "r": 0.5, "f": 0.5, "support": 9} for label in ("ANIMAL", "PER", "TIME")}
        seen = {"ents_per_type": of_type, "labels_only_in_data": ["ANIMAL", "TIME"][: 1 + (role == "student")]}
        path.write_text(json.dumps({**metrics, **seen, "labels_only_in_pipeline": ["LOC", "ORG"]}))
    save_tagged(run["tagged"]["teacher"], [("Bello bellt 2026", "B-ANIMAL O B-TIME", "B-PER O O", [0.5])])
    save_tagged(run["tagged"]["student"], [("Bello bellt 2026", "B-ANIMAL O B-TIME", "O O B-PER", [0.5])])
    page = write_report(**run).read_text(encoding="utf8")
    looks = dict(re.findall(r'class="entity (type-\d).*?">\w+<small>(\w+)', page))
    hues = dict(re.findall(r"\.(type-\d) { --hue: (\d+); }", page))
    lightness = re.search("--tint: (.*?);", page)[1]
    colours = {label: f"hsl({hues[look]} {lightness})" for look, label in looks.items()}
    assert set(colours) == {"ANIMAL", "PER", "TIME"}
    of_demo = choose_colours([student, teacher])
    assert {label: colours[label] for label in ("PER", "TIME")} == {label: of_demo[label] for label in ("PER", "TIME")}
    assert colours["ANIMAL"] not in of_demo.values()


def test_the_nearest_prototype_of_each_word(student_nlp, student):
    words = read(student, f"{TEXT}\n\n{TEXTS[3]}").words
    assert [word.text for word in words] == f"{TEXT} {TEXTS[3]}".split()
    pipe = student_nlp.get_pipe("prokd_ner")
    bank = get_head(pipe.model).target
    vectors = pipe.read([student_nlp(f"{TEXT}\n\n{TEXTS[3]}")]).vectors
    apart = (vectors[0] - bank.prototypes()) @ bank.unit.T
    assert words[0].distance == pytest.approx(float(apart.norm(dim=-1)[bank.present()].min()), abs=1e-3)
    assert words[0].prototype == words[0].tag == "B-PER"
    assert sum(word.prototype == word.tag for word in words) > len(words) / 2


def test_a_class_that_is_next_to_never_seen_has_no_prototype(student_nlp, tmp_path):
    pipe = student_nlp.get_pipe("prokd_ner")
    bank, tag = get_head(pipe.model).target, pipe.tags.index("I-ORG")
    bank.mass[tag] = 1e-9
    bank.vectors[tag] = 1e-9 * pipe.read([student_nlp(TEXT)]).vectors[0]  # as near as can be to the first word
    student_nlp.to_disk(tmp_path / "saved")
    assert read(str(tmp_path / "saved"), TEXT).words[0].prototype == "B-PER"


def test_a_package_still_has_its_prototypes(student, corpus):
    whole = read(student, TEXT).words
    small = Path(student).with_name("small")
    nlp = spacy.load(student)
    nlp.to_disk(small)
    shrink(nlp, small, corpus / "target.spacy", 115)
    assert read(str(small), TEXT).words == tuple(
        word._replace(distance=pytest.approx(word.distance, rel=1e-2)) for word in whole
    )


def test_who_never_trained_itself_has_no_prototypes(student_nlp, teacher, tmp_path):
    assert read(teacher, TEXT).words is None
    get_head(student_nlp.get_pipe("prokd_ner").model).target.updates.zero_()
    student_nlp.to_disk(tmp_path / "distilled")
    assert read(str(tmp_path / "distilled"), TEXT).words is None


@pytest.mark.parametrize(
    ("lang", "expected"), [("nl", "Londen is een grote stad"), ("ha", "Die ganze Stadt"), ("../de", "Die ganze Stadt")]
)
def test_the_example_is_in_the_language_of_the_pipeline(student_nlp, monkeypatch, tmp_path, lang, expected):
    monkeypatch.chdir(tmp_path)
    student_nlp.meta["spacy_prokd"] = {"target_lang": lang}
    student_nlp.to_disk(tmp_path / "saved")
    assert expected in example_text(str(tmp_path / "saved"))


def test_the_example_is_of_the_project_in_this_folder(student_nlp, monkeypatch, tmp_path):
    student_nlp.meta["spacy_prokd"] = {"target_lang": "de+nl"}
    student_nlp.to_disk(tmp_path / "saved")
    folder = tmp_path / "corpus/de+nl/de+nl"
    folder.mkdir(parents=True)
    texts = [TEXTS[2], f"{TEXT}{' .' * 200}", *[TEXT] * 7]  # no entity; too long
    DocBin(docs=map(student_nlp.make_doc, texts)).to_disk(folder / "train.spacy")
    monkeypatch.chdir(tmp_path)
    assert example_text("saved") == "\n".join([TEXT] * 6)


@pytest.mark.parametrize("outside", ["../private", "{folder}/private"])
def test_a_pipeline_does_not_lead_out_of_the_projects_corpora(student_nlp, monkeypatch, tmp_path, outside):
    for name in ("private", "corpus"):
        (tmp_path / name).mkdir()
    DocBin(docs=[student_nlp.make_doc(TEXT)]).to_disk(tmp_path / "private" / "train.spacy")
    monkeypatch.chdir(tmp_path)
    student_nlp.meta["spacy_prokd"] = {"target_lang": outside.format(folder=tmp_path)}
    student_nlp.to_disk(tmp_path / "saved")
    assert TEXT not in example_text(str(tmp_path / "saved"))


def test_where_a_project_has_nothing_to_find_the_example_is_spacys(student_nlp, monkeypatch, tmp_path):
    student_nlp.meta["spacy_prokd"] = {"target_lang": "nl"}
    student_nlp.to_disk(tmp_path / "nothing-found")
    folder = tmp_path / "corpus/nl/nl"
    folder.mkdir(parents=True)
    DocBin(docs=[student_nlp.make_doc(TEXTS[2])]).to_disk(folder / "train.spacy")
    monkeypatch.chdir(tmp_path)
    assert "Londen is een grote stad" in example_text("nothing-found")


# --- the page


def test_a_page_of_one_pipeline(page, student):
    opened = page(student)
    assert opened.text_area[0].value == example_text(student)
    (marked,) = html(enter(opened, f"<i>{TEXT}</i>"))
    assert "Angela Merkel" in marked and "PER" in marked and "&lt;i&gt;" in marked and "≠" not in marked
    entities, words = (table.value for table in opened.dataframe)
    assert list(entities.columns) == ["entity", "label", "score"]
    assert list(words.columns) == ["text", "tag", "prototype", "distance"]
    assert not opened.subheader


def test_a_moved_slider_asks_no_model(page, student):
    opened = enter(page(student), TEXT)
    asked = read.cache_info().misses
    scores = opened.dataframe[0].value["score"]
    opened.slider[0].set_value(round(float(scores.min()) + 0.01, 2)).run()
    assert html(opened)[0].count("<mark") < len(scores)
    opened.slider[0].set_value(1.0).run()
    assert html(opened)[0].count("<mark") == 0 and opened.info[0].value == "No entity has such a score."
    assert read.cache_info().misses == asked


def test_a_teacher_beside_its_student(page, student, teacher):
    opened = enter(page(student, teacher), TEXT)
    of_student, of_teacher = html(opened)
    assert "TIME ≠" in of_teacher and "TIME" not in of_student and "≠" not in of_student
    assert [heading.value for heading in opened.subheader] == ["Student", "Teacher"]
    assert list(opened.dataframe[0].value["found by"]) == ["both"] * 2 + ["teacher"]
    assert [expander.label for expander in opened.expander] == ["Nearest prototypes of the student"]


def test_no_text_and_no_entity(page, student):
    opened = enter(page(student), "  \n ")
    assert html(opened) == [] and opened.info[0].value == "There is no text."
    assert "<mark" not in html(enter(opened, TEXTS[2]))[0]
    assert opened.info[0].value == "No entity was found."


# --- how it starts


@pytest.fixture
def port() -> int:
    """One that is free."""
    return free_port()


def test_the_command_starts_the_page_on_this_machine_alone(monkeypatch, capsys, student, teacher, port):
    started = []
    monkeypatch.setattr("streamlit.web.bootstrap.run", lambda app, hello, names, flags: started.append((app, names)))
    command = ["spacy-prokd", "demo", student, "--teacher", teacher, "--port", str(port)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    ((app, names),) = started
    assert Path(app) == APP and list(names) == [student, teacher]
    assert f"http://localhost:{port}" in capsys.readouterr().out
    options = ("server.address", "server.port", "browser.gatherUsageStats", "server.showEmailPrompt")
    assert [config.get_option(name) for name in options] == ["localhost", port, False, False]


def test_one_line_says_where_the_page_is(student, tmp_path):
    said = tmp_path / "said.txt"
    with serve_demo(said, student) as address:
        served = HTTPConnection(urlsplit(address).netloc)  # which asks no proxy
        served.request("GET", "/")
        assert served.getresponse().status == 200
        served.close()
        assert said.read_text().splitlines() == [f"The page is at {address.rstrip('/')}. Ctrl-C ends it."]


def test_it_can_be_stopped_while_it_reads(student, tmp_path):
    with serve_demo(tmp_path / "said.txt", student) as address:
        place = urlsplit(address).netloc
        browser = create_connection(
            f"ws://{place}/_stcore/stream", subprotocols=["streamlit"], origin=f"http://{place}"
        )
        drawn = [message.delta.new_element for message in run_page(browser, [], until="script_finished")]
        (field,) = (element.text_area.id for element in drawn if element.HasField("text_area"))
        (button,) = (element.button.id for element in drawn if element.HasField("button"))
        entered = [
            WidgetState(id=field, string_value="Angela Merkel besuchte Paris. " * 3_000),
            WidgetState(id=button, trigger_value=True),
        ]
        run_page(browser, entered, until="new_session")
    browser.shutdown()


def run_page(browser: WebSocket, widgets: list[WidgetState], until: str) -> list[ForwardMsg]:
    """What the page sends, up to one kind of message, after somebody has set these widgets."""
    browser.send_binary(BackMsg(rerun_script=ClientState(widget_states={"widgets": widgets})).SerializeToString())
    messages = []
    while not messages or messages[-1].WhichOneof("type") != until:
        messages.append(ForwardMsg.FromString(browser.recv()))
    return messages


def test_a_package_that_was_built_and_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for folder in ("xx_built_nl-0.1.0", "xx_built_nl_sv-0.1.0"):
        wheel = Path("packages", folder, "dist", f"{folder}-py3-none-any.whl")
        wheel.parent.mkdir(parents=True)
        wheel.touch()
    built = "packages/xx_built_nl-0.1.0/dist/xx_built_nl-0.1.0-py3-none-any.whl"
    with pytest.raises(ProKDError, match=rf"^xx_built_nl cannot be loaded .* python -m pip install {built}$"):
        load_pipeline("xx_built_nl")
    with pytest.raises(ProKDError, match="Train it first, or name another.$"):
        load_pipeline("xx_built")


def test_what_is_wrong_is_said_before_it_starts(monkeypatch, student, port, tmp_path):
    spacy.blank("xx").to_disk(tmp_path / "blank")
    with pytest.raises(ProKDError, match="nowhere cannot be loaded as a pipeline"):
        launch.serve(student, str(tmp_path / "nowhere"), port)
    with pytest.raises(ProKDError, match="no component that sets entities"):
        launch.serve(str(tmp_path / "blank"), None, port)
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(ProKDError, match=f"^Port {port} cannot be used: [^:]*. Name another with --port.$"),
    ):
        launch.serve(student, None, port)
    monkeypatch.setitem(sys.modules, "streamlit.web.cli", None)
    with pytest.raises(ProKDError, match=r'pip install "spacy-prokd\[demo\]"'):
        launch.serve(student, None, port)
