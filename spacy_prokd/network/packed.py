"""A BERT-like encoder computed without padding, at the speed of its matrix products.

The same function as Hugging Face's modules compute, with their own weights: the pieces of all windows stand
in one matrix, activations have one precision (autocast switches at each operation), query, key and value are
one product, and weights without a gradient lie as the processor reads them. Only attention sees windows. The last
layer's other products are computed for the pieces that are read, each word's first. Matrices have sizes that recur.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .bert import first_position, is_plain_bert
from .layouts import Gather, Layout, fill, make_layouts
from .linear import Linear, prepack
from .pieces import Window


class _Products(NamedTuple):
    """The matrix products of one transformer layer, queries scaled for attention."""

    query_key_value: Linear
    attention_output: Linear
    up: Linear
    down: Linear


class PackedEncoder:
    """Computes what a transformer's embeddings and layers compute, with its weights as they are at each call.

    transformer (nn.Module): `Bert`, or Hugging Face's BERT, RoBERTa or XLM-RoBERTa, see `can_pack`.
    dtype (torch.dtype): Of matrix products and activations; normalisation sums in float32 in any case.
    """

    def __init__(self, transformer: nn.Module, dtype: torch.dtype) -> None:
        config = transformer.config
        self.dtype = dtype
        self.n_heads = config.num_attention_heads
        self.embeddings = transformer.embeddings
        self.layers = list(transformer.encoder.layer)
        self.first_position = first_position(config)
        self._prepared: dict[int, tuple[list[int], _Products]] = {}

    def __call__(self, windows: Sequence[Window], max_pieces: int) -> Iterator[tuple[Sequence[Window], Tensor]]:
        """Encode windows.

        windows (Sequence[Window]): In any order.
        max_pieces (int): The most pieces of a micro-batch (one window may exceed it).
        YIELDS (tuple): The windows of a micro-batch, and the vectors of their words' first pieces, `dtype`
            [n_words, width].
        """
        gradient = any(map(_gets_gradient, [self.embeddings, *self.layers]))
        products = self._products()  # made once for all micro-batches
        for layout in make_layouts(windows, max_pieces, gradient=gradient):
            yield layout.windows, self._encode(layout, products)

    def _encode(self, layout: Layout, products: Sequence[_Products]) -> Tensor:
        x = self._embed(layout)
        for layer, product in zip(self.layers, products):
            attended = layout.attend(product.query_key_value(x), self.n_heads)
            if layer is self.layers[-1]:
                attended, x = fill(Gather.apply(attended, layout.read)), fill(Gather.apply(x, layout.read))
            x = _finish(layer.attention.output, product.attention_output, attended, x)
            x = _finish(layer.output, product.down, product.up.gelu(x), x)
        return x[: len(layout.read)]

    def _embed(self, layout: Layout) -> Tensor:
        tables = self.embeddings
        x = tables.word_embeddings(layout.ids)
        x += tables.position_embeddings(layout.positions + self.first_position)  # in place: memory is what takes time
        x += tables.token_type_embeddings.weight[0]
        return tables.dropout(tables.LayerNorm(x)).to(self.dtype)

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


def can_pack(transformer: nn.Module) -> bool:
    """Whether a transformer is of the one kind that `PackedEncoder` computes: BERT's layers, on the CPU."""
    return is_plain_bert(transformer.config) and next(transformer.parameters()).device.type == "cpu"


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
    together = Linear(  # cast before they are joined: half as much to copy
        torch.cat([(query.weight * scale).to(dtype), key.weight.to(dtype), value.weight.to(dtype)]),
        torch.cat([(query.bias * scale).to(dtype), key.bias.to(dtype), value.bias.to(dtype)]),
    )
    return _Products(together, output, up, down)
