"""Paragraphs, which the encoder reads each by itself: what it sees of one is the same in any document.

A blank line ends one, and so does the end of a line, unless lines were broken at a width: then it stands anywhere in
a sentence.
"""

from __future__ import annotations

from itertools import pairwise

from spacy.tokens import Doc

WIDTHS = (20, 120)  # in characters: who breaks lines of running text has a screen or a column to fit


def split_paragraphs(doc: Doc) -> list[list[str]]:
    """Cut a Doc into paragraphs; what stands between two is cut off as one more.

    RETURNS (list[list[str]]): The words of each, which together are those of the Doc.
    """
    words = [word.text for word in doc]
    ends = [i for i, word in enumerate(words) if "\n" in word and word.isspace()]
    if ends and _is_hard_wrapped(doc, ends):
        ends = [i for i in ends if _is_blank_line(words[i])]
    edges = sorted({0, *ends, *(i + 1 for i in ends), len(words)})
    return [words[start:end] for start, end in pairwise(edges)]


def _is_hard_wrapped(doc: Doc, ends: list[int]) -> bool:
    """Whether most lines end because the next word had no room: with it they would be wider than lines are.

    ends (list[int]): The words that end lines.
    """
    lines = [len(doc[start:end].text) for start, end in zip([0, *(i + 1 for i in ends)], [*ends, len(doc)])]
    width = sorted(lines)[9 * len(lines) // 10]  # one line in ten may be wider: an address cannot be broken
    had_no_room = [
        line + 1 + len(doc[end + 1]) > width
        for line, end in zip(lines, ends)
        if end + 1 < len(doc) and not _is_blank_line(doc[end].text)
    ]
    return WIDTHS[0] <= width <= WIDTHS[1] and 2 * sum(had_no_room) > len(had_no_room)


def _is_blank_line(word: str) -> bool:
    """Whether a word of white space has one in it."""
    return word.count("\n") > 1
