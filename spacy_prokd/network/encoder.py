"""The encoder: words in, one vector a word out (`h` in the paper, the last layer at a word's first piece)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from .bert import MODEL_TYPES, Bert, Settings, is_plain_bert
from .dropout import replace_dropout
from .packed import PackedEncoder, can_pack
from .pieces import Window, WordPieces, batches, first_pieces

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Precision = Literal["auto", "fp32", "bf16", "fp16"]


class WordEncoder(nn.Module):
    """A pretrained transformer that reads words.

    transformer (nn.Module): A Hugging Face encoder without a head, or `Bert`.
    tokenizer (Tokenizer): Its fast tokenizer.
    pad_id (int): The padding piece.
    unk_id (int): The piece of a word that the tokenizer leaves nothing of.
    max_length (int): Pieces in a window, special pieces included.
    frozen_layers (int): Embeddings and this many bottom layers stay as they are: no gradient is computed
        for them and they have no dropout. -1 freezes nothing, not even the embeddings.
    max_batch_pieces (int): Pieces in a micro-batch, padding included where there is any.
    masked_words (float): The share of words that are hidden in training, so that others have to tell what they are.
    precision (Precision): Of the matrix products; `auto` is bf16 where the device has it in hardware.
    """

    def __init__(
        self,
        transformer: nn.Module,
        tokenizer: Tokenizer,
        *,
        pad_id: int,
        unk_id: int,
        max_length: int = 128,
        frozen_layers: int = 3,
        max_batch_pieces: int = 2048,
        masked_words: float = 0.0,
        precision: Precision = "auto",
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.pieces = WordPieces(tokenizer, unk_id, max_length)
        self.pad_id = pad_id
        self.frozen_layers = frozen_layers
        self.max_batch_pieces = max_batch_pieces
        self.masked_words = masked_words
        self.precision: Precision = precision
        self._pack: PackedEncoder | None = None
        replace_dropout(transformer)
        self._freeze(frozen_layers)

    @property
    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON types: what `from_config` needs."""
        transformer = json.loads(self.transformer.config.to_json_string(use_diff=False))
        for name in ("_name_or_path", "torch_dtype", "dtype"):  # a folder of this machine; weights are always fp32 here
            transformer.pop(name, None)
        return {
            "transformer": transformer,
            "tokenizer": self.pieces.tokenizer.to_str(),
            "pad_id": self.pad_id,
            "unk_id": self.pieces.unk_id,
            "max_length": self.pieces.max_length,
            "frozen_layers": self.frozen_layers,
            "max_batch_pieces": self.max_batch_pieces,
            "masked_words": self.masked_words,
            "precision": self.precision,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WordEncoder:
        """Build the encoder without its weights; no file is read and no code of the model's folder is run."""
        settings = dict(config)
        transformer = build_transformer(settings.pop("transformer"))
        # where layers were dropped there may be fewer than the config freezes
        settings["frozen_layers"] = min(settings["frozen_layers"], int(transformer.config.num_hidden_layers))
        return cls(transformer, Tokenizer.from_str(settings.pop("tokenizer")), **settings)

    @property
    def width(self) -> int:
        """The size of a word's vector."""
        return int(self.transformer.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.transformer.parameters()).device

    def _freeze(self, n_layers: int) -> None:
        self._frozen = bottom_modules(self.transformer, n_layers)
        self.transformer.requires_grad_(True)
        for module in self._frozen:
            module.requires_grad_(False)

    def keep_layers(self, layers_left: float) -> None:
        """Drop the top layers; those left are frozen as before, or none where more than half would be.

        Every second layer in place of the lower half loses 2 to 3 F1 (docs/results.md): each layer left then reads
        what it was not trained on.

        layers_left (float): How many are left; below 1, which share of them, one at least.
        RAISES (ValueError): If there are not that many.
        """
        layers = find_layers(self.transformer)
        n_layers = max(1, round(layers_left * len(layers))) if 0 < layers_left < 1 else int(layers_left)
        if not 1 <= n_layers <= len(layers):
            raise ValueError(f"layers = {layers_left:g}, but the encoder has {len(layers)} of them.")
        del layers[n_layers:]
        self.transformer.config.num_hidden_layers = n_layers
        self._pack = None
        self._freeze(self.frozen_layers if 2 * self.frozen_layers <= n_layers else 0)

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
        windows = self.pieces.windows(texts, self.masked_words if self.training else 0.0)
        # filled batch by batch: of a long text, vectors are what takes memory
        vectors = torch.empty(sum(map(len, texts)), self.width, device=self.device)
        for batch, x in self._encode(windows):
            words = torch.from_numpy(np.concatenate([window.words for window in batch]))
            vectors.index_copy_(0, send(words, self.device), x.float())
        return vectors

    def _encode(self, windows: list[Window]) -> Iterator[tuple[Sequence[Window], Tensor]]:
        """Micro-batches of windows and the vectors [n_words, width] of the words that count in them."""
        if can_pack(self.transformer):
            yield from self._packed()(windows, self.max_batch_pieces)
            return
        with autocast(self.device, self.precision):  # one for all batches: each trained weight is cast once
            for batch in batches(windows, self.max_batch_pieces):
                yield batch, self._encode_padded(batch)

    def _packed(self) -> PackedEncoder:
        dtype = matrix_dtype(self.device, self.precision)
        if self._pack is None or self._pack.dtype != dtype:
            self._pack = PackedEncoder(self.transformer, dtype)
        return self._pack

    def _encode_padded(self, batch: list[Window]) -> Tensor:
        length = len(batch[0].ids)
        ids = np.full((len(batch), length), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(batch), length), dtype=np.int64)
        for row, window in enumerate(batch):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        device = self.device
        hidden = self.transformer(
            input_ids=send(torch.from_numpy(ids), device),
            attention_mask=None if mask.all() else send(torch.from_numpy(mask), device),
        ).last_hidden_state
        return hidden.flatten(0, 1)[send(first_pieces(batch, length), device)]


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy to a device; a GPU copies while the host prepares the next batch."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def build_transformer(config: dict[str, Any]) -> nn.Module:
    """Build an encoder whose weights are still random.

    config (dict[str, Any]): Its config.json.
    RETURNS (nn.Module): Our own `Bert` where it is of that kind, else Hugging Face's modules.
    """
    if is_plain_bert(settings := Settings(**config)):
        return Bert(settings)
    from transformers import AutoConfig, AutoModel

    described = dict(config)
    theirs = AutoConfig.for_model(described.pop("model_type"), **described)
    prepare_config(theirs)
    # Loading a pipeline runs no code: transformers would ask whether that which the config names may run.
    return AutoModel.from_config(theirs, trust_remote_code=False, **model_options(theirs))


def prepare_config(config: PretrainedConfig) -> None:
    """Settings that hold wherever the weights come from.

    Dropout of attention weights costs a tenth of a step on CPU; dropout of hidden states stays.
    """
    for name in ("attention_probs_dropout_prob", "attention_dropout"):
        if hasattr(config, name):
            setattr(config, name, 0.0)


def model_options(config: PretrainedConfig) -> dict[str, Any]:
    """Arguments for AutoModel: attention by device, and no pooling layer where there could be one.

    On CPU torch's fused attention is slower than plain matrix products when gradients are needed.
    """
    options: dict[str, Any] = {"attn_implementation": "sdpa" if torch.cuda.is_available() else "eager"}
    if config.model_type in MODEL_TYPES:
        options["add_pooling_layer"] = False
    return options


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
    embeddings = [module for name, module in transformer.named_children() if "embed" in name]
    return embeddings + (list(find_layers(transformer))[:frozen_layers] if frozen_layers else [])


def find_layers(transformer: nn.Module) -> nn.ModuleList:
    """The list of layers of any Hugging Face encoder.

    RAISES (ValueError): If there is none of `config.num_hidden_layers`.
    """
    n_layers = int(transformer.config.num_hidden_layers)
    for module in transformer.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise ValueError(f"No list of {n_layers} layers found in {type(transformer).__name__}; set frozen_layers = 0.")


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Run matrix products in `precision`; weights and what is summed stay float32."""
    dtype = matrix_dtype(device, precision)
    return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def matrix_dtype(device: torch.device, precision: Precision) -> torch.dtype:
    """The type of matrix products; `auto` is bf16 where the device has it in hardware, else fp32."""
    if precision == "auto":
        precision = "bf16" if has_bf16(device) else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # is_bf16_supported() is true where it is emulated
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, check, lambda: False)() for check in checks)
