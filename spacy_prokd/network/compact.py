"""Weights in fewer bytes: 4 bits where that is exact, fp16 for the other matrices.

Some encoders are published in blocks of 32 values of 4 bits that share a scale (Q4_0 of GGML). What of them was
not trained since, embeddings and frozen layers, is still of this form, and is stored so without loss.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_BLOCK = 32  # values that share a scale
_CODES, _SCALES = ".codes", ".scales"


def compact(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored.

    weights (Mapping[str, Tensor]): float32; vectors, and matrices with values that fp16 does not reach, stay so.
    RETURNS (dict[str, Tensor]): Under the same names; a matrix of 4 bits as its codes and scales.
    """
    stored = {}
    for name, value in weights.items():
        blocks = to_blocks(value) if value.ndim == 2 else None
        if blocks is not None:
            stored[name + _CODES], stored[name + _SCALES] = blocks
        elif value.ndim > 1 and value.abs().max() <= torch.finfo(torch.float16).max:
            stored[name] = value.half()
        else:
            stored[name] = value
    return stored


def restore(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights, float32, that `compact` stored; others as they are."""
    weights = {}
    for name, value in stored.items():
        if name.endswith(_CODES):
            name = name.removesuffix(_CODES)
            weights[name] = from_blocks(value, stored[name + _SCALES])
        elif not name.endswith(_SCALES):
            weights[name] = value.float() if value.dtype == torch.float16 else value
    return weights


def to_blocks(matrix: Tensor) -> tuple[Tensor, Tensor] | None:
    """Write a matrix as codes and scales, `value = (code - 8) * scale`, if nothing is lost.

    matrix (Tensor): float32 [rows, columns].
    RETURNS (tuple[Tensor, Tensor] | None): Codes, uint8 [rows, columns / 2], even columns in the lower halves; scales,
        fp16 [rows, columns / 32]. None if the matrix is not of this form.
    """
    rows, columns = matrix.shape
    if columns % _BLOCK:
        return None
    values = matrix.reshape(-1, _BLOCK)
    largest = values.gather(1, values.abs().argmax(dim=1, keepdim=True))  # the one whose code is 0
    scales = (largest / -8).half()
    codes = (values / scales.float().where(scales != 0, 1.0)).round().clamp(-8, 7)
    if not torch.equal(codes * scales.float(), values):
        return None
    codes = (codes + 8).to(torch.uint8).view(rows, columns)
    return codes[:, ::2] | codes[:, 1::2] << 4, scales.view(rows, -1)


def from_blocks(codes: Tensor, scales: Tensor) -> Tensor:
    """The matrix that `to_blocks` wrote, float32 [rows, columns]."""
    values = torch.empty(*codes.shape, 2)
    values[..., 0] = codes & 15
    values[..., 1] = codes >> 4
    return values.view(-1, _BLOCK).sub_(8).mul_(scales.float().view(-1, 1)).view(len(codes), -1)
