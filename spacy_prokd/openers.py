"""Words that open text after text and are no part of the names behind them: "Photo:" in "Photo: Ruth Baker".

A teacher that does not know such a word takes it for the beginning of a name in some texts and leaves it out in others.
Target text alone shows that, without a label: the word is boilerplate, and the name begins behind it. A name that opens
many texts ("Siemens") is one in all of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from spacy.tokens import Doc

from .decoding import ScoredSpan

_FEWEST = 20  # texts that a word must open
_LOOKED_AT = 200  # texts at most, of those that a word opens
_SHARE = 1 / 50  # of all texts
_UNSURE = 0.1  # share of a word's texts in which a name begins with it, and as many in which one begins behind it


def find_openers(
    texts: Callable[[], Iterable[Doc]], tag: Callable[[Sequence[Doc]], Iterable[Sequence[ScoredSpan]]]
) -> dict[str, int]:
    """The words of a corpus that are no part of names, and how many texts each opens.

    texts (Callable): Reads the corpus; it is read twice where words open many texts, and never held.
    tag (Callable): Gives the names that a teacher finds in each of some texts.
    """
    counts = Counter(doc[0].text for doc in texts() if len(doc))
    steps = {word: math.ceil(counts[word] / _LOOKED_AT) for word in find_common(counts)}
    looked_at: dict[str, list[Doc]] = {word: [] for word in steps}
    seen: Counter[str] = Counter()
    for doc in texts() if steps else ():
        word = doc[0].text if len(doc) else ""
        if word in steps:
            if seen[word] % steps[word] == 0:
                looked_at[word].append(doc)
            seen[word] += 1
    starts = {word: [names[0].start if names else None for names in tag(docs)] for word, docs in looked_at.items()}
    return {word: counts[word] for word in starts if is_opener(starts[word])}


def find_common(counts: Counter[str]) -> list[str]:
    """The words that open many texts, those that open most first.

    counts (Counter[str]): How many texts each word opens.
    """
    fewest = max(_FEWEST, _SHARE * counts.total())
    return [word for word, n in counts.most_common() if n >= fewest]


def is_opener(starts: Sequence[int | None]) -> bool:
    """Whether a word is no part of names, by where the first name of each text that it opens is said to begin.

    starts (Sequence[int | None]): The first word of that name; None in a text without one.
    """
    return min(starts.count(0), starts.count(1)) >= _UNSURE * len(starts)


def begin_behind(p: np.ndarray) -> np.ndarray:
    """Tag probabilities of a text when it is known that its first word is no part of a name.

    What goes on with a name that would have begun there begins one.

    p (np.ndarray): [n_words, n_tags], tags in the order O, B-x, I-x, B-y, ...
    RETURNS (np.ndarray): [n_words, n_tags].
    """
    known = p.copy()
    known[0] = 0.0
    known[0, 0] = p[0].sum()
    moved = known[1:2, 2::2] * p[0, 1::2].sum()
    known[1:2, 1::2] += moved
    known[1:2, 2::2] -= moved
    return known
