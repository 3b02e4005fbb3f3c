"""Dropout that costs next to nothing on a CPU, where torch's own takes longer than the product before it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class ByteDropout(nn.Module):
    """Dropout whose mask is drawn as random bytes.

    p (float): Share of values to drop; what is dropped is rounded to 1/256.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p  # read by Hugging Face's modules, as of torch's own

    def forward(self, x: Tensor) -> Tensor:
        """Drop values in training and scale the others up; x as it is otherwise."""
        dropped = round(self.p * 256)
        if not self.training or not dropped:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, dropped / 256)
        seed = int(torch.randint(2**62, ()))  # so that torch.manual_seed governs the masks too
        noise = np.random.SFC64(seed).random_raw(-(-x.numel() // 8)).view(np.uint8)[: x.numel()]
        # the mask's bits by numpy: torch takes several times as long to compare bytes and to make numbers of the result
        scale = torch.tensor(256 / (256 - dropped), dtype=x.dtype)
        bits = scale.view(torch.int16 if x.element_size() == 2 else torch.int32).numpy()
        mask = torch.from_numpy(np.multiply(noise >= dropped, bits, dtype=bits.dtype)).view(x.dtype)
        return x * mask.view(x.shape)


def replace_dropout(module: nn.Module) -> None:
    """Give every dropout layer inside a module the fast mask."""
    for inner in module.modules():
        for name, child in inner.named_children():
            if type(child) is nn.Dropout:
                setattr(inner, name, ByteDropout(child.p))
