"""Entity labels and tags: any usual tag scheme in, IOB2 out. Knows neither spaCy nor torch.

A label is an entity type (`PER`), a tag is what one word carries (`B-PER`). Schemes differ in how a tag says
where an entity begins and ends:

    IOB1   I-PER I-PER B-PER     B- only where an entity touches one of the same label before it
    IOB2   B-PER I-PER B-PER     every entity begins with B-
    BIOES  B-PER E-PER S-PER     the last word is E-, an only word is S-
    BILUO  B-PER L-PER U-PER     the same with L- and U-
    IO     PER   PER   PER       labels without a prefix; entities that touch become one
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from .errors import ProKDError

_PREFIXES = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIES", "BILUO": "BILU", "IO": ""}
SCHEMES = tuple(_PREFIXES)
_PREFIXED = re.compile(r"([BIESLU])-(.+)")
# One letter and a hyphen is a prefix that nobody uses, not a label; `art-music` (Few-NERD) is a label.
_PLAIN = re.compile(r"[^\W\d_](?![-_]).+")


class TagError(ProKDError):
    """A tag that the scheme does not know.

    index (int): The position of the tag in its sentence.
    """

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def tags_of(labels: Iterable[str]) -> list[str]:
    """List the tags of some labels, in the order in which every part of the project counts classes.

    labels (Iterable[str]): Entity labels, in any order.
    RETURNS (list[str]): `O`, then `B-x` and `I-x` of each label, labels sorted.
    """
    return ["O", *(f"{prefix}-{label}" for label in sorted(set(labels)) for prefix in "BI")]


def spans_to_tags(spans: Iterable[tuple[int, int, str]], n_words: int) -> list[str]:
    """The tag of each word of a text.

    spans (Iterable[tuple[int, int, str]]): First word, exclusive end and label of its entities; none overlap.
    n_words (int): Of the text.
    RETURNS (list[str]): IOB2.
    """
    tags = ["O"] * n_words
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tags


def detect_scheme(sentences: Iterable[Sequence[str]]) -> str:
    """Find the scheme of a file from all of its sentences. Unknown tags are left for `to_iob2` to name.

    sentences (Iterable[Sequence[str]]): The tags of each sentence.
    RETURNS (str): One of `SCHEMES`; IOB2 where there is nothing to tell by.
    """
    prefixes: Counter[str] = Counter()
    starts: Counter[str] = Counter()
    for tags in sentences:
        open_label = ""
        for tag in tags:
            prefix, label = _parse(tag)
            prefixes[prefix] += 1
            if label and label != open_label:
                starts[prefix] += 1
            open_label = label
    bioes, biluo = prefixes["E"] + prefixes["S"], prefixes["L"] + prefixes["U"]
    if bioes or biluo:
        return "BIOES" if bioes >= biluo else "BILUO"
    if not prefixes["B"] and not prefixes["I"] and prefixes[""]:
        return "IO"
    # A majority, so that a few wrong tags do not turn the file: where IOB2 starts an entity with B-, IOB1 has I-.
    return "IOB2" if starts["B"] >= starts["I"] else "IOB1"


def to_iob2(tags: Sequence[str], scheme: str) -> tuple[list[str], int]:
    """Write the tags of one sentence in IOB2.

    tags (Sequence[str]): One tag a word.
    scheme (str): The scheme they are in, one of `SCHEMES`.
    RETURNS (tuple[list[str], int]): The tags in IOB2, and how many were repaired: an `I-` (`E-`, `L-`) that
        continues no entity of its label begins one, and `B-O` (Universal NER has it) is `O`.
    RAISES (TagError): If a tag is unknown or of another scheme.
    """
    converted = []
    n_repaired = 0
    open_label = ""
    for index, tag in enumerate(tags):
        prefix, label = _parse(tag)
        if prefix == "O":
            n_repaired += tag != "O"
            converted.append("O")
            open_label = ""
            continue
        if prefix not in _PREFIXES[scheme] or (prefix == "") != (scheme == "IO"):
            raise TagError(_describe_unknown(tag, scheme), index)
        continues = label == open_label and prefix not in ("B", "S", "U")
        if not continues and prefix in ("I", "E", "L") and scheme != "IOB1":
            n_repaired += 1
        converted.append(f"{'I' if continues else 'B'}-{label}")
        open_label = "" if prefix in ("E", "S", "L", "U") else label
    return converted, n_repaired


@lru_cache(maxsize=4096)
def _parse(tag: str) -> tuple[str, str]:
    """Split a tag: `("B", "PER")`, `("O", "")`, `("", "PER")` without a prefix, `("?", "")` if unknown."""
    match = _PREFIXED.fullmatch(tag)
    if tag == "O" or (match and match[2] == "O"):
        return "O", ""
    if match:
        return match[1], match[2]
    return ("", tag) if _PLAIN.fullmatch(tag) else ("?", "")


def _describe_unknown(tag: str, scheme: str) -> str:
    allowed = ["O", *(f"{prefix}-<label>" for prefix in _PREFIXES[scheme])] if _PREFIXES[scheme] else ["O", "<label>"]
    return (
        f"unknown tag {tag!r}. The rest of the file is tagged {scheme}, which has {', '.join(allowed)}. "
        f"Correct it in the file."
    )
