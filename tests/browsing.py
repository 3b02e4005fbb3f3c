"""What a page looks like to who opens it: on a phone or on paper, in light or dark, and whether it can be read."""

from __future__ import annotations

from selenium.webdriver import Chrome

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


def set_width(browser: Chrome, width: int) -> None:
    screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
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
