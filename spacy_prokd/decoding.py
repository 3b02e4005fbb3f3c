"""Tag probabilities to spans: the most probable valid tag path, and how probable each of its spans is.

Tags are ordered O, B-x, I-x, B-y, I-y, ...: odd columns are B-, even columns above zero are I-. A path is
valid if every I-x follows B-x or I-x of the same text. Texts are laid end to end, so that what can be one
NumPy call is one; `offsets` says where each begins and, last, where all end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np

from .errors import ProKDError

# A probability of zero only means "too small for the number format". Taken as this, one impossible word
# costs its own tag; taken as log(0), every path of its text would tie.
_FLOOR = float(np.finfo(np.float32).tiny)

_OPENING = {")": "(", "]": "[", "）": "（"}  # of each closing bracket


class ScoredSpan(NamedTuple):
    """An entity: word indices in its text (`end` is exclusive), its label, and its probability in (0, 1]."""

    start: int
    end: int
    label: str
    score: float


def decode(
    probabilities: Sequence[np.ndarray],
    labels: Sequence[str],
    *,
    temperature: float = 1.0,
    touching: float = 1.0,
) -> list[list[ScoredSpan]]:
    """Find the entities of each text.

    probabilities (Sequence[np.ndarray]): Tag probabilities of each text, [n_words, 1 + 2 * n_labels].
    labels (Sequence[str]): The labels, in the order of their tags.
    temperature (float): Of the scores, see `soften`.
    touching (float): In (0, 1], see `best_path`.
    RETURNS (list[list[ScoredSpan]]): The spans of each text, in order; none overlap.
    RAISES (ProKDError): If the number of columns is not the number of tags.
    """
    found: list[list[ScoredSpan]] = [[] for _ in probabilities]
    if not found:
        return found
    flat = np.concatenate(probabilities)
    if flat.shape[1] != 1 + 2 * len(labels):
        raise ProKDError(
            f"There are probabilities of {flat.shape[1]} tags, but {len(labels)} labels have "
            f"{1 + 2 * len(labels)} (O, then B- and I- of each). Check that model and labels belong together."
        )
    offsets = np.cumsum([0, *map(len, probabilities)])
    path = best_path(flat, offsets, touching)
    starts, ends = _find_spans(path, offsets)
    given = given_path(flat, path, offsets, touching)
    scores = soften(_score_spans(given, path, starts, ends, offsets), temperature)
    texts = np.searchsorted(offsets, starts, side="right") - 1
    columns = (texts, starts - offsets[texts], ends - offsets[texts], path[starts] // 2, scores)
    for text, start, end, label, score in zip(*(column.tolist() for column in columns)):
        found[text].append(ScoredSpan(start, end, labels[label], score))
    return found


def soften(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the log odds of probabilities by a temperature (Guo et al., 2017): above 1 for a model too sure of itself.

    Their order stays, so that a temperature changes no entity.
    """
    odds = scores ** (1 / temperature)
    return odds / (odds + (1 - scores) ** (1 / temperature))


def check_thresholds(threshold: float | Mapping[str, float]) -> None:
    """See that thresholds can be compared with scores.

    threshold (float | Mapping[str, float]): One for all, or by label.
    RAISES (ProKDError): If one is no number from 0 to 1.
    """
    by_label = threshold if isinstance(threshold, Mapping) else {"all labels": threshold}
    for label, value in by_label.items():
        if not (isinstance(value, Real) and 0 <= value <= 1):
            raise ProKDError(
                f"The threshold of {label} is {value!r}, but scores are from 0 to 1. Set a number in this range."
            )


def thresholds_of(threshold: float | Mapping[str, float], labels: Sequence[str]) -> dict[str, float]:
    """The threshold of each label.

    threshold (float | Mapping[str, float]): One for all, or by label, 0 for those not named.
    RAISES (ProKDError): If one is of no label, or no number from 0 to 1.
    """
    check_thresholds(threshold)
    if not isinstance(threshold, Mapping):
        return dict.fromkeys(labels, threshold)
    if unknown := sorted(set(threshold) - set(labels)):
        raise ProKDError(f"There are thresholds for {', '.join(unknown)}, but the labels are {', '.join(labels)}.")
    return {label: threshold.get(label, 0.0) for label in labels}


def fit_to_words(spans: Sequence[ScoredSpan], words: Sequence[str]) -> list[ScoredSpan]:
    """Let the spans of a text end where entities do: not in white space, as in spaCy's own ner, and with the bracket
    closed that they opened, where they stop right before it ("Frankfurt (Oder").

    spans (Sequence[ScoredSpan]): In order.
    words (Sequence[str]): Of the text.
    RETURNS (list[ScoredSpan]): As many spans; empty ones where there is nothing but white space.
    """
    fitted = []
    for span, limit in zip(spans, [*(later.start for later in spans[1:]), len(words)]):
        start, end = span.start, span.end
        if end < limit and (opening := _OPENING.get(words[end])):
            end += words[start:end].count(opening) > words[start:end].count(words[end])
        while start < end and words[start].isspace():
            start += 1
        while start < end and words[end - 1].isspace():
            end -= 1
        fitted.append(span._replace(start=start, end=end))
    return fitted


def other_labels(
    probabilities: np.ndarray,
    span: ScoredSpan,
    labels: Sequence[str],
    *,
    temperature: float = 1.0,
    touching: float = 1.0,
) -> list[tuple[str, float]]:
    """How probable the same words are with each other label, whatever the best path says; the most probable first.

    probabilities (np.ndarray): Tag probabilities of the text, [n_words, n_tags].
    temperature (float): As of `decode`.
    touching (float): As of `decode`.
    """
    # the span's words and the one behind it: a long text has many spans
    rows, length = probabilities[span.start : span.end + 1], span.end - span.start
    given = given_path(rows, np.arange(len(rows)) < length, np.array([0, len(rows)]), touching)
    scores = given[0, 1::2] * given[1:length, 2::2].prod(axis=0)
    if length < len(rows):
        scores = scores * (1 - given[length, 2::2])
    scores = soften(scores, temperature)
    order = np.argsort(-scores, kind="stable").tolist()
    return [(labels[i], float(scores[i])) for i in order if labels[i] != span.label]


def best_path(probabilities: np.ndarray, offsets: np.ndarray, touching: float = 1.0) -> np.ndarray:
    """Find the valid tag path of the highest probability of each text (Viterbi).

    probabilities (np.ndarray): Tag probabilities, [n_words, n_tags].
    offsets (np.ndarray): The first word of each text and, last, n_words. [n_texts + 1]
    touching (float): In (0, 1], by what a path's probability is multiplied where an entity begins right after another.
    RETURNS (np.ndarray): A tag for each word. [n_words]
    """
    path = probabilities.argmax(axis=1)
    first = _mark_first_words(offsets)
    broken = mark_broken(path, offsets)
    if touching < 1:
        broken |= (path % 2 == 1) & _mark_after_entities(path, offsets)
    broken = np.flatnonzero(broken)
    # Each word has its best tag, so a path that is valid as it stands and has no entities that touch is the best one:
    # only stretches around a broken word are searched. No path beats the best of every stretch and word taken alone,
    # and where these fit together they are the best path. The word behind a stretch fits whatever the stretch ends
    # with; a stretch that begins with I-, or with B- right after an entity, does not fit and is widened.
    depends = _is_inside(path) if touching == 1 else path > 0
    run_ends = np.flatnonzero(~np.append(depends, False) | first)
    stops = run_ends[np.searchsorted(run_ends, broken, side="right")]
    text_starts = offsets[np.searchsorted(offsets, broken, side="right") - 1]
    done = len(path)
    for word, stop, text_start in zip(broken[::-1].tolist(), stops[::-1].tolist(), text_starts[::-1].tolist()):
        if word >= done:
            continue
        stop = min(stop, done)
        width = stop - word
        while True:
            start = max(text_start, word - width)
            before = path[start - 1] if start > text_start else 0
            stretch = _viterbi(probabilities[start:stop], start > text_start, touching)
            if not _is_inside(stretch[:1]).any() and (touching == 1 or not before or not stretch[0]):
                break
            width *= 2
        path[start:stop] = stretch
        done = start
    return path


def given_path(probabilities: np.ndarray, path: np.ndarray, offsets: np.ndarray, touching: float) -> np.ndarray:
    """Tag probabilities when it is known which words belong to entities: right after one, each B- has `touching` times
    its probability, and the other tags grow for it.

    probabilities (np.ndarray): [n_words, n_tags].
    path (np.ndarray): For each word a tag, or whether it belongs to an entity. [n_words]
    offsets (np.ndarray): The first word of each text and, last, n_words. [n_texts + 1]
    touching (float): In (0, 1].
    RETURNS (np.ndarray): [n_words, n_tags].
    """
    after = np.flatnonzero(_mark_after_entities(path, offsets))
    rows = probabilities[after].astype(np.float64)
    total = rows.sum(axis=1, keepdims=True)
    rows[:, 1::2] *= touching
    given = probabilities.copy()
    given[after] = rows * total / np.maximum(rows.sum(axis=1, keepdims=True), _FLOOR)
    return given


def given_spans(
    probabilities: np.ndarray, spans: Iterable[ScoredSpan], parts: Sequence[ScoredSpan], labels: Sequence[str]
) -> np.ndarray:
    """Tag probabilities of a text when it is known that spans which have more words than the path's are entities.

    probabilities (np.ndarray): Of the text, [n_words, n_tags].
    spans (Iterable[ScoredSpan]): What is known.
    parts (Sequence[ScoredSpan]): Those of the best path.
    labels (Sequence[str]): The labels, in the order of their tags.
    RETURNS (np.ndarray): [n_words, n_tags].
    """
    given = probabilities.copy()
    for span in spans:
        if not any(part.start <= span.start and span.end <= part.end for part in parts):
            begin = 1 + 2 * labels.index(span.label)
            given[span.start : span.end] = 0.0
            given[span.start, begin] = 1.0
            given[span.start + 1 : span.end, begin + 1] = 1.0
    return given


def mark_words(spans: Iterable[ScoredSpan], n_words: int) -> np.ndarray:
    """Which words of a text belong to entities, bool [n_words]."""
    marks = np.zeros(n_words, dtype=bool)
    for span in spans:
        marks[span.start : span.end] = True
    return marks


def mark_broken(path: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Which words go on with an entity that did not begin, bool [n_words].

    path (np.ndarray): A tag for each word. [n_words]
    offsets (np.ndarray): The first word of each text and, last, n_words. [n_texts + 1]
    """
    previous = np.concatenate([path[:1], path[:-1]])
    starts = _mark_first_words(offsets)[:-1]
    return _is_inside(path) & (starts | ((previous != path) & (previous != path - 1)))


def _mark_after_entities(path: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Which words stand right after one of an entity, bool [n_words]."""
    previous = np.concatenate([path[:1], path[:-1]])
    return (previous > 0) & ~_mark_first_words(offsets)[:-1]


def _viterbi(probabilities: np.ndarray, may_start_inside: bool, touching: float) -> np.ndarray:
    """The best path of one stretch. Plain floats: at these sizes they are faster than one NumPy row at a time."""
    rows = _log(probabilities).tolist()
    begins = range(1, len(rows[0]), 2)
    cost = math.log(touching)
    scores = rows[0]
    if not may_start_inside:
        for begin in begins:
            scores[begin + 1] = -np.inf
    history = []
    for row in rows[1:]:
        within = max(scores[1:], default=-math.inf)  # the best path to here that ends in an entity
        best = max(scores[0], within)
        origins = [scores.index(best)] * len(row)
        extended = [best + value for value in row]
        for begin in begins:
            if cost:
                outside = scores[0] >= within + cost
                origins[begin] = 0 if outside else scores.index(within, 1)
                extended[begin] = (scores[0] if outside else within + cost) + row[begin]
            origin = begin if scores[begin] >= scores[begin + 1] else begin + 1
            origins[begin + 1] = origin
            extended[begin + 1] = scores[origin] + row[begin + 1]
        history.append(origins)
        scores = extended
    path = [scores.index(max(scores))]
    for origins in reversed(history):
        path.append(origins[path[-1]])
    return np.array(path[::-1])


def _find_spans(path: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First word and exclusive end of each span of a valid path. Two arrays, [n_spans]"""
    starts = np.flatnonzero(path % 2 == 1)
    boundaries = np.flatnonzero(~np.append(_is_inside(path), False) | _mark_first_words(offsets))
    return starts, boundaries[np.searchsorted(boundaries, starts, side="right")]


def _score_spans(
    probabilities: np.ndarray, path: np.ndarray, starts: np.ndarray, ends: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """The probability of exactly these spans if words are independent, [n_spans]:

    p(B-x at the start) * product of p(I-x inside) * (1 - p(I-x at the end)); no last factor at a text's end.
    """
    words = np.flatnonzero(path)  # a valid path: each word that is not O belongs to the span begun last
    log_p = _log(probabilities[words, path[words]])
    scores = np.add.reduceat(log_p, np.searchsorted(words, starts)) if len(starts) else log_p
    followed = ~_mark_first_words(offsets)[ends]
    following = probabilities[ends[followed], path[starts[followed]] + 1]
    scores[followed] += _log(1 - following.astype(np.float64))
    return np.exp(scores).clip(np.finfo(np.float64).tiny, 1.0)


def _mark_first_words(offsets: np.ndarray) -> np.ndarray:
    """True at the first word of each text, and one past the last. [n_words + 1]"""
    first = np.zeros(offsets[-1] + 1, dtype=bool)
    first[offsets] = True
    return first


def _is_inside(tags: np.ndarray) -> np.ndarray:
    return (tags > 0) & (tags % 2 == 0)


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities.astype(np.float64), _FLOOR))
