"""Rivals in tagging that are not spaCy: Hugging Face's pipeline, and a loop written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from hand_loop import CPU, MicroBatch, make_micro_batches, read_tokenizer
from torch import nn
from transformers import AutoModel, AutoModelForTokenClassification, Pipeline, pipeline


def make_hf_pipeline(encoder: Path, tags: Sequence[str]) -> Pipeline:
    """`pipeline("token-classification")` in batches of 32, default settings, biased to O."""
    model = AutoModelForTokenClassification.from_pretrained(
        encoder, id2label=dict(enumerate(tags)), label2id={tag: i for i, tag in enumerate(tags)}
    )
    with torch.no_grad():
        model.classifier.bias[0] = 10.0
    tokenizer = read_tokenizer(encoder)
    return pipeline(
        "token-classification", model=model, tokenizer=tokenizer, batch_size=32, aggregation_strategy="simple"
    )


class HandTagger:
    """Tags by argmax: weights in bf16, texts sorted by length and cut where a window ends, padded micro-batches.

    It is spared work that the pipe does each time: it makes neither words, spans nor scores.
    """

    def __init__(
        self, encoder: Path, n_tags: int, max_length: int, max_pieces: int, device: torch.device = CPU
    ) -> None:
        self.tokenizer, self.max_length, self.max_pieces = read_tokenizer(encoder), max_length, max_pieces
        attention = "eager" if device.type == "cpu" else "sdpa"
        self.model = AutoModel.from_pretrained(encoder, attn_implementation=attention).to(device, torch.bfloat16).eval()
        self.model.pooler = None
        self.head = nn.Linear(self.model.config.hidden_size, n_tags).to(device)

    def prepare(self, texts: Sequence[Sequence[str]]) -> list[MicroBatch]:
        """Tokenise the words of some texts, sort and pad."""
        return make_micro_batches(self.tokenizer, texts, self.max_pieces, self.max_length)[1]

    @torch.inference_mode()
    def run(self, micro_batches: Sequence[MicroBatch]) -> list[torch.Tensor]:
        """The tags of all words."""
        tags = []
        for micro in (each.to(self.model.device) for each in micro_batches):
            hidden = self.model(input_ids=micro.ids, attention_mask=micro.mask).last_hidden_state
            tags.append(self.head(hidden.flatten(0, 1)[micro.first].float()).argmax(dim=-1))
        return tags
