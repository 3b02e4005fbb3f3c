"""Words that open text after text and are no part of the names behind them: "Photo:" in "Photo: Ruth Baker".

A teacher that does not know such words takes them for a part of a name, in some texts or in all. Target text shows,
without a label, that they are boilerplate: they stand nowhere but there, and names begin right behind them. A name that
opens many texts ("Siemens") stands elsewhere too, or the teacher is sure of it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import count

import numpy as np
from spacy.tokens import Doc, Token

from .decoding import ScoredSpan

Opener = tuple[str, ...]  # its words, in lower case

_FEWEST = 20  # texts that a word must open
_LOOKED_AT = 200  # texts at most, of those that a word opens
_SHARE = 1 / 50  # of all texts
_TOGETHER = 0.75  # share of a word's texts that go on with the same words
_ONLY_THERE = 0.9  # share of the places of a word that an opener must be
_OFTEN = 0.1  # share of an opener's texts in which a name begins right behind it
_SURE = 0.5  # score of a name


def find_openers(
    texts: Callable[[], Iterable[Doc]], tag: Callable[[Sequence[Doc]], Iterable[Sequence[ScoredSpan]]]
) -> dict[Opener, int]:
    """The openers of a corpus that are no part of names, and how many texts each opens.

    texts (Callable): Reads the corpus; it is read again where words open many texts, and never held.
    tag (Callable): Gives the names that a teacher finds in each of some texts.
    """
    counts = Counter(doc[0].lower_ for doc in texts() if len(doc))
    opened = {find_opener(docs): docs for docs in _look_at(texts, {word: counts[word] for word in find_common(counts)})}
    found = {}
    for opener, n_texts in count_boilerplate(texts, opened).items():
        docs = [doc for doc in opened[opener] if count_opening(doc, [opener])]
        if begin_names_behind(tag(docs), len(opener)):
            found[opener] = n_texts
    return found


def _look_at(texts: Callable[[], Iterable[Doc]], counts: dict[str, int]) -> list[list[Doc]]:
    """Some texts of each word that opens many, from all over the corpus."""
    steps = {word: math.ceil(n / _LOOKED_AT) for word, n in counts.items()}
    looked_at: dict[str, list[Doc]] = {word: [] for word in counts}
    seen: Counter[str] = Counter()
    for doc in texts() if counts else ():
        word = doc[0].lower_ if len(doc) else ""
        if word in steps:
            if seen[word] % steps[word] == 0:
                looked_at[word].append(doc)
            seen[word] += 1
    return list(looked_at.values())


def find_common(counts: Counter[str]) -> list[str]:
    """The words that open many texts, those that open most first.

    counts (Counter[str]): How many texts each word opens.
    """
    fewest = max(_FEWEST, _SHARE * counts.total())
    return [word for word, n in counts.most_common() if n >= fewest]


def find_opener(docs: Sequence[Doc]) -> Opener:
    """The words that texts open with, as far as most of them go on alike.

    docs (Sequence[Doc]): Texts that open with the same word.
    """
    longest: Opener = ()
    for n_words in count(1):
        openings = Counter(_words(doc[:n_words]) for doc in docs if len(doc) >= n_words)
        opener, n_texts = max(openings.items(), key=lambda item: item[1], default=((), 0))
        if n_texts < _TOGETHER * len(docs):
            break
        longest = opener
    return longest


def count_boilerplate(texts: Callable[[], Iterable[Doc]], openers: Collection[Opener]) -> dict[Opener, int]:
    """The openers whose words stand nowhere but there, and how many texts each opens.

    Single letters stand everywhere: an opener that is made of nothing else is looked for as a whole.

    texts (Callable): Reads the corpus.
    openers (Collection[Opener]): To choose from.
    """
    parts = {opener: {(word,) for word in opener if len(word) > 1} or {opener} for opener in openers}
    n_texts: Counter[Opener] = Counter()
    n_places: Counter[Opener] = Counter()
    wanted = {part: _join(part) for part in set().union(*parts.values())}
    for doc in texts() if wanted else ():
        n_texts.update(opener for opener in openers if count_opening(doc, [opener]))
        text = _join(_words(doc))
        n_places.update({part: n for part, joined in wanted.items() if (n := text.count(joined))})
    return {
        opener: n
        for opener, n in n_texts.items()
        if all(n * _join(opener).count(wanted[part]) >= _ONLY_THERE * n_places[part] for part in parts[opener])
    }


def begin_names_behind(names: Iterable[Sequence[ScoredSpan]], n_words: int) -> bool:
    """Whether names often begin right behind an opener where none that the teacher is sure of begins within it.

    names (Iterable[Sequence[ScoredSpan]]): Of each of some texts with the opener.
    n_words (int): Of the opener.
    """
    behind = [
        any(name.start == n_words for name in found)
        and not any(name.start < n_words and name.score >= _SURE for name in found)
        for found in names
    ]
    return sum(behind) >= _OFTEN * len(behind)


def count_opening(doc: Doc, openers: Iterable[Opener]) -> int:
    """How many words of a text are an opener; 0 if it begins with none."""
    for opener in openers:
        if _words(doc[: len(opener)]) == opener:
            return len(opener)
    return 0


def begin_behind(p: np.ndarray, n_words: int) -> np.ndarray:
    """Tag probabilities of a text when it is known that its first words are no part of a name.

    What goes on with a name that would have begun there begins one.

    p (np.ndarray): [n_words, n_tags], tags in the order O, B-x, I-x, B-y, ...
    n_words (int): The first words, one or more.
    RETURNS (np.ndarray): [n_words, n_tags].
    """
    known = p.copy()
    known[:n_words] = 0.0
    known[:n_words, 0] = p[:n_words].sum(axis=1)
    behind = slice(n_words, n_words + 1)
    moved = known[behind, 2::2] * p[n_words - 1, 1:].sum()
    known[behind, 1::2] += moved
    known[behind, 2::2] -= moved
    return known


def _words(words: Iterable[Token]) -> Opener:
    return tuple(word.lower_ for word in words)


def _join(words: Opener) -> str:
    """Words in a string that is in another one where they are words of it."""
    return "".join(f"\0{word}\0" for word in words)
