"""A BERT-like encoder computed without padding, at the speed of its matrix products.

The same function as Hugging Face's modules compute, with their own weights: the pieces of all windows stand
in one matrix, activations have one precision (autocast switches at each operation), query, key and value are
one product, and weights without a gradient lie as the processor reads them. Only attention sees windows, those of
similar length at once. The last layer's other products are computed for the pieces that are read, each word's
first. Matrices are filled up to sizes that recur.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .bert import first_position, is_plain_bert
from .linear import Linear, prepack
from .pieces import Window, first_pieces

_SHORTEST = 0.8  # of the longest window of a group: less padding makes more groups
_LARGEST = 1024  # pieces of a group of several windows, padding included: what fits a cache
_ROW_STEPS, _LENGTH_STEPS, _WINDOW_STEPS = 16, 4, 1  # see `round_up`


class _Products(NamedTuple):
    """The matrix products of one transformer layer, queries scaled for attention."""

    query_key_value: Linear
    attention_output: Linear
    up: Linear
    down: Linear


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


class PackedEncoder:
    """Computes what a transformer's embeddings and layers compute, with its weights as they are at each call.

    transformer (nn.Module): `Bert`, or Hugging Face's BERT, RoBERTa or XLM-RoBERTa, see `can_pack`.
    dtype (torch.dtype): Of matrix products and activations; normalisation sums in float32 in any case.
    """

    def __init__(self, transformer: nn.Module, dtype: torch.dtype) -> None:
        config = transformer.config
        self.dtype = dtype
        self.heads = config.num_attention_heads
        self.embeddings = transformer.embeddings
        self.layers = list(transformer.encoder.layer)
        self.first_position = first_position(config)
        self._prepared: dict[int, tuple[list[int], _Products]] = {}

    def __call__(self, batches: Sequence[Sequence[Window]]) -> Iterator[Tensor]:
        """Encode batches of windows, each sorted by length.

        YIELDS (Tensor): `dtype` [n_words, width] for each batch, the vectors of its words' first pieces.
        """
        products = self._products()  # made once for all batches
        for windows in batches:
            yield self._encode(windows, products)

    def _encode(self, windows: Sequence[Window], products: Sequence[_Products]) -> Tensor:
        x = _fill(self._embed(windows))
        groups = group_windows([len(window.ids) for window in windows])
        read = first_pieces(windows)
        for layer, product in zip(self.layers, products):
            attended = self._attend(product.query_key_value(x), groups)
            if layer is self.layers[-1]:
                attended, x = _Gather.apply(attended, read), _fill(_Gather.apply(x, read))
            x = _finish(layer.attention.output, product.attention_output, _fill(attended), x)
            x = _finish(layer.output, product.down, product.up.gelu(x), x)
        return x[: len(read)]

    def _embed(self, windows: Sequence[Window]) -> Tensor:
        tables = self.embeddings
        ids = np.concatenate([window.ids for window in windows])
        positions = np.concatenate([np.arange(len(window.ids)) for window in windows]) + self.first_position
        x = tables.word_embeddings(torch.from_numpy(ids)) + tables.position_embeddings(torch.from_numpy(positions))
        x = x + tables.token_type_embeddings.weight[0]
        return tables.dropout(tables.LayerNorm(x)).to(self.dtype)

    def _attend(self, query_key_value: Tensor, groups: Sequence[Group]) -> Tensor:
        """Let the pieces of each window attend to one another: [n_pieces, 3 * width] to [n_pieces, width]."""
        sizes = [group.end - group.start for group in groups]
        # split, for a slice's gradient is as long as all rows together
        parts = query_key_value.split([*sizes, len(query_key_value) - sum(sizes)])
        attended = []
        for group, rows in zip(groups, parts):
            if group.pieces is not None:
                rows = _Pad.apply(rows, group.pieces, group.places)
            heads = rows.view(group.n_windows, group.length, 3, self.heads, -1)
            query, key, value = heads.permute(2, 0, 3, 1, 4).contiguous()
            scores = query @ key.transpose(-1, -2)
            # in float32: softmax of bf16 is several times slower on CPU
            scores = scores.float() if group.mask is None else scores + group.mask
            mixed = (torch.softmax(scores, dim=-1).to(self.dtype) @ value).transpose(1, 2).reshape(len(rows), -1)
            attended.append(mixed if group.places is None else _Gather.apply(mixed, group.places))
        return torch.cat(attended)

    def _products(self) -> list[_Products]:
        """Each layer's matrix products; those of a gradient are made anew, for its weights change."""
        products = []
        gradient = _gets_gradient(self.embeddings)
        for i, layer in enumerate(self.layers):
            gradient = gradient or _gets_gradient(layer)
            products.append(_cast_products(layer, self.dtype) if gradient else self._kept(i))
        return products

    def _kept(self, i: int) -> _Products:
        """A layer's products for inference, kept while its weights do not change."""
        versions = [p._version for p in self.layers[i].parameters()]
        if i not in self._prepared or self._prepared[i][0] != versions:
            self._prepared[i] = (versions, _Products(*map(prepack, _cast_products(self.layers[i], self.dtype))))
        return self._prepared[i][1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_prepared": {}}  # a copy's weights have versions of their own


class _Pad(torch.autograd.Function):
    """Rows at their places in a longer matrix; what is at padding is masked, so that no gradient comes from there."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, pieces: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return rows.index_select(0, pieces)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient.index_select(0, *ctx.saved_tensors), None, None


class _Gather(torch.autograd.Function):
    """The rows at some places; torch's own gradient of it adds row by row, which is slow."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.length = len(rows)
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.length, gradient.shape[1]).index_copy_(0, places, gradient), None


def round_up(n: int, steps: int) -> int:
    """The next of few sizes, `steps` of them from each power of two to the next.

    oneDNN compiles code for each new size of a product and keeps it, about half a megabyte each time: sizes must
    recur, or memory grows with the texts.
    """
    step = max(1, 2 ** ((n - 1).bit_length() - 1) // steps) if n > 1 else 1
    return -(-n // step) * step


def _fill(rows: Tensor) -> Tensor:
    """Add rows of zeros up to a size that recurs."""
    return functional.pad(rows, (0, 0, 0, round_up(len(rows), _ROW_STEPS) - len(rows)))


def can_pack(transformer: nn.Module) -> bool:
    """Whether a transformer is of the one kind that `PackedEncoder` computes: BERT's layers, on the CPU."""
    return is_plain_bert(transformer.config) and next(transformer.parameters()).device.type == "cpu"


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


def _finish(end: nn.Module, product: Linear, x: Tensor, residual: Tensor) -> Tensor:
    """The end of a sublayer: product, dropout, sum with what went in, norm."""
    training = end.dropout.training
    return end.LayerNorm(end.dropout(product(x)) + residual if training else product.add(x, residual))


def _gets_gradient(module: nn.Module) -> bool:
    return torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())


def _cast_products(layer: nn.Module, dtype: torch.dtype) -> _Products:
    """A layer's matrix products in `dtype`. Its norms stay float32: they are small, and mixed with it lose no time."""
    attention = layer.attention.self
    scale = 1 / math.sqrt(attention.attention_head_size)  # of the scores, here where it costs nothing
    query, key, value = attention.query, attention.key, attention.value
    dense = (layer.attention.output.dense, layer.intermediate.dense, layer.output.dense)
    output, up, down = (Linear(module.weight.to(dtype), module.bias.to(dtype)) for module in dense)
    together = Linear(
        torch.cat([query.weight * scale, key.weight, value.weight]).to(dtype),
        torch.cat([query.bias * scale, key.bias, value.bias]).to(dtype),
    )
    return _Products(together, output, up, down)
