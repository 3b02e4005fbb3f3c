"""The report and the demo's page in Chromium: what their users see, and that nothing comes from elsewhere."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from browsing import (
    PAPER,
    PATIENCE,
    PHONE,
    background,
    missing_programs,
    serve_demo,
    set_media,
    set_width,
    start_browser,
    unreadable,
    widths,
)
from conftest import TEXTS, make_nlp, make_student
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from test_reporting import fill, make_run, save_tagged

from spacy_prokd.demo.reading import Entity, Reading, keep, read
from spacy_prokd.reporting import write_report

REQUIRED = "REQUIRE_BROWSER"  # an environment variable: without a browser these tests fail
TYPES = [f"TYPE_{letter}" for letter in "ABCDEFGHIJKLMNOPQR"]  # as many as OntoNotes has
TEXT = "\n\n".join(TEXTS[:4])

# For each chart: width, height, and whether each of its lines and marks is within.
CHARTS = """
const visible = box => box.width || box.height;
return [...document.querySelectorAll(".charts svg")].map(chart => {
  const frame = chart.getBoundingClientRect();
  const lines = [...chart.querySelectorAll("[style*='--series']")].map(line => line.getBoundingClientRect());
  return [frame.width, frame.height, lines.filter(visible).map(line =>
    frame.left < line.left && line.right < frame.right && frame.top < line.top && line.bottom < frame.bottom)];
});
"""
TARGET = """
const target = document.querySelector(":target"), page = document.documentElement;
return [target.textContent, target.getBoundingClientRect().top, innerHeight + scrollY + 1 >= page.scrollHeight];
"""
HOVERED = """
return [...document.querySelectorAll(":hover")].at(-1)?.querySelector(":scope > title")?.textContent;
"""
# The middle of the first mark that says this, once it is on the screen.
MIDDLE = """
const mark = [...document.querySelectorAll(".map g > *")].find(mark => mark.textContent === arguments[0]);
mark.scrollIntoView({block: "center"});
const box = mark.getBoundingClientRect();
return [box.x + box.width / 2, box.y + box.height / 2];
"""
# Pairs of names on the map that lie across each other, and names that reach out of it.
ACROSS = """
const names = [...document.querySelectorAll(".map text")];
const frame = document.querySelector(".map svg").getBoundingClientRect();
const boxes = names.map(name => name.getBoundingClientRect());
const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
const pairs = boxes.flatMap((a, i) => boxes.slice(0, i).flatMap((b, j) => meet(a, b) ? [[i, j]] : []));
const out = boxes.flatMap((a, i) => a.left < frame.left || a.right > frame.right ? [[i]] : []);
return [names.length, [...pairs, ...out].map(found => found.map(i => names[i].textContent))];
"""
# Texts of a table's cells that reach into the cell beside them.
CUT = """
return [...document.querySelectorAll("th, td")].filter(cell => cell.scrollWidth > cell.clientWidth + 1)
  .map(cell => cell.textContent);
"""
# Texts of elements that reach beyond the page, also within what scrolls.
TOO_WIDE = """
return [...document.querySelectorAll("body *")].filter(
  element => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 1
).map(element => element.textContent);
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    """A browser that reaches this machine alone."""
    if missing := missing_programs():
        reason = f"{' and '.join(missing)} not installed (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    with start_browser() as driver:
        yield driver


@pytest.fixture
def browser(chromium: Chrome) -> Iterator[Chrome]:
    """A browser with an empty page and an empty log, as large as a screen."""
    chromium.get("about:blank")
    for log in ("browser", "performance"):
        chromium.get_log(log)
    yield chromium
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def errors(browser: Chrome) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def requested(browser: Chrome) -> set[str]:
    """The addresses that the page asked for."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {each["request"]["url"] for each in sent if each["request"]["url"] != "about:blank"}


def wait_for(browser: Chrome, look: Callable[[Chrome], Any], expected: Any) -> None:
    """The page comes to show this: it is drawn later than a click returns."""
    with suppress(TimeoutException):
        WebDriverWait(browser, PATIENCE, 0.1).until(lambda _: look(browser) == expected)
    assert look(browser) == expected


# --- the report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report with all sections, many entity types or a long one, a word beneath a prototype's name."""
    run = fill(make_run(tmp_path_factory.mktemp("run")))
    for path in run["metrics"].values():
        path.write_text(path.read_text().replace('"PER"', '"QUALIFICATION"'))
    words = " ".join(f"word{i}" for i in range(len(TYPES)))
    gold = [f"B-{label}" for label in TYPES]
    for role, tags in (("teacher", [gold[0]] * len(TYPES)), ("student", [gold[1], *gold[1:]])):
        save_tagged(run["tagged"][role], [(words, " ".join(gold), " ".join(tags), [0.5] * len(TYPES))] * 2)
    drawn = json.loads(run["word_map"].read_text())
    drawn["words"].append({"language": 0, "tag": "O", "x": 0.55, "y": 0.5, "text": "beneath"})
    run["word_map"].write_text(json.dumps(drawn))
    return write_report(**run).as_uri()


def test_the_report_opens_without_an_error_and_fetches_nothing(browser, report):
    browser.get(report)
    assert browser.find_element(By.TAG_NAME, "h1").text == "Named entities from en to de"
    assert errors(browser) == []
    assert requested(browser) == {report}


def test_charts_are_drawn(browser, report):
    browser.get(report)
    charts = browser.execute_script(CHARTS)
    assert len(charts) == 6
    assert all(width > 200 and height > 100 and lines for width, height, lines in charts)
    assert all(inside for _width, _height, lines in charts for inside in lines)


def test_links_lead_to_their_sections(browser, report):
    browser.get(report)
    links = browser.find_elements(By.CSS_SELECTOR, "nav a")
    assert len(links) == 7
    for link in links:
        browser.execute_script("scrollTo(0, 0)")
        link.click()
        heading, top, at_the_end = browser.execute_script(TARGET)
        assert heading.startswith(link.text) and (abs(top) < 2 or at_the_end)


@pytest.mark.parametrize("no_scripts", [False, True])
def test_words_show_their_text_where_the_mouse_is(browser, report, no_scripts):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": no_scripts})
    browser.get(report)
    marks = browser.find_elements(By.CSS_SELECTOR, ".map g:not(.prototype) > *")
    shown = []
    for mark in marks:
        ActionChains(browser).move_to_element(mark).perform()
        shown.append(browser.execute_script(HOVERED))
    assert sorted(shown) == ["<u>Anna: B-PER", "Weber: I-PER", "beneath: O", "lacht: O"]


def tap(browser: Chrome, mark: str, aside: int = 0) -> None:
    """With a finger, so many pixels beside the middle of a mark."""
    x, y = browser.execute_script(MIDDLE, mark)
    for event, fingers in (("touchStart", [{"x": x + aside, "y": y}]), ("touchEnd", [])):
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": event, "touchPoints": fingers})


def label(browser: Chrome) -> str:
    """What stands beside the mark that was chosen."""
    return browser.find_element(By.CSS_SELECTOR, ".map output").text


def test_a_tap_shows_the_word_that_is_nearest(browser, report):
    set_width(browser, PHONE)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    browser.get(report)
    for mark, aside in (("Weber: I-PER", 0), ("<u>Anna: B-PER", 15), ("beneath: O", 1)):
        tap(browser, mark, aside)
        wait_for(browser, label, mark)
        for scheme in ("light", "dark"):
            set_media(browser, scheme)
            assert unreadable(browser, ".map output") == []
        assert widths(browser) == (PHONE, PHONE)
    tap(browser, "<u>Anna: B-PER", 50)
    wait_for(browser, label, "")


def test_keys_go_from_word_to_word(browser, report):
    browser.get(report)
    drawing = browser.find_element(By.CSS_SELECTOR, ".map svg")
    said = []
    for key in (Keys.ARROW_LEFT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, *[Keys.ARROW_RIGHT] * 50, Keys.ESCAPE):
        drawing.send_keys(key)
        said.append(label(browser))
    marks = [each.get_property("textContent") for each in browser.find_elements(By.CSS_SELECTOR, ".map title")]
    assert said == [marks[0], marks[1], *marks, *[marks[-1]] * (51 - len(marks)), ""]


def test_names_on_the_map_lie_across_no_other(browser, tmp_path):
    run = fill(make_run(tmp_path))
    drawn = json.loads(run["word_map"].read_text())
    tags = [f"{prefix}-{label}" for label in ("PER", "LOC", "QUALIFICATION") for prefix in "BI"]
    drawn["prototypes"] = [
        {"language": language, "tag": tag, "x": x + number % 3 / 50, "y": number % 2 / 50}
        for number, tag in enumerate(tags)
        for language, x in ((0, 0.5), (1, 0.9))
    ]
    drawn["words"] += [{**place, "text": "word"} for place in drawn["prototypes"]]
    run["word_map"].write_text(json.dumps(drawn))
    browser.get(write_report(**run).as_uri())
    for width in (PAPER, PHONE):
        set_width(browser, width)
        assert browser.execute_script(ACROSS) == [len(tags), []]


def test_the_report_fits_a_phone(browser, report):
    set_width(browser, PHONE)
    browser.get(report)
    assert widths(browser) == (PHONE, PHONE)
    assert browser.execute_script(CUT) == []
    captions = [each.rect for each in browser.find_elements(By.TAG_NAME, "caption")]
    assert captions and max(each["x"] + each["width"] for each in captions) <= PHONE, "also of a table that scrolls"


def test_the_report_is_readable_in_light_and_dark(browser, report):
    browser.get(report)
    pages = {}
    for scheme in ("light", "dark"):
        set_media(browser, scheme)
        assert unreadable(browser, "body *") == []
        pages[scheme] = background(browser)
    assert pages["light"] > 0.9 and pages["dark"] < 0.1


def test_the_report_on_paper_is_dark_on_white_and_whole(browser, report):
    browser.get(report)
    set_width(browser, PAPER)
    set_media(browser, "dark", "print")
    assert background(browser) == 1.0
    assert unreadable(browser, "main *") == []
    assert browser.execute_script(TOO_WIDE) == []
    parts = ("nav", "section", "table", ".charts svg", ".map svg")
    shown = {part: [each.is_displayed() for each in browser.find_elements(By.CSS_SELECTOR, part)] for part in parts}
    assert shown == {
        "nav": [False],
        "section": [True] * 7,
        "table": [True] * 7,
        ".charts svg": [True] * 6,
        ".map svg": [True],
    }


# --- the demo


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory, trained_bytes: bytes, small_tok2vec: dict) -> dict[str, str]:
    """The folders of a student and of its teacher, which also has a rule."""
    folder = tmp_path_factory.mktemp("pipelines")
    teacher = make_nlp(small_tok2vec).from_bytes(trained_bytes)
    make_student(teacher, small_tok2vec).to_disk(folder / "student")
    ruler = teacher.add_pipe("entity_ruler", before="prokd_ner")
    ruler.add_patterns([{"label": "TIME", "pattern": "yesterday"}])
    teacher.to_disk(folder / "teacher")
    return {role: str(folder / role) for role in ("student", "teacher")}


@pytest.fixture(scope="module")
def demo(chromium: Chrome, tmp_path_factory: pytest.TempPathFactory, pipelines: dict[str, str]) -> Iterator[str]:
    """The address of the student's page."""
    with serve_demo(tmp_path_factory.mktemp("demo") / "output.txt", pipelines["student"]) as address:
        yield address


@pytest.fixture
def page(browser: Chrome, demo: str) -> Chrome:
    """The demo, where somebody has entered `TEXT`."""
    return enter_text(browser, demo)


def enter_text(browser: Chrome, address: str) -> Chrome:
    browser.get(address)
    (field,) = WebDriverWait(browser, PATIENCE).until(lambda _: browser.find_elements(By.TAG_NAME, "textarea"))
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(TEXT)
    browser.find_element(By.XPATH, "//button[normalize-space()='Find entities']").click()
    return browser


@pytest.fixture
def reading(pipelines: dict[str, str]) -> Reading:
    """What the page should say of it."""
    return read(pipelines["student"], TEXT)


def marked(page: Chrome) -> list[list[str]]:
    """Each entity in the text and its label."""
    parts = "[mark.firstChild.textContent.trim(), mark.querySelector('span').textContent]"
    return page.execute_script(f"return [...document.querySelectorAll('mark')].map(mark => {parts})")


def tables(page: Chrome) -> list[list[list[str]]]:
    """The cells of each table that is open, as a screen reader finds them: what one sees is a drawing."""
    return page.execute_script("""
        const read = ({textContent: text}) => isNaN(text) ? text : Number(text).toFixed(3);
        return [...document.querySelectorAll("[data-testid=stDataFrame] table")].map(table =>
          [...table.rows].slice(1).map(row => [...row.cells].map(read)));
    """)


def marks_of(entities: Iterable[Entity]) -> list[list[str]]:
    return [[entity.text, entity.label] for entity in entities]


def rows_of(entities: Iterable[Entity]) -> list[list[str]]:
    return [[entity.text, entity.label, f"{entity.score:.3f}"] for entity in entities]


def test_the_demo_shows_entities_and_scores_and_asks_this_machine_alone(page, demo, reading):
    wait_for(page, marked, marks_of(reading.entities))
    wait_for(page, tables, [rows_of(reading.entities)])
    assert errors(page) == []
    addresses = requested(page)
    assert demo in addresses and [address for address in addresses if not address.startswith((demo, "data:"))] == []


def test_a_higher_threshold_leaves_fewer_entities(page, reading):
    wait_for(page, marked, marks_of(reading.entities))
    scores = sorted(entity.score for entity in reading.entities)
    below_one = 100 - math.ceil(100 * scores[0])  # in the slider's steps: the least sure entity goes, others stay
    kept = keep(reading.entities, 1 - below_one / 100)
    assert 0 < len(kept) < len(scores)
    slider = page.find_element(By.CSS_SELECTOR, "[data-testid=stSlider] :is(input, [role=slider])")
    page.execute_script("arguments[0].focus()", slider)  # some Streamlits hide it: the driver sends it no keys
    ActionChains(page).send_keys(Keys.END, Keys.ARROW_LEFT * below_one).perform()
    wait_for(page, marked, marks_of(kept))
    wait_for(page, tables, [rows_of(kept)])


def test_the_nearest_prototypes_are_in_a_table(page, reading):
    wait_for(page, tables, [rows_of(reading.entities)])
    page.find_element(By.XPATH, "//summary[contains(., 'Nearest prototypes')]").click()
    first = [[word.text, word.tag, word.prototype, f"{word.distance:.3f}"] for word in reading.words[:5]]
    wait_for(page, lambda page: [table[:5] for table in tables(page)[1:]], [first])


def test_a_teacher_is_shown_beside_its_student(browser, pipelines, tmp_path):
    student, teacher = (read(pipelines[role], TEXT).entities for role in ("student", "teacher"))
    assert [entity.label for entity in teacher if entity not in student] == ["TIME"]
    of_teacher = [[text, label + " ≠" * (label == "TIME")] for text, label in marks_of(teacher)]
    with serve_demo(tmp_path / "output.txt", pipelines["student"], "--teacher", pipelines["teacher"]) as address:
        page = enter_text(browser, address)
        wait_for(page, marked, [*marks_of(student), *of_teacher])
        sides = [each.rect for each in page.find_elements(By.CSS_SELECTOR, ".entities")]
        assert [heading.text for heading in page.find_elements(By.TAG_NAME, "h3")] == ["Student", "Teacher"]
        assert len(sides) == 2 and sides[0]["x"] + sides[0]["width"] <= sides[1]["x"]
        assert errors(page) == []


def test_entities_are_readable_in_light_and_dark(page, reading):
    for scheme in ("light", "dark"):
        set_media(page, scheme)
        wait_for(page, lambda page: background(page) > 0.5, scheme == "light")
        wait_for(page, marked, marks_of(reading.entities))
        assert unreadable(page, ".entities, .entities *") == []


def test_the_demo_fits_a_phone(page, reading):
    set_width(page, PHONE)
    wait_for(page, tables, [rows_of(reading.entities)])
    assert widths(page) == (PHONE, PHONE) and page.execute_script(TOO_WIDE) == []


# --- the pictures of both in the docs


def test_pictures_of_report_and_demo(browser, report, demo, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "docs"))
    screenshots = import_module("screenshots")
    sizes = []
    for take, address in ((screenshots.take_report, report), (screenshots.take_demo, demo)):
        picture = tmp_path / f"{take.__name__}.png"
        take(browser, address, picture)
        header = picture.read_bytes()[:24]
        assert header.startswith(b"\x89PNG")
        sizes.append(struct.unpack(">II", header[16:]))
    (report_width, report_height), (demo_width, demo_height) = sizes
    assert 0.8 * screenshots.WIDTH < report_width <= screenshots.WIDTH >= demo_width
    assert report_height > screenshots.HEIGHT > demo_height > 300, "also of a section that is longer than the window"
