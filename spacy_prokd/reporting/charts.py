"""Line charts as inline SVG. Their colours are the page's CSS variables, so one drawing serves light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

WIDTH, HEIGHT = 3.5, 2.2  # inches: a phone's width, so that text is as large as the page's

# Matplotlib wants colours; each stands for a variable and is replaced in its SVG.
_INK, _GRID = "#000001", "#000002"
_FIRST_LINE = 3  # "#000003" is the first line's
_NAMES_A_ROW = 4  # of a legend
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))  # not by colour alone
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.parse_math": False,  # a label may have dollar signs
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


class Series(NamedTuple):
    """One line: `y[i]` was seen at `x[i]`; None is a gap. `look` names its colour on the page: series-0, type-3."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    look: str


def line_chart(title: str, series: Sequence[Series], x_label: str = "step", diagonal: bool = False) -> Markup:
    """Draw lines.

    title (str): What is drawn; the SVG's name for those who cannot see it.
    series (Sequence[Series]): The lines; with more than one there is a legend.
    x_label (str): What x is.
    diagonal (bool): Draw where x and y are the same, from 0 to 1.
    RETURNS (Markup): An `<svg>` element that takes the width it is given, without script, font or outside address.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # The salt makes ids that repeat from run to run but not from chart to chart.
    colours = [f"#{_FIRST_LINE + i:06x}" for i in range(len(series))]
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.subplots()
        for line, colour in zip(series, colours):
            y = [float("nan") if value is None else value for value in line.y]
            dashes = _DASHES[int(line.look.rpartition("-")[2]) % len(_DASHES)]
            axes.plot(line.x, y, color=colour, linestyle=dashes, marker="o", markersize=2.5)
        if diagonal:
            axes.plot([0, 1], [0, 1], color=_GRID, linewidth=1)
        axes.set_xlabel(x_label)
        axes.locator_params(nbins=5)
        if all(isinstance(x, int) for line in series for x in line.x):
            axes.locator_params(axis="x", integer=True)
        axes.grid(axis="y")
        axes.tick_params(length=0)
        if len(series) > 1:
            # given here and not to the lines: a legend leaves out a line that calls itself "_X"
            names = [line.name for line in series]
            figure.legend(
                axes.lines[: len(names)],
                names,
                loc="outside upper left",
                ncols=min(len(series), _NAMES_A_ROW),
                frameon=False,
            )
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    variables = {_INK: "ink", _GRID: "line", **dict(zip(colours, (line.look for line in series)))}
    return Markup(_inline(buffer.getvalue(), title, variables))


def _inline(document: str, title: str, variables: Mapping[str, str]) -> str:
    """Make matplotlib's file an element: no prolog, no metadata, no ids that repeat on the page, its colours."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', _opening_tag(title), svg, count=1)
    for colour, variable in variables.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg


def _opening_tag(title: str) -> str:
    label = Markup.escape(title).replace("\\", r"\\")
    return rf'<svg viewBox="\1" role="img" aria-label="{label}" xmlns:xlink="http://www.w3.org/1999/xlink">'
