"""Which tag a word has in most of its places, and where two sides differ in that: Table 5 of arXiv 2301.08855."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from spacy.tokens import Doc

from .labels import spans_to_tags
from .mistakes import found_of, gold_of
from .scoring import Span as Entity

LABELS = "labels"  # what the labels of a text say, beside what pipelines say

Preferences = Mapping[str, Counter[str]]


class Preference(NamedTuple):
    """A word that two pipelines prefer another tag for.

    word (str): The word.
    places (int): How often it is in the texts.
    tags (dict[str, tuple[str, float]]): The preferred tag and its share of the places, by who says so: LABELS, and
        both pipelines.
    example (tuple[int, int]): A text and a word in it: the first place where the pipelines say different things.
    """

    word: str
    places: int
    tags: dict[str, tuple[str, float]]
    example: tuple[int, int]


def word_tags(doc: Doc, entities: Iterable[Entity]) -> Iterator[tuple[str, str]]:
    """Each word and its tag."""
    yield from zip((word.text for word in doc), spans_to_tags(entities, len(doc)))


def count_tags(docs: Iterable[Doc], entities_of: Callable[[Doc], Iterable[Entity]] = found_of) -> Preferences:
    """How often each word has each tag.

    docs (Iterable[Doc]): The texts.
    entities_of (Callable): What says which entities a text has; those that are set, if not given.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for doc in docs:
        for word, tag in word_tags(doc, entities_of(doc)):
            counts[word][tag] += 1
    return counts


def preferred(tags: Counter[str]) -> tuple[str, float]:
    """The tag of most places, and its share of them."""
    tag, n = max(tags.items(), key=lambda item: (item[1], item[0]))
    return tag, n / tags.total()


def find_different(first: Preferences, second: Preferences, fewest: int) -> list[str]:
    """Words of at least so many places on both sides whose preferred tags differ; the second's most frequent first."""
    words = [word for word, tags in second.items() if min(tags.total(), first.get(word, Counter()).total()) >= fewest]
    differ = [word for word in words if preferred(first[word])[0] != preferred(second[word])[0]]
    return sorted(differ, key=lambda word: (-second[word].total(), word))


def compare_preferences(tagged: Mapping[str, Sequence[Doc]], fewest: int) -> list[Preference]:
    """Words that two pipelines prefer another tag for, each in more than half of the word's places.

    tagged (Mapping[str, Sequence[Doc]]): By both pipelines' names, the same Docs from `keep_gold` as it tagged them.
    fewest (int): In how many places a word must be.
    RETURNS (list[Preference]): The most frequent word first.
    """
    counts = {LABELS: count_tags(next(iter(tagged.values())), gold_of)}
    counts |= {role: count_tags(docs) for role, docs in tagged.items()}
    first, second = (counts[role] for role in tagged)
    words = [
        word
        for word in find_different(first, second, fewest)
        if min(preferred(first[word])[1], preferred(second[word])[1]) > 0.5
    ]
    examples: dict[str, tuple[int, int]] = {}
    for text, docs in enumerate(zip(*tagged.values(), strict=True)):
        for i, ((word, tag), (_word, other)) in enumerate(zip(*(word_tags(doc, found_of(doc)) for doc in docs))):
            if tag != other:
                examples.setdefault(word, (text, i))
    return [
        Preference(
            word,
            second[word].total(),
            {who: preferred(tags[word]) for who, tags in counts.items()},
            examples[word],
        )
        for word in words
    ]
