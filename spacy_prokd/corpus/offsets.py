"""In which other way the offsets of spans were counted that do not fit words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from unicodedata import east_asian_width

from spacy.tokens import Doc

# By how much start and end of spans are wrong that count characters in another way.
_SHIFTS = {
    (-1, -1): "one place further left: offsets count from 0",
    (0, 1): "with one letter more: `end` is the place behind the last letter",
    (-1, 0): "with the letter before: offsets count from 0, and `end` is the place behind the last letter",
}
# How many units a character has, of those that may have been counted in place of characters.
_UNITS: Mapping[str, Callable[[str], int]] = {
    "bytes of UTF-8, not characters: convert each, in Python with `len(text.encode()[:offset].decode())`": (
        lambda letter: len(letter.encode())
    ),
    "two for each full-width letter, as bytes of Shift-JIS do, not characters: convert each, in Python with "
    '`len(text.encode("cp932", "replace")[:offset].decode("cp932"))`': lambda letter: (
        1 + (east_asian_width(letter) in "WF")
    ),
    "UTF-16 code units, as JavaScript does, not characters: convert each, in Python with "
    '`len(text.encode("utf-16-le")[:2 * offset].decode("utf-16-le"))`': lambda letter: 1 + (letter > "\uffff"),
}


class OtherOffsets:
    """Counts in which ways the spans of a file would fit that do not."""

    def __init__(self) -> None:
        self.n_spans = 0
        self._fitting: Counter[str] = Counter()

    def add(self, doc: Doc, start: int, end: int) -> None:
        """Count a span that does not fit the words of its text."""
        self.n_spans += 1
        self._fitting.update(_find_ways(doc, start, end))

    def describe(self, n_kept: int) -> str:
        """Say how most of them would fit.

        n_kept (int): How many spans of the file fit as they are.
        RETURNS (str): A warning; nothing where there is no such way.
        """
        for way, n_fitting in self._fitting.most_common():
            # Units differ only behind the first letter that has several: spans before it fit in any case.
            if way in _UNITS and 2 * n_fitting > self.n_spans:
                return f"most of its spans that do not fit count {way}."
            if way not in _UNITS and 2 * n_fitting > self.n_spans + n_kept:
                return f"most of its spans would fit {way}."
        return ""


def _find_ways(doc: Doc, start: int, end: int) -> Iterator[str]:
    starts, ends = {word.idx for word in doc}, {word.idx + len(word) for word in doc}
    for (left, right), way in _SHIFTS.items():
        if start + left in starts and end + right in ends:
            yield way
    for way, size in _UNITS.items():
        places = {place: i for i, place in enumerate(accumulate(map(size, doc.text), initial=0))}
        if places.get(start) in starts and places.get(end) in ends:
            yield way
