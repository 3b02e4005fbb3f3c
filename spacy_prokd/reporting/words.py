"""The map of words as groups of points, and names beside prototypes, for the page to draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple

SIDE = 400  # of the drawing, in its own units
MARGIN = 8  # around it
NAMES_MARGIN = 40  # at the right, for names
# Of a name's letter, where letters are largest: on a phone (report.html).
_LETTER_WIDTH, _LINE_HEIGHT = 8.5, 16
_MOST_LINES = 10  # that a name is moved up or down
_RADIUS = 5  # of a prototype's mark (words.html)


class Group(NamedTuple):
    """The points of one tag in one language: x, y and text of each."""

    language: int
    tag: str
    look: str
    points: list[tuple[float, float, str]]


def group_points(points: Iterable[Mapping[str, Any]], looks: Mapping[str, str]) -> list[Group]:
    """Group what `write_word_map` wrote, for what a group shares is then on the page once.

    points (Iterable[Mapping[str, Any]]): Words or prototypes.
    looks (Mapping[str, str]): The CSS class of each type.
    RETURNS (list[Group]): In order of language and tag.
    """
    groups: dict[tuple[int, str], list[tuple[float, float, str]]] = defaultdict(list)
    for point in points:
        x, y = (round(SIDE * point[axis], 1) for axis in "xy")
        groups[point["language"], point["tag"]].append((x, y, point.get("text", "")))
    return [Group(language, tag, _look(tag, looks), groups[language, tag]) for language, tag in sorted(groups)]


class Name(NamedTuple):
    """Where the name of a prototype is written: `x` is where it starts, or where it ends, as SVG's `anchor` says."""

    x: float
    y: float
    anchor: str
    mark: tuple[float, float]


def place_names(prototypes: Iterable[Group]) -> dict[str, Name]:
    """Place the tags of the target's prototypes beside their marks, none across another or a mark if there is room.

    prototypes (Iterable[Group]): From `group_points`.
    RETURNS (dict[str, Name]): Of each tag.
    """
    marks = {group.tag: group.points[0][:2] for group in prototypes if group.language == 1}
    taken = [_Box(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS) for x, y in marks.values()]
    names: dict[str, Name] = {}
    for tag, (x, y) in marks.items():
        places = [(name, _surround(tag, name)) for name in _beside(x, y)]
        free = (each for each in places if _is_inside(each[1]) and not any(map(each[1].meets, taken)))
        names[tag], box = next(free, places[0])
        taken.append(box)
    return names


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _beside(x: float, y: float) -> list[Name]:
    """Where a name may be, right of a mark or left of it, the nearest place first."""
    lines = sorted(range(-_MOST_LINES, _MOST_LINES + 1), key=abs)
    return [
        Name(round(x + side * 8, 1), round(y + 4 + line * _LINE_HEIGHT, 1), anchor, (x, y))
        for line, (side, anchor) in product(lines, ((1, "start"), (-1, "end")))
    ]


def _surround(text: str, name: Name) -> _Box:
    width = len(text) * _LETTER_WIDTH
    left = name.x if name.anchor == "start" else name.x - width
    return _Box(left, name.y - _LINE_HEIGHT + 3, left + width, name.y + 3)


def _is_inside(box: _Box) -> bool:
    right = SIDE + NAMES_MARGIN
    return box.left >= -MARGIN and box.right <= right and box.top >= -MARGIN and box.bottom <= SIDE + MARGIN


def _look(tag: str, looks: Mapping[str, str]) -> str:
    """The CSS class of a tag: that of its type, hollow inside an entity."""
    if tag == "O":
        return "outside"
    return looks[tag[2:]] + (" inside" if tag.startswith("I-") else "")
