"""Rivals in tagging that are not spaCy: Hugging Face's pipeline, and a loop written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from hand_loop import read_tokenizer
from torch import nn
from torch.nn.utils.rnn import pad_sequence
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
    """Tags by argmax: weights in bf16, texts sorted by length, padded micro-batches.

    It is spared work that the pipe does each time: its texts are tokenised beforehand, cut where a window ends,
    and it makes neither spans nor scores.
    """

    def __init__(self, encoder: Path, texts: Sequence[Sequence[str]], n_tags: int, max_length: int, max_pieces: int):
        tokenizer = read_tokenizer(encoder)
        self.model = AutoModel.from_pretrained(encoder, attn_implementation="eager").to(torch.bfloat16).eval()
        self.model.pooler = None
        self.head = nn.Linear(self.model.config.hidden_size, n_tags)
        encoded = tokenizer(list(texts), is_split_into_words=True, truncation=True, max_length=max_length)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        self.batches = []
        batch: list[int] = []
        for i in np.argsort(lengths)[::-1]:
            if batch and (len(batch) + 1) * lengths[batch[0]] > max_pieces:
                self.batches.append(self._pad(encoded, batch, tokenizer.pad_token_id))
                batch = []
            batch.append(int(i))
        self.batches.append(self._pad(encoded, batch, tokenizer.pad_token_id))

    def _pad(self, encoded, rows: list[int], pad_id: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids, mask, and whether each piece is a word's first: [n_texts, length] all three."""
        ids = [torch.tensor(encoded["input_ids"][i]) for i in rows]
        first = [_is_first(encoded.word_ids(i)) for i in rows]
        mask = [torch.ones(len(row), dtype=torch.long) for row in ids]
        padded = pad_sequence(ids, batch_first=True, padding_value=pad_id)
        return padded, pad_sequence(mask, batch_first=True), pad_sequence(first, batch_first=True)

    @torch.inference_mode()
    def run(self) -> list[torch.Tensor]:
        """The tags of all words."""
        return [
            self.head(self.model(input_ids=ids, attention_mask=mask).last_hidden_state[first].float()).argmax(dim=-1)
            for ids, mask, first in self.batches
        ]


def _is_first(words: Sequence[int | None]) -> torch.Tensor:
    return torch.tensor([word is not None and word != before for before, word in zip([None, *words], words)])
