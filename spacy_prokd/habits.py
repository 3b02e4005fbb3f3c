"""Habits of a corpus that a model forgets in another language: counted in the source's labels, and kept.

Symbols that join: whether "Springfield ( Illinois )" is one entity or two is no matter of language. Of one symbol no
source tells: in scripts without spaces a point or a hyphen stands where "Kobe Bryant" has its space,
"科比·布莱恩特", and the name is one.

Entities that touch: an entity seldom begins right after another. A model that takes a word for the beginning of a name
where it goes on, as in an unknown language, knows that no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from spacy.tokens import Doc

from .decoding import ScoredSpan, fit_to_words
from .scripts import is_spaceless

_ENTITY = ("B", "I")
_ENOUGH = 20  # places, to speak of a habit
_MOST = 0.75  # of a symbol's places
_IN_NAMES = frozenset("·‧-")  # between characters of a script without spaces


class Habits:
    """Counts of a labelled corpus.

    places (Counter[str]): How often each symbol stands between two words of entities.
    joined (Counter[str]): How often all three are one entity.
    n_within (int): How often an entity goes on with a word.
    n_touching (int): How often another begins right after it.
    """

    def __init__(self) -> None:
        self.places: Counter[str] = Counter()
        self.joined: Counter[str] = Counter()
        self.n_within = self.n_touching = 0

    def add(self, doc: Doc) -> None:
        """Count a labelled Doc."""
        tags = [word.ent_iob_ for word in doc]
        self.n_within += tags.count("I")
        self.n_touching += sum(before in _ENTITY and tag == "B" for before, tag in pairwise(tags))
        for word, before, tag, after in zip(doc[1:], tags, tags[1:], tags[2:]):
            if before in _ENTITY and after in _ENTITY and is_symbol(word.text):
                self.places[word.text] += 1
                self.joined[word.text] += tag == after == "I"

    def joining(self) -> list[str]:
        """The symbols that nearly always join what is on both sides, sorted."""
        return sorted(s for s, n in self.places.items() if n >= _ENOUGH and self.joined[s] >= _MOST * n)

    def touching(self) -> float:
        """How often another entity begins right after one, for each time that it goes on; 1 where few do either.

        One more than there are is counted, so that it is never 0.
        """
        return min(1.0, (self.n_touching + 1) / self.n_within) if self.n_within >= _ENOUGH else 1.0


def is_symbol(word: str) -> bool:
    """Whether a word has neither letters nor digits."""
    return not any(character.isalnum() for character in word)


def join_spans(spans: Iterable[ScoredSpan], words: Sequence[str], joining: Collection[str]) -> list[ScoredSpan]:
    """Make one entity of two that a joining symbol alone stands between, of the surer one's label and the lower score.

    spans (Iterable[ScoredSpan]): In order.
    words (Sequence[str]): Of their text.
    joining (Collection[str]): The symbols; beside them, those within names of scripts without spaces.
    RETURNS (list[ScoredSpan]): The spans, in order.
    """
    joined: list[ScoredSpan] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last and span.start == last.end + 1 and _joins(words, last.end, joining):
            surer = max(last, span, key=lambda each: each.score)
            joined[-1] = ScoredSpan(last.start, span.end, surer.label, min(last.score, span.score))
        else:
            joined.append(span)
    return joined


def whole_entities(spans: Iterable[ScoredSpan], words: Sequence[str], joining: Collection[str]) -> list[ScoredSpan]:
    """What a pipeline makes of the spans of a text: joined by symbols, and ending where entities do."""
    return fit_to_words(join_spans(spans, words, joining), words)


def _joins(words: Sequence[str], place: int, joining: Collection[str]) -> bool:
    if words[place] in joining:
        return True
    return words[place] in _IN_NAMES and is_spaceless(words[place - 1][-1:]) and is_spaceless(words[place + 1][:1])
