"""Linear layers as an encoder uses them: alone, before GELU, and added to what went into a sublayer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_ROWS = 1024  # that the layout is chosen for; about those of a micro-batch


class Linear:
    """x W^T + b by torch's own operations, which gradients go through.

    weight (Tensor): [n_out, n_in].
    bias (Tensor): [n_out].
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight = weight
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """[n_rows, n_in] to [n_rows, n_out]."""
        return functional.linear(x, self.weight, self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """GELU of the product, [n_rows, n_out]."""
        return functional.gelu(self(x))

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """The product's sum with the residual, both [n_rows, n_out]."""
        return self(x) + residual


class PrepackedLinear(Linear):
    """The same by oneDNN, for inference: the weight lies as the processor multiplies it, and what follows is fused.

    torch lays a weight out anew for each product. These are the operations that the freezing of torch.compile puts in
    place of it. GELU and the sum take the product in float32, so that it is rounded once less.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__(torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS), bias.detach())

    def __call__(self, x: Tensor) -> Tensor:
        """See `Linear`."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], None)

    def gelu(self, x: Tensor) -> Tensor:
        """See `Linear`."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "gelu", [], "none")

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """See `Linear`."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")


def prepack(linear: Linear) -> Linear:
    """The same for inference: prepacked in bf16 on a CPU that has it, where torch has oneDNN, else as it is."""
    can_prepack = (
        linear.weight.dtype == torch.bfloat16
        and linear.weight.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    return PrepackedLinear(linear.weight, linear.bias) if can_prepack else linear
