"""How windows of pieces lie in one matrix and attend, each to itself.

Windows share bins, in which attention hides each from the others: next to nothing is padded, and products are few and
large. Where no gradient is needed, attention is torch's fused one. On a CPU its gradient takes ten times as long as
that of plain products; these compute the whole of a bin, and so have shorter ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .pieces import Window, first_pieces

FUSED_BIN = 128  # pieces of the shortest bin: longer ones make attention slow, shorter ones are not filled
PLAIN_BIN = 64  # likewise; torch's softmax of bf16 is fast on multiples of 32 alone
_ROW_STEPS, _LENGTH_STEPS = 16, 4  # see `round_up`


class Bin(NamedTuple):
    """Windows that lie together.

    length (int): Pieces that there is room for.
    windows (list[Window]): Longest first.
    """

    length: int
    windows: list[Window]

    @property
    def n_pieces(self) -> int:
        """How many there are."""
        return sum(len(window.ids) for window in self.windows)


class Bins:
    """Bins of one length, one after the other.

    bins (Sequence[Bin]): At least one.
    length (int): Rows of each, at least the pieces of the fullest.

    is_piece (np.ndarray): bool [n_rows], the rows that are not empty.
    ids (np.ndarray): int64 [n_rows], see `Layout`.
    positions (np.ndarray): int64 [n_rows], see `Layout`.
    """

    def __init__(self, bins: Sequence[Bin], length: int) -> None:
        self._length = length
        windows = [window for each in bins for window in each.windows]
        is_piece = np.arange(length) < np.array([each.n_pieces for each in bins])[:, None]
        ids, positions = np.zeros((2, *is_piece.shape), dtype=np.int64)
        ids[is_piece] = np.concatenate([window.ids for window in windows])
        positions[is_piece] = np.concatenate([np.arange(len(window.ids)) for window in windows])
        self.is_piece, self.ids, self.positions = is_piece.reshape(-1), ids.reshape(-1), positions.reshape(-1)
        number = np.cumsum(positions == 0, axis=1, dtype=np.int16)  # of its window; a row without a piece is alone
        self._hidden = torch.from_numpy(number[:, :, None] != number[:, None])[:, None]
        self._mask: Tensor | None = None  # made once for all layers, in their precision

    def attend(self, query_key_value: Tensor, n_heads: int) -> Tensor:
        """See `Layout.attend`."""
        heads = query_key_value.view(-1, self._length, 3, n_heads, query_key_value.shape[1] // (3 * n_heads))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        if self._mask is None:
            self._mask = torch.zeros(self._hidden.shape, dtype=query.dtype).masked_fill_(self._hidden, -torch.inf)
        if query.requires_grad:
            mixed = torch.softmax(query @ key.transpose(-1, -2) + self._mask, dim=-1) @ value
        else:
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=self._mask, scale=1.0)
        return mixed.transpose(1, 2).reshape(len(query_key_value), -1)


class Layout:
    """Where the pieces of a micro-batch lie in a matrix: in bins; behind them, empty rows up to a number that recurs.

    bins (Sequence[Bin]): Longest first.
    gradient (bool): Whether there will be one.

    windows (Sequence[Window]): In the order of their words in `read`.
    ids (Tensor): int64 [n_rows], the piece of each row, any one where there is none.
    positions (Tensor): int64 [n_rows], its position in its window.
    read (Tensor): int64 [n_words], the row of each word's first piece.
    """

    def __init__(self, bins: Sequence[Bin], *, gradient: bool) -> None:
        self._groups = []
        for length, alike in groupby(bins, key=lambda each: each.length):
            group = list(alike)
            fullest = round_up(max(each.n_pieces for each in group), _LENGTH_STEPS)
            self._groups.append(Bins(group, length if gradient else min(length, fullest)))
        self._sizes = [len(group.ids) for group in self._groups]
        n_rows = sum(self._sizes)
        self._n_empty = round_up(n_rows, _ROW_STEPS) - n_rows
        self.windows = [window for each in bins for window in each.windows]
        self.ids = self._rows([group.ids for group in self._groups])
        self.positions = self._rows([group.positions for group in self._groups])
        is_piece = np.concatenate([group.is_piece for group in self._groups])
        self.read = torch.from_numpy(np.flatnonzero(is_piece))[first_pieces(self.windows)]

    def _rows(self, parts: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.pad(np.concatenate(parts), (0, self._n_empty)))

    def attend(self, query_key_value: Tensor, n_heads: int) -> Tensor:
        """Let the pieces of each window attend to one another: [n_rows, 3 * width] to [n_rows, width].

        Queries are scaled; where a row has no piece, what comes out is any number.
        """
        # split, for a slice's gradient is as long as all rows together
        *parts, _ = query_key_value.split([*self._sizes, self._n_empty])
        attended = [group.attend(rows, n_heads) for group, rows in zip(self._groups, parts)]
        return fill(torch.cat(attended) if len(attended) > 1 else attended[0])


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


def make_layouts(windows: Sequence[Window], max_pieces: int, *, gradient: bool) -> Iterator[Layout]:
    """Lay windows out in micro-batches.

    windows (Sequence[Window]): In any order.
    max_pieces (int): The most pieces of a micro-batch, room that is left in bins included; one bin may exceed it.
    gradient (bool): Whether there will be one.
    YIELDS (Layout): Longest windows first, so that what is too large fails at once and not at the end.
    """
    for bins in micro_batches(fill_bins(windows, PLAIN_BIN if gradient else FUSED_BIN), max_pieces):
        yield Layout(bins, gradient=gradient)


def fill_bins(windows: Sequence[Window], shortest: int) -> list[Bin]:
    """Put windows into few bins: each, longest first, into the first that has room for it (first-fit decreasing).

    RETURNS (list[Bin]): Longest first; of `shortest` pieces, or twice, four times ... as many where a window needs it.
    """
    bins: list[Bin] = []
    room = np.zeros(len(windows), dtype=np.int64)
    for window in sorted(windows, key=lambda window: -len(window.ids)):
        size = len(window.ids)
        i = int((room >= size).argmax())
        if room[i] < size:
            i = len(bins)
            bins.append(Bin(shortest * 2 ** max(0, math.ceil(math.log2(size / shortest))), []))
            room[i] = bins[i].length
        bins[i].windows.append(window)
        room[i] -= size
    return bins


def micro_batches(bins: Sequence[Bin], max_pieces: int) -> Iterator[Sequence[Bin]]:
    """Split bins into few batches of about equal size: a small rest is slow to compute, and its size does not recur.

    max_pieces (int): Of a batch, which one bin may exceed.
    """
    ends = np.cumsum([0, *(each.length for each in bins)])
    share = ends[-1] / max(1, math.ceil(ends[-1] / max_pieces))
    start = n_batches = 0
    for i in range(1, len(bins)):
        if ends[i + 1] - ends[start] > max_pieces or ends[i] >= (n_batches + 1) * share:
            yield bins[start:i]
            start, n_batches = i, n_batches + 1
    if bins:
        yield bins[start:]


def round_up(n: int, steps: int) -> int:
    """The next of few sizes, `steps` of them from each power of two to the next.

    oneDNN compiles code for each new size of a product and keeps it, about half a megabyte each time: sizes must
    recur, or memory grows with the texts.
    """
    step = max(1, 2 ** ((n - 1).bit_length() - 1) // steps) if n > 1 else 1
    return -(-n // step) * step


def fill(rows: Tensor) -> Tensor:
    """Add rows of zeros up to a size that recurs."""
    n_more = round_up(len(rows), _ROW_STEPS) - len(rows)
    return functional.pad(rows, (0, 0, 0, n_more)) if n_more else rows
