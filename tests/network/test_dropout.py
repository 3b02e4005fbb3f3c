"""Dropout by random bytes: what torch's own does, at another speed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from spacy_prokd.network.dropout import ByteDropout, replace_dropout


def test_it_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    output = ByteDropout(0.1).train()(torch.ones(400, 500))
    dropped = 26 / 256  # the nearest to 0.1
    # the deviation of a share of 200,000 draws is 0.0007
    assert float((output == 0).float().mean()) == pytest.approx(dropped, abs=0.004)
    assert float(output.mean()) == pytest.approx(1.0, abs=0.005)
    assert output.unique().tolist() == pytest.approx([0.0, 1 / (1 - dropped)])


def test_torch_manual_seed_governs_it():
    dropout, x = ByteDropout(0.5).train(), torch.ones(50, 50)
    torch.manual_seed(1)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


def test_the_gradient_is_where_values_were_kept():
    x = torch.randn(40, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    output = ByteDropout(0.25).train()(x)
    output.sum().backward()
    assert torch.equal(x.grad != 0, output != 0)
    assert_close(x.grad, (output / x).detach())
    assert_close(x.grad.max(), torch.tensor(256 / 192))


def test_nothing_is_dropped_outside_training_or_at_zero():
    x = torch.ones(30, 30)
    assert ByteDropout(0.5).eval()(x) is x
    assert ByteDropout(0.0).train()(x) is x


def test_it_tells_its_rate_as_torchs_own_does():
    assert ByteDropout(0.1).p == torch.nn.Dropout(0.1).p  # attention of transformers 5 asks for it


def test_setting_its_rate_later_counts():
    dropout = ByteDropout(0.5).train()
    dropout.p = 0.0
    x = torch.ones(30, 30)
    assert dropout(x) is x


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(1,), (7, 5), (3, 4, 5)])
def test_values_are_dropped_or_scaled_up_in_any_shape_and_precision(shape, dtype):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    output = ByteDropout(0.25).train()(x)
    assert (output.shape, output.dtype) == (x.shape, dtype)
    assert torch.equal(output, torch.where(output == 0, 0, x * torch.tensor(256 / 192, dtype=dtype)))


def test_it_replaces_every_dropout_inside_a_module():
    nested = nn.Sequential(nn.Dropout(0.25), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)))
    replace_dropout(nested)
    assert (type(nested[0]), type(nested[1][1])) == (ByteDropout, ByteDropout)
    assert (nested[0].p, nested[1][1].p) == (0.25, 0.5)
