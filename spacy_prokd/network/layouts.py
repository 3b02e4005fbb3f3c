"""Two ways for windows of pieces to lie in one matrix and attend, each to itself.

With a gradient, windows stand one after the other, and those of similar length are padded for attention, which is
plain matrix products. Without one, they share bins, in which torch's fused attention hides each from the others: no
window is padded, but its gradient takes ten times as long on a CPU as that of plain products.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .pieces import Window, batches, first_pieces

_BIN = 128  # pieces of a bin: longer ones make attention slow, shorter ones are not filled
_SHORTEST = 0.7  # of the longest window of a group: less padding makes more groups
_LARGEST = 1024  # pieces of a group of several windows, padding included: what fits a cache
_ROW_STEPS, _LENGTH_STEPS, _WINDOW_STEPS = 16, 4, 1  # see `round_up`


class Layout(ABC):
    """Where the pieces of some windows lie in a matrix.

    windows (Sequence[Window]): In the order of their words in `read`.
    ids (Tensor): int64 [n_rows], the piece of each row, any one where there is none.
    positions (Tensor): int64 [n_rows], its position in its window.
    read (Tensor): int64 [n_words], the row of each word's first piece.
    """

    windows: Sequence[Window]
    ids: Tensor
    positions: Tensor
    read: Tensor

    @abstractmethod
    def attend(self, query_key_value: Tensor, n_heads: int) -> Tensor:
        """Let the pieces of each window attend to one another: [n_rows, 3 * width] to [n_rows, width].

        Queries are scaled; where a row has no piece, what comes out is any number.
        """


class Group(NamedTuple):
    """Windows of similar length, padded for attention alone, and with windows that are none, to a shape that recurs.

    start (int): Where their pieces begin among all.
    end (int): Where they end.
    n_windows (int): How many windows, those that are none included.
    length (int): At least that of the longest.
    pieces (Tensor | None): int64 [n_windows * length], the piece at each place, any one at padding; None if nothing
        is padded.
    places (Tensor | None): int64 [end - start], the place of each piece.
    mask (Tensor | None): float32 [n_windows, 1, 1, length], -inf at padding of a window, 0 in one that is none.
    """

    start: int
    end: int
    n_windows: int
    length: int
    pieces: Tensor | None
    places: Tensor | None
    mask: Tensor | None


class Groups(Layout):
    """Windows one after the other, attention by groups of similar length: for training.

    windows (Sequence[Window]): Longest first.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = windows
        ids = np.concatenate([window.ids for window in windows])
        positions = np.concatenate([np.arange(len(window.ids)) for window in windows])
        self.n_rows = round_up(len(ids), _ROW_STEPS)
        self.ids, self.positions = (
            torch.from_numpy(np.pad(each, (0, self.n_rows - len(ids)))) for each in (ids, positions)
        )
        self.read = first_pieces(windows)
        self._groups = group_windows([len(window.ids) for window in windows])

    def attend(self, query_key_value: Tensor, n_heads: int) -> Tensor:
        """See `Layout`."""
        sizes = [group.end - group.start for group in self._groups]
        # split, for a slice's gradient is as long as all rows together
        *parts, _ = query_key_value.split([*sizes, self.n_rows - sum(sizes)])
        attended = []
        for group, rows in zip(self._groups, parts):
            if group.pieces is not None:
                rows = _Pad.apply(rows, group.pieces, group.places)
            heads = rows.view(group.n_windows, group.length, 3, n_heads, -1)
            query, key, value = heads.permute(2, 0, 3, 1, 4).contiguous()
            scores = query @ key.transpose(-1, -2)
            # in float32: softmax of bf16 is several times slower on CPU
            scores = scores.float() if group.mask is None else scores + group.mask
            mixed = (torch.softmax(scores, dim=-1).to(rows.dtype) @ value).transpose(1, 2).reshape(len(rows), -1)
            attended.append(mixed if group.places is None else Gather.apply(mixed, group.places))
        return fill(torch.cat(attended))


class Bins(Layout):
    """Windows in bins of one length, in each bin one after the other, by fused attention: for inference.

    bins (Sequence[Sequence[Window]]): The windows of each, longest bin first.
    """

    def __init__(self, bins: Sequence[Sequence[Window]]) -> None:
        self.windows = [window for each in bins for window in each]
        self._length = round_up(_size(bins[0]), _LENGTH_STEPS)
        is_piece = np.arange(self._length) < np.array([_size(each) for each in bins])[:, None]
        ids, positions = np.zeros((2, *is_piece.shape), dtype=np.int64)
        ids[is_piece] = np.concatenate([window.ids for window in self.windows])
        positions[is_piece] = np.concatenate([np.arange(len(window.ids)) for window in self.windows])
        self.ids, self.positions = torch.from_numpy(ids.reshape(-1)), torch.from_numpy(positions.reshape(-1))
        self.read = torch.from_numpy(np.flatnonzero(is_piece))[first_pieces(self.windows)]
        number = np.cumsum(positions == 0, axis=1, dtype=np.int16)  # of its window; a row without a piece is alone
        self._hidden = torch.from_numpy(number[:, :, None] != number[:, None])[:, None]
        self._mask: Tensor | None = None  # made once for all layers, in their precision

    def attend(self, query_key_value: Tensor, n_heads: int) -> Tensor:
        """See `Layout`."""
        heads = query_key_value.view(-1, self._length, 3, n_heads, query_key_value.shape[1] // (3 * n_heads))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        if self._mask is None:
            self._mask = torch.zeros(self._hidden.shape, dtype=query.dtype).masked_fill_(self._hidden, -torch.inf)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=self._mask, scale=1.0)
        return mixed.transpose(1, 2).reshape(len(query_key_value), -1)


class _Pad(torch.autograd.Function):
    """Rows at their places in a longer matrix; what is at padding is masked, so that no gradient comes from there."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, pieces: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return rows.index_select(0, pieces)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient.index_select(0, *ctx.saved_tensors), None, None


class Gather(torch.autograd.Function):
    """The rows at some places; torch's own gradient of it adds row by row, which is slow."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:
        """[n_rows, width] to [n_places, width]."""
        ctx.save_for_backward(places)
        ctx.length = len(rows)
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """[n_places, width] to [n_rows, width]."""
        (places,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.length, gradient.shape[1]).index_copy_(0, places, gradient), None


def round_up(n: int, steps: int) -> int:
    """The next of few sizes, `steps` of them from each power of two to the next.

    oneDNN compiles code for each new size of a product and keeps it, about half a megabyte each time: sizes must
    recur, or memory grows with the texts.
    """
    step = max(1, 2 ** ((n - 1).bit_length() - 1) // steps) if n > 1 else 1
    return -(-n // step) * step


def fill(rows: Tensor) -> Tensor:
    """Add rows of zeros up to a size that recurs."""
    return functional.pad(rows, (0, 0, 0, round_up(len(rows), _ROW_STEPS) - len(rows)))


def group_layouts(windows: Sequence[Window], max_pieces: int) -> Iterator[Layout]:
    """Micro-batches of at most so many pieces, for training."""
    return map(Groups, batches(windows, max_pieces, padded=False))


def bin_layouts(windows: Sequence[Window], max_pieces: int) -> Iterator[Layout]:
    """Micro-batches of at most so many pieces and of about as many bins, for inference; one bin may exceed them."""
    longest_first = sorted(fill_bins(windows), key=_size, reverse=True)
    for length, group in groupby(longest_first, key=lambda bin: round_up(max(_BIN, _size(bin)), _LENGTH_STEPS)):
        bins = list(group)
        n_batches = math.ceil(len(bins) / max(1, max_pieces // length))
        for i in range(n_batches):
            yield Bins(bins[len(bins) * i // n_batches : len(bins) * (i + 1) // n_batches])


def fill_bins(windows: Sequence[Window]) -> list[list[Window]]:
    """Put windows into few bins: each, longest first, into the first that has room for it (first-fit decreasing).

    RETURNS (list[list[Window]]): Bins of at most `_BIN` pieces, or of one longer window.
    """
    longest_first = sorted(windows, key=lambda window: -len(window.ids))
    bins: list[list[Window]] = [[] for _ in windows]  # those that stay empty are left out
    room = np.array([max(_BIN, len(window.ids)) for window in longest_first])
    for window in longest_first:
        first = int((room >= len(window.ids)).argmax())
        bins[first].append(window)
        room[first] -= len(window.ids)
    return [each for each in bins if each]


def group_windows(lengths: Sequence[int]) -> list[Group]:
    """Group windows for attention.

    lengths (Sequence[int]): Pieces of each window, longest first.
    RETURNS (list[Group]): In the order of the windows.
    """
    groups = []
    first = start = 0
    for i in range(1, len(lengths) + 1):
        n_windows, length = round_up(i + 1 - first, _WINDOW_STEPS), round_up(lengths[first], _LENGTH_STEPS)
        if i < len(lengths) and n_windows * length <= _LARGEST and lengths[i] >= _SHORTEST * lengths[first]:
            continue
        group = _group(start, np.array(lengths[first:i]))
        groups.append(group)
        first, start = i, group.end
    return groups


def _group(start: int, lengths: np.ndarray) -> Group:
    n_windows, length = round_up(len(lengths), _WINDOW_STEPS), round_up(int(lengths[0]), _LENGTH_STEPS)
    end = start + int(lengths.sum())
    is_piece = np.zeros((n_windows, length), dtype=bool)
    is_piece[: len(lengths)] = np.arange(length) < lengths[:, None]
    if is_piece.all():
        return Group(start, end, n_windows, length, None, None, None)
    pieces = torch.from_numpy(np.maximum(np.cumsum(is_piece) - 1, 0))
    places = torch.from_numpy(np.flatnonzero(is_piece))
    hidden = ~is_piece
    hidden[len(lengths) :] = False  # of windows that are none: softmax needs a number
    mask = torch.from_numpy(np.where(hidden, -np.inf, 0.0).astype(np.float32))[:, None, None]
    return Group(start, end, n_windows, length, pieces, places, mask)


def _size(bin: Sequence[Window]) -> int:
    return sum(len(window.ids) for window in bin)
