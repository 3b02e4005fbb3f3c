"""The colour of each label, the same one in the report and in the demo."""

from __future__ import annotations

from collections.abc import Iterable

HUES = (25, 275, 140, 215, 335, 50, 180, 0)  # in degrees
TINT = "75% 87%"  # saturation and lightness behind dark text


def number_hues(labels: Iterable[str], unknown: Iterable[str] = ()) -> dict[str, int]:
    """Choose a hue for each label.

    labels (Iterable[str]): Those that the pipelines know, whether or not they are shown: all of them in each place.
    unknown (Iterable[str]): Those that only the data has. They come last, so that the others keep their colours.
    RETURNS (dict[str, int]): The place of its hue in HUES.
    """
    known = set(labels)
    ordered = [*sorted(known), *sorted(set(unknown) - known)]
    return {label: number % len(HUES) for number, label in enumerate(ordered)}
