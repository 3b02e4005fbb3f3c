"""Words to pieces, one way only: for training, labelling and serving.

Each word is tokenised by itself, with the space that stands before a word in running text. Fast tokenizers
treat pre-split words independently, so this equals `is_split_into_words=True` and lets a word's pieces be
remembered; but for spaces that are pieces of their own, as before "LONDON", a comma or a Chinese character. These are
left out: such a space would be the word's first piece, whose vector is the word's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

MAX_PIECES_A_WORD = 32  # a 10,000-character "word" must not push its neighbours out of the window
SPACES = ("▁", "Ġ")  # of SentencePiece and of byte-level BPE
MASKS = ("<mask>", "[MASK]")
MAX_REMEMBERED_WORDS = 20_000  # 6 MB; more would grow for long while new words come


class Window(NamedTuple):
    """A stretch of words that is encoded at once.

    ids (list[int]): Piece ids with the special pieces around them.
    first (np.ndarray): int64 [n], position in `ids` of the first piece of each word that counts.
    words (np.ndarray): int64 [n], index of each of these words in the whole input.
    """

    ids: list[int]
    first: np.ndarray
    words: np.ndarray


class WordPieces:
    """Turns words into windows of pieces.

    tokenizer (Tokenizer): A fast tokenizer (the `tokenizers` library).
    unk_id (int): The piece of a word that the tokenizer leaves nothing of (a lone control character, say).
    max_length (int): The most pieces a window may have, special pieces included.
    """

    def __init__(self, tokenizer: Tokenizer, unk_id: int, max_length: int) -> None:
        tokenizer.no_padding()  # sentence-transformers' tokenizer.json files ask for both
        tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.unk_id = unk_id
        self.max_length = max_length
        self.before, self.after = _special_pieces(tokenizer)
        self.room = max_length - len(self.before) - len(self.after)
        if self.room < 4:
            raise ValueError(f"max_length = {max_length} leaves room for {self.room} pieces; use at least 16.")
        self._spaces = {tokenizer.token_to_id(space) for space in SPACES}
        masks = map(tokenizer.token_to_id, MASKS)
        self.mask_id = next((mask for mask in masks if mask is not None), unk_id)
        self._remembered: dict[str, list[int]] = {}

    def of_words(self, words: Sequence[str]) -> list[list[int]]:
        """Tokenise words.

        words (Sequence[str]): Any strings, the empty one and control characters included.
        RETURNS (list[list[int]]): Piece ids, at least one and at most MAX_PIECES_A_WORD a word.
        """
        known = self._remembered
        new = [word for word in dict.fromkeys(words) if word not in known]
        if new:
            if len(known) > MAX_REMEMBERED_WORDS:
                known = self._remembered = {}  # not cleared: another thread may be about to read it
                new = list(dict.fromkeys(words))
            most = min(MAX_PIECES_A_WORD, self.room)
            # 16 characters a piece is more than any vocabulary needs: the tail would be cut anyway
            for word in new:
                encoding = self._encode(" " + word[: 16 * most])
                known[word] = self._without_space(encoding.ids)[:most] or [self.unk_id]
        return [known[word] for word in words]

    def starts(self, texts: Sequence[str]) -> list[list[int]]:
        """Where pieces begin in text that is not split into words.

        RETURNS (list[list[int]]): For each text, indices of characters; 0 among them.
        """
        offsets = (self._encode(text).offsets for text in texts)
        return [sorted({0, *(start for start, end in each if start < end)}) for each in offsets]

    def _encode(self, text: str) -> Encoding:
        """Tokenise one text: of many at once, `tokenizers` starts threads, and warns when a process with them forks
        (`nlp.pipe(n_process=2)`). What these gain is nothing beside the time that the encoder takes."""
        return self.tokenizer.encode(_encodable(text), add_special_tokens=False)

    def _without_space(self, ids: list[int]) -> list[int]:
        return ids[1:] if len(ids) > 1 and ids[0] in self._spaces else ids

    def windows(self, texts: Sequence[Sequence[str]], masked: float = 0.0) -> list[Window]:
        """Cut texts into windows; a text that fits in one window stays whole, and no window has parts of two.

        texts (Sequence[Sequence[str]]): The words of each text.
        masked (float): The share of words, drawn at random, each of whose pieces is replaced by the mask.
        RETURNS (list[Window]): Windows that together count every word exactly once.
        """
        pieces = self.of_words(list(chain.from_iterable(texts)))
        if masked:
            drawn = (torch.rand(len(pieces)) < masked).tolist()
            pieces = [[self.mask_id] * len(ids) if hide else ids for ids, hide in zip(pieces, drawn)]
        ids = list(chain.from_iterable(pieces))
        edges = list(accumulate(map(len, pieces), initial=0))  # of each word among all pieces
        firsts, numbers = np.array(edges), np.arange(len(pieces))
        windows = []
        for bounds in pairwise(sorted({0, *accumulate(map(len, texts))})):
            for start, end, keep_start, keep_end in spread(edges, *bounds, self.room):
                inside = [*self.before, *ids[edges[start] : edges[end]], *self.after]
                first = firsts[keep_start:keep_end] - (edges[start] - len(self.before))
                windows.append(Window(inside, first, numbers[keep_start:keep_end]))
        return windows


def spread(edges: Sequence[int], start: int, stop: int, room: int) -> Iterator[tuple[int, int, int, int]]:
    """Spread words over windows that overlap by about a quarter of their room.

    A word counts in the window where it is farther from the border, so it sees context on both sides.

    edges (Sequence[int]): Where each word begins among all pieces and, last, where they end; no word exceeds `room`.
    start (int): The first word to spread.
    stop (int): The one behind the last.
    room (int): Pieces in a window.
    YIELDS (tuple): start, end of the window and start, end of the words that count in it.
    """
    keep_start = start
    while True:
        end = bisect_right(edges, edges[start] + room) - 1
        if end >= stop:
            yield start, stop, keep_start, stop
            return
        shared = bisect_right(edges, edges[start] + room - room // 4) - 1
        following = max(min(shared, end - 1), start + 1)
        keep_end = max((following + end) // 2, keep_start)
        yield start, end, keep_start, keep_end
        start, keep_start = following, keep_end


def batches(windows: Sequence[Window], max_pieces: int) -> Iterator[list[Window]]:
    """Group windows of similar length, to be padded to the longest of a batch.

    windows (Sequence[Window]): In any order.
    max_pieces (int): The most pieces of a batch, padding included (one window may exceed it).
    YIELDS (list[Window]): Longest first, so that a too large batch fails at once and not at the end.
    """
    batch: list[Window] = []
    for window in sorted(windows, key=lambda w: -len(w.ids)):
        if batch and len(batch[0].ids) * (len(batch) + 1) > max_pieces:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def first_pieces(batch: Sequence[Window], row_length: int | None = None) -> Tensor:
    """Where the first pieces of the words that count stand in a batch laid out as one row of pieces.

    batch (Sequence[Window]): Windows, one after the other.
    row_length (int | None): Room of each window, padding included; its own pieces alone if None.
    RETURNS (Tensor): int64 [n_words].
    """
    lengths = [len(window.ids) if row_length is None else row_length for window in batch]
    starts = np.cumsum([0, *lengths[:-1]])
    return torch.from_numpy(np.concatenate([window.first + start for window, start in zip(batch, starts)]))


def _special_pieces(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Find the pieces that the tokenizer puts before and after a text, `<s>` and `</s>` for most."""
    bare = tokenizer.encode(" a", add_special_tokens=False).ids
    full = tokenizer.encode(" a", add_special_tokens=True).ids
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    return [], []


def _encodable(word: str) -> str:
    """Replace lone surrogates, which no tokenizer accepts."""
    return word.encode("utf8", "replace").decode("utf8")
