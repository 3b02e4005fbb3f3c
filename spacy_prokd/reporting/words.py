"""The map of words as groups of points, for the page to draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

SIDE = 400  # of the drawing, in its own units


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


def _look(tag: str, looks: Mapping[str, str]) -> str:
    """The CSS class of a tag: that of its type, hollow inside an entity."""
    if tag == "O":
        return "outside"
    return looks[tag[2:]] + (" inside" if tag.startswith("I-") else "")
