"""The encoder: words in, one vector a word out (`h` in the paper, the last layer at a word's first piece)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from .pieces import Window, WordPieces, batches

Precision = Literal["auto", "fp32", "bf16", "fp16"]


class WordEncoder(nn.Module):
    """A pretrained transformer that reads words.

    transformer (nn.Module): A Hugging Face encoder without a head.
    pieces (WordPieces): Turns words into pieces.
    pad_id (int): The padding piece.
    frozen_layers (int): Embeddings and this many bottom layers stay as they are: no gradient is computed
        for them and they have no dropout. -1 freezes nothing, not even the embeddings.
    max_batch_pieces (int): Pieces in a micro-batch, padding included.
    precision (Precision): Of the matrix products; `auto` is bf16 where the device has it in hardware.
    """

    def __init__(
        self,
        transformer: nn.Module,
        pieces: WordPieces,
        *,
        pad_id: int,
        frozen_layers: int = 3,
        max_batch_pieces: int = 4096,
        precision: Precision = "auto",
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.pieces = pieces
        self.pad_id = pad_id
        self.max_batch_pieces = max_batch_pieces
        self.precision = precision
        self._frozen = bottom_modules(transformer, frozen_layers)
        for module in self._frozen:
            module.requires_grad_(False)

    @property
    def width(self) -> int:
        """The size of a word's vector."""
        return int(self.transformer.config.hidden_size)

    @property
    def device(self) -> torch.device:
        return next(self.transformer.parameters()).device

    def train(self, mode: bool = True) -> WordEncoder:
        """Switch dropout on or off; frozen layers never have any, so their output is the same each time."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """Encode the words of some texts.

        texts (Sequence[Sequence[str]]): The words of each text; a text may be empty or of any length.
        RETURNS (Tensor): float32 [n_words, width], the texts' words one after the other.
        """
        vectors, positions = [], []
        for batch in batches(self.pieces.windows(texts), self.max_batch_pieces):
            vectors.append(self._encode(batch))
            positions.extend(window.words for window in batch)
        if not vectors:
            return torch.zeros(0, self.width, device=self.device)
        restore = np.argsort(np.concatenate(positions), kind="stable")
        return torch.cat(vectors)[torch.from_numpy(restore).to(self.device)]

    def _encode(self, batch: list[Window]) -> Tensor:
        length = len(batch[0].ids)
        ids = np.full((len(batch), length), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(batch), length), dtype=np.int64)
        for row, window in enumerate(batch):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        first = np.concatenate([window.first + row * length for row, window in enumerate(batch)])
        device = self.device
        with autocast(device, self.precision):
            hidden = self.transformer(
                input_ids=torch.from_numpy(ids).to(device),
                attention_mask=None if mask.all() else torch.from_numpy(mask).to(device),
            ).last_hidden_state
        return hidden.flatten(0, 1)[torch.from_numpy(first).to(device)].float()


def bottom_modules(transformer: nn.Module, frozen_layers: int) -> list[nn.Module]:
    """Find the embeddings and the lowest layers of any Hugging Face encoder.

    transformer (nn.Module): Has `config.num_hidden_layers` and a ModuleList of that many layers.
    frozen_layers (int): How many layers beside the embeddings; -1 for nothing at all.
    RETURNS (list[nn.Module]): The modules.
    RAISES (ValueError): If there are not that many layers.
    """
    if frozen_layers < 0:
        return []
    n_layers = int(transformer.config.num_hidden_layers)
    if frozen_layers > n_layers:
        raise ValueError(f"frozen_layers = {frozen_layers}, but the encoder has {n_layers} layers.")
    layers = next(
        (m for m in transformer.modules() if isinstance(m, nn.ModuleList) and len(m) == n_layers), None
    )
    if layers is None and frozen_layers:
        raise ValueError(f"No list of {n_layers} layers found in {type(transformer).__name__}; set frozen_layers = 0.")
    embeddings = [module for name, module in transformer.named_children() if "embed" in name]
    return embeddings + list(layers or [])[:frozen_layers]


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Run matrix products in `precision` (`auto`: bf16 where the device has it in hardware, else fp32)."""
    if precision == "auto":
        precision = "bf16" if has_bf16(device) else "fp32"
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype={"bf16": torch.bfloat16, "fp16": torch.float16}[precision])


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, check, lambda: False)() for check in checks)
