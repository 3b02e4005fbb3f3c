"""What is stored in fewer bytes comes back: exactly where it was of 4 bits, to fp16's precision elsewhere."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_prokd.network.compact import compact, from_blocks, restore, to_blocks


def four_bits(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """A matrix as Q4_0 gives it: the largest value of a block is -8 scales."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(-7, 8, (rows * columns // 32, 32), generator=generator)
    codes[torch.arange(len(codes)), torch.randint(32, (len(codes),), generator=generator)] = -8
    scales = torch.randn(len(codes), 1, generator=generator).half().float()
    return (codes * scales).view(rows, columns)


def test_a_block_by_hand():
    matrix = torch.zeros(1, 32)
    matrix[0, :4] = torch.tensor([-4.0, 1.5, 0.5, -0.5])  # scale 0.5: codes 0, 11, 9, 7, and 8 for zero
    codes, scales = to_blocks(matrix)
    assert scales.tolist() == [[0.5]] and scales.dtype == torch.float16
    assert codes[0, :3].tolist() == [0 | 11 << 4, 9 | 7 << 4, 8 | 8 << 4]
    assert torch.equal(from_blocks(codes, scales), matrix)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**31))
def test_four_bits_come_back_exactly(rows, blocks, seed):
    matrix = four_bits(rows, 32 * blocks, seed)
    stored = compact({"a": matrix})
    assert {name: tuple(value.shape) for name, value in stored.items()} == {
        "a.codes": (rows, 16 * blocks),
        "a.scales": (rows, blocks),
    }
    assert torch.equal(restore(stored)["a"], matrix)


def test_zeros_come_back():
    assert torch.equal(restore(compact({"a": torch.zeros(2, 64)}))["a"], torch.zeros(2, 64))


@pytest.mark.parametrize(
    "matrix",
    [
        torch.randn(3, 64, generator=torch.Generator().manual_seed(0)),
        four_bits(3, 64) + 1e-6,
        four_bits(3, 64)[:, :48],
        torch.full((2, 32), 1e-12),  # its scale is nothing in fp16
    ],
)
def test_what_is_of_no_such_form_is_half_precision(matrix):
    assert to_blocks(matrix) is None
    stored = compact({"a": matrix})
    assert stored["a"].dtype == torch.float16
    torch.testing.assert_close(restore(stored)["a"], matrix, rtol=1e-3, atol=1e-7)


def test_vectors_integers_and_large_values_stay():
    weights = {
        "bias": torch.randn(7),
        "updates": torch.tensor(3),
        "large": torch.tensor([[1e6, 1.0]]),
        "empty": torch.zeros(0),
    }
    stored = compact(weights)
    for name, value in weights.items():
        assert stored[name].dtype == value.dtype and torch.equal(stored[name], value)
        assert torch.equal(restore(stored)[name], value)
