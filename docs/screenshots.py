"""The pictures of report and demo in these pages, made again from what a run of the project left.

    python -m spacy project run all
    python docs/screenshots.py

It needs Chromium, as the tests of both in a browser do.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import WebDriverWait

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browsing import PATIENCE, missing_programs, serve_demo, set_media, set_width, start_browser  # noqa: E402

REPORT = Path("reports/de.html")
PIPELINES = [f"training/de/{role}/model-last" for role in ("student", "teacher")]
WIDTH, HEIGHT = 860, 2000  # pixels; a page that scrolls by itself shows no more than its height
MARGIN = 8
TEXTS = 2  # of the worst ones

# Left, top, right and bottom of elements.
BOX = """
const boxes = arguments[0].map(element => element.getBoundingClientRect());
return [
  Math.min(...boxes.map(box => box.left)) + scrollX, Math.min(...boxes.map(box => box.top)) + scrollY,
  Math.max(...boxes.map(box => box.right)) + scrollX, Math.max(...boxes.map(box => box.bottom)) + scrollY,
];
"""
# What the demo shows last, once nothing runs any more.
DRAWN = """
const app = document.querySelector("[data-testid=stApp][data-test-script-state=notRunning]");
return app?.querySelector("mark") && app.querySelector("[data-testid=stDataFrame] table tr + tr")
  && app.querySelector("[data-testid=stExpander]");
"""
NEXT_FRAME = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"


def main() -> None:
    """Write docs/report.png and docs/demo.png."""
    if missing := [name for name in (str(REPORT), *PIPELINES) if not Path(name).exists()]:
        sys.exit(f"{missing[0]} is missing. `python -m spacy project run all` makes it.")
    if missing := missing_programs():
        sys.exit(f"{' and '.join(missing)} not installed (Debian: apt-get install chromium chromium-driver)")
    with start_browser() as browser:
        take_report(browser, REPORT.resolve().as_uri(), DOCS / "report.png")
        student, teacher = PIPELINES
        with (
            TemporaryDirectory() as folder,
            serve_demo(Path(folder) / "said.txt", student, "--teacher", teacher) as address,
        ):
            take_demo(browser, address, DOCS / "demo.png")


def take_report(browser: Chrome, address: str, output: Path) -> None:
    """The section on mistakes, as far as the first texts where the student was worst."""
    _open(browser, address)
    section = browser.find_element("css selector", "section[aria-labelledby=mistakes]")
    texts = section.find_elements("css selector", ".texts:first-of-type > li")
    _take(browser, [section.find_element("tag name", "h2"), *texts[:TEXTS]], output)


def take_demo(browser: Chrome, address: str, output: Path) -> None:
    """All of the page, as it opens."""
    _open(browser, address)
    last = WebDriverWait(browser, PATIENCE).until(lambda _: browser.execute_script(DRAWN))
    _take(browser, [browser.find_element("tag name", "h1"), last], output)


def _open(browser: Chrome, address: str) -> None:
    set_width(browser, WIDTH, HEIGHT)
    set_media(browser, "light")
    browser.get(address)


def _take(browser: Chrome, elements: list, output: Path) -> None:
    """Everything from the first to the last of some elements."""
    browser.execute_async_script(NEXT_FRAME)
    left, top, right, bottom = browser.execute_script(BOX, elements)
    clip = {
        "x": max(0, left - 2 * MARGIN),
        "y": max(0, top - MARGIN),
        "width": right - left + 4 * MARGIN,
        "height": bottom - top + 2 * MARGIN,
        "scale": 1,
    }
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    output.write_bytes(base64.b64decode(picture["data"]))


if __name__ == "__main__":
    main()
