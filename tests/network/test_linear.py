"""Prepacked linear layers compute what plain ones do."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from spacy_prokd.network.encoder import has_bf16
from spacy_prokd.network.linear import Linear, PrepackedLinear, prepack

with_bf16 = pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="a processor without bf16 prepacks nothing")


@pytest.fixture
def linear() -> Linear:
    torch.manual_seed(0)
    return Linear((torch.randn(48, 32) / 32**0.5).bfloat16(), torch.randn(48).bfloat16())


@with_bf16
@torch.no_grad()
@pytest.mark.parametrize("n_rows", [0, 1, 7, 200])
def test_prepacked_it_computes_the_same(linear, n_rows):
    x, residual = torch.randn(n_rows, 32).bfloat16(), torch.randn(n_rows, 48).bfloat16()
    fast = prepack(linear)
    assert isinstance(fast, PrepackedLinear)
    exact = Linear(linear.weight.float(), linear.bias.float())
    for name, arguments in {"__call__": [x], "gelu": [x], "add": [x, residual]}.items():
        found, slow = getattr(fast, name)(*arguments), getattr(linear, name)(*arguments)
        expected = getattr(exact, name)(*(argument.float() for argument in arguments))
        assert found.dtype == torch.bfloat16 and found.shape == (n_rows, 48)
        assert_close(found.float(), expected, atol=0.02, rtol=0.008)
        # rounded once, where torch's own rounds twice
        assert (found.float() - expected).abs().sum() <= 1.01 * (slow.float() - expected).abs().sum()


@with_bf16
def test_it_leaves_what_it_is_given_as_it_is(linear):
    x, residual = torch.randn(5, 32).bfloat16(), torch.randn(5, 48).bfloat16()
    kept = residual.clone()
    prepack(linear).add(x, residual)
    assert torch.equal(residual, kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_other_precisions_stay_plain(linear, dtype):
    other = Linear(linear.weight.to(dtype), linear.bias.to(dtype))
    assert prepack(other) is other


def test_where_torch_has_no_such_operations_it_stays_plain(linear, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert prepack(linear) is linear
