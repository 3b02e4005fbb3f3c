"""Text without spaces in the units that an encoder knows: "北", "京" is read as "北京".

Where no spaces stand between words, as in Chinese, Japanese or Thai, corpora and tokenizers often make each character a
word. An encoder was pretrained on longer pieces and knows little of lone characters. So characters that stand
together are cut into its pieces; each piece is read as one word, and all of its characters are told what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import NamedTuple

import numpy as np
import torch
from spacy.tokens import Doc

from .architectures import TaggerOutput
from .network.pieces import WordPieces
from .scripts import has_spaceless, is_letter


class Units(NamedTuple):
    """Docs as the encoder reads them.

    docs (list[Doc]): Of units; the very same Doc where each word is one.
    firsts (list[np.ndarray]): int64 [n_units] for each doc, the first word of each unit.
    """

    docs: list[Doc]
    firsts: list[np.ndarray]


def to_units(docs: Sequence[Doc], pieces: WordPieces | None) -> Units:
    """Join characters of text without spaces to the pieces of an encoder.

    docs (Sequence[Doc]): Of any words.
    pieces (WordPieces | None): The encoder's; None leaves all as it is.
    """
    firsts = [np.arange(len(doc)) for doc in docs]
    runs = [_runs(doc) if pieces is not None and has_spaceless(doc.text) else [] for doc in docs]
    texts = [doc[start:end] for doc, of_doc in zip(docs, runs) for start, end in of_doc]
    if not texts:
        return Units(list(docs), firsts)
    cuts = iter(pieces.starts(["".join(word.text for word in text) for text in texts]))
    made = []
    for i, (doc, of_doc) in enumerate(zip(docs, runs)):
        inside = np.zeros(len(doc), dtype=bool)
        for start, end in of_doc:
            inside[start:end] = True
            ends = np.cumsum([len(word) for word in doc[start:end]])
            inside[start + np.searchsorted(ends, next(cuts), side="right")] = False
        if inside.any():
            firsts[i] = np.flatnonzero(~inside)
            doc = _join(doc, firsts[i])
        made.append(doc)
    return Units(made, firsts)


def to_words(output: TaggerOutput, units: Units, docs: Sequence[Doc]) -> TaggerOutput:
    """What was found of units, said of the words in them: a word within a unit goes on with what its first word is.

    output (TaggerOutput): Of the units' docs.
    docs (Sequence[Doc]): That `to_units` was given.
    """
    lengths = [len(doc) for doc in docs]
    if lengths == output.lengths:
        return output
    offsets = np.cumsum([0, *lengths[:-1]])
    first = np.zeros(sum(lengths), dtype=bool)
    first[np.concatenate([firsts + offset for firsts, offset in zip(units.firsts, offsets)])] = True
    within = torch.from_numpy(~first).to(output.logits.device)
    unit = torch.from_numpy(first.cumsum() - 1).to(within.device)
    logits = output.logits[unit]
    begins, goes_on = logits[within, 1::2], logits[within, 2::2]
    logits[within, 2::2] = torch.logaddexp(begins, goes_on)
    logits[within, 1::2] = -torch.inf
    return TaggerOutput(output.vectors[unit], logits, lengths)


def _runs(doc: Doc) -> list[tuple[int, int]]:
    """Start and end of the stretches of single letters that may be one piece: of these scripts, digits, or ASCII.

    They end at spaces, unless all words have one: then nobody said where spaces are, as in a corpus of columns.
    """
    spaces = [bool(word.whitespace_) for word in doc[:-1]]
    n_before = [0] * len(doc) if all(spaces) else list(accumulate(spaces, initial=0))
    runs = []
    start = 0
    for (kind, _n_spaces), words in groupby(zip((_kind(word.text) for word in doc), n_before)):
        end = start + sum(1 for _ in words)
        if kind is not None and end - start > 1:
            runs.append((start, end))
        start = end
    return runs


def _kind(word: str) -> str | None:
    if is_letter(word):
        return "spaceless"
    if len(word) == 1 and word.isascii() and word.isalnum():
        return "digit" if word.isdigit() else "letter"
    return None


def _join(doc: Doc, firsts: np.ndarray) -> Doc:
    texts = [word.text for word in doc]
    ends = [*firsts[1:], len(doc)]
    words = ["".join(texts[start:end]) for start, end in zip(firsts, ends)]
    return Doc(doc.vocab, words=words, spaces=[bool(doc[int(end) - 1].whitespace_) for end in ends])
