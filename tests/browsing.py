"""A browser, and what a page looks like to who opens it: on a phone or on paper, in light or dark, and whether it can
be read."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

PROGRAMS = ("chromium", "chromedriver")
OPTIONS = (
    "--headless",
    "--no-sandbox",  # which needs rights that containers do not have
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
    "--force-prefers-reduced-motion",
    "--hide-scrollbars",
    "--window-size=1280,900",
)
PATIENCE = 120  # seconds, for a busy machine
PHONE, PAPER = 390, 718  # widths in pixels; A4 has 19 cm between Chromium's margins
READABLE = 4.5  # contrast of text, by the Web Content Accessibility Guidelines (AA)

# For each element with text of its own: the text, its colour and what is behind it, layer over layer.
COLOURS = """
const pixel = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
const paint = colour => {
  pixel.fillStyle = colour;
  pixel.fillRect(0, 0, 1, 1);
  return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const withText = element => element.checkVisibility() && element.getBoundingClientRect().width
  && [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
return [...document.querySelectorAll(arguments[0])].filter(withText).map(element => {
  const layers = [];
  for (let each = element; each; each = each.parentElement) layers.unshift(getComputedStyle(each).backgroundColor);
  const behind = layers.map(paint).at(-1), style = getComputedStyle(element);
  return [element.textContent, paint(element instanceof SVGElement ? style.fill : style.color), behind];
});
"""


def missing_programs() -> list[str]:
    """What a browser needs and this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def start_browser() -> Iterator[Chrome]:
    """A browser that reaches this machine alone."""
    browser, driver = map(shutil.which, PROGRAMS)
    options = ChromeOptions()
    options.binary_location = browser
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with patch.dict(os.environ, NO_PROXY="localhost"):  # selenium asks the driver through a proxy where one is set
        chromium = Chrome(options, Service(driver))
        try:
            yield chromium
        finally:
            chromium.quit()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextmanager
def serve_demo(said: Path, *arguments: str) -> Iterator[str]:
    """The address of the page that `spacy-prokd demo` serves until Ctrl-C; what the command says is in a file."""
    port = free_port()
    command = [sys.executable, "-m", "spacy_prokd", "demo", *arguments, "--port", str(port)]
    no_window = {**os.environ, "STREAMLIT_SERVER_HEADLESS": "true"}
    with said.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=no_window) as process:
        try:
            wait_until_served(port, process)
            address = f"http://localhost:{port}"
            assert address in said.read_text()
            yield f"{address}/"
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0, said.read_text()
        finally:
            process.kill()


def wait_until_served(port: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("localhost", port)):
            return
        time.sleep(0.1)


def set_width(browser: Chrome, width: int, height: int = 844) -> None:
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def set_media(browser: Chrome, scheme: str, media: str = "screen") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def luminance(colour: list[int]) -> float:
    """From 0, black, to 1, white."""
    parts = [value / 255 for value in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear))


def unreadable(browser: Chrome, selector: str) -> list[tuple[str, float]]:
    """Texts with too little contrast, and how little."""
    colours = browser.execute_script(COLOURS, selector)
    assert colours
    contrasts = []
    for text, ink, behind in colours:
        dark, light = sorted((luminance(ink), luminance(behind)))
        contrasts.append((text.strip(), round((light + 0.05) / (dark + 0.05), 2)))
    return [each for each in contrasts if each[1] < READABLE]


def background(browser: Chrome) -> float:
    """The luminance of the page."""
    return luminance(browser.execute_script(COLOURS, "h1, h1 *")[0][2])


def widths(browser: Chrome) -> tuple[int, int]:
    """Of the window, and of what is in it."""
    return tuple(browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]"))
