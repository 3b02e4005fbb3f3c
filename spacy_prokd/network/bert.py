"""BERT's modules, under Hugging Face's names: most multilingual encoders (mBERT, XLM-R, E5) are of this kind.

A saved pipeline of this kind loads without importing `transformers`, which takes longer than loading it.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")


class Settings(SimpleNamespace):
    """An encoder's config.json as attributes."""

    def to_json_string(self, use_diff: bool = False) -> str:
        """As Hugging Face's configs have it; everything is written."""
        return json.dumps(vars(self))


class Output(NamedTuple):
    """last_hidden_state (Tensor): [n_windows, length, width]."""

    last_hidden_state: Tensor


def is_plain_bert(config: Any) -> bool:
    """Whether a config describes what `Bert` computes: BERT's layers without any of their later variants.

    config (Any): Hugging Face's, or `Settings`.
    """
    return (
        config.model_type in MODEL_TYPES
        and config.hidden_act == "gelu"
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not config.is_decoder
    )


def first_position(config: Any) -> int:
    """The position of a window's first piece; RoBERTa's first positions are for padding."""
    return 0 if config.model_type == "bert" else config.pad_token_id + 1


class Bert(nn.Module):
    """An encoder without a head, and without dropout of attention weights.

    config (Settings): One that `is_plain_bert`.
    """

    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))

    def get_input_embeddings(self) -> nn.Embedding:
        """The pieces' embeddings."""
        return self.embeddings.word_embeddings

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Output:
        """Encode windows of pieces.

        input_ids (Tensor): int64 [n_windows, length], padded on the right.
        attention_mask (Tensor | None): [n_windows, length], 0 at padding; None if nothing is padded.
        """
        mask = None if attention_mask is None else attention_mask[:, None, None].bool()
        x = self.embeddings(input_ids)
        for layer in self.encoder.layer:
            x = layer(x, mask)
        return Output(x)


class _Embeddings(nn.Module):
    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.first_position = first_position(config)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device) + self.first_position
        x = self.word_embeddings(ids) + self.position_embeddings(positions) + self.token_type_embeddings.weight[0]
        return self.dropout(self.LayerNorm(x))


class _Layer(nn.Module):
    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.attention = nn.Module()
        self.attention.self = _SelfAttention(config)
        self.attention.output = _Sublayer(config.hidden_size, config)
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = _Sublayer(config.intermediate_size, config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention.output(self.attention.self(x, mask), x)
        return self.output(functional.gelu(self.intermediate.dense(x)), x)


class _SelfAttention(nn.Module):
    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.attention_head_size = config.hidden_size // config.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        heads = (*x.shape[:2], -1, self.attention_head_size)
        query, key, value = (module(x).view(heads).transpose(1, 2) for module in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(x.shape)


class _Sublayer(nn.Module):
    """The end of a sublayer: a matrix product, dropout, and the norm of its sum with what went in."""

    def __init__(self, width: int, config: Settings) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)
