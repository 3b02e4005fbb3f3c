"""The rival in training: a plain PyTorch loop, written with transformers and torch as fast as a careful engineer can.

It has no spaCy, no Thinc, no Docs. It is spared work that the pipe does in every step: texts are tokenised,
sorted by length, padded and made tensors beforehand, and so are their labels.

Four choices are the pipe's own, so that both sides do the same arithmetic: which modules are frozen, the
precision, dropout with a cheap mask (torch's own mask would make this loop slower), and copies to a GPU that nobody
waits for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from spacy_prokd.network.dropout import ByteDropout, replace_dropout
from spacy_prokd.network.encoder import Precision, autocast, bottom_modules, send
from spacy_prokd.network.pieces import SPACES

CPU = torch.device("cpu")


@dataclass
class LoopSettings:
    """The pipe's settings, by the names that its configs have."""

    n_tags: int
    frozen_layers: int
    max_batch_pieces: int
    precision: Precision
    dropout: float
    learn_rate: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    grad_clip: float


class MicroBatch(NamedTuple):
    """Some texts of a step: ids and mask [n_texts, length], and each word's first piece in the flattened ids."""

    ids: Tensor
    mask: Tensor | None
    first: Tensor

    def to(self, device: torch.device) -> MicroBatch:
        """The same on a device; the host does not wait for the copy."""
        return MicroBatch(*(None if tensor is None else send(tensor, device) for tensor in self))


class Step(NamedTuple):
    """The texts of one step, and what is known of their words: classes [n_words] or probabilities [n_words, n_tags]."""

    micro_batches: list[MicroBatch]
    target: Tensor


def read_tokenizer(encoder: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(encoder, use_fast=True, add_prefix_space=True)


def make_micro_batches(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[Sequence[str]], max_pieces: int, max_length: int | None = None
) -> tuple[list[int], list[MicroBatch]]:
    """Tokenise, sort by length, and pad.

    texts (Sequence[Sequence[str]]): The words of each text.
    max_pieces (int): Of a micro-batch, padding included.
    max_length (int | None): Where longer texts are cut; none are if None.
    RETURNS (tuple): The order of the texts, longest first, and the micro-batches in this order.
    """
    encodings = tokenizer(
        [list(words) for words in texts],
        is_split_into_words=True,
        truncation=max_length is not None,
        max_length=max_length,
    )
    spaces = {tokenizer.convert_tokens_to_ids(space) for space in SPACES}
    read = [_without_spaces(ids, encodings.word_ids(i), spaces) for i, ids in enumerate(encodings["input_ids"])]
    lengths = [len(ids) for ids, _starts in read]
    order = sorted(range(len(texts)), key=lambda i: -lengths[i])
    groups: list[list[int]] = []
    for i in order:
        if not groups or lengths[groups[-1][0]] * (len(groups[-1]) + 1) > max_pieces:
            groups.append([])
        groups[-1].append(i)
    micro_batches = []
    for group in groups:
        pieces = [torch.tensor(read[i][0]) for i in group]
        ids = pad_sequence(pieces, batch_first=True, padding_value=tokenizer.pad_token_id)
        mask = torch.arange(ids.shape[1]) < torch.tensor([lengths[i] for i in group])[:, None]
        first = [row * ids.shape[1] + start for row, i in enumerate(group) for start in read[i][1]]
        micro_batches.append(MicroBatch(ids, None if mask.all() else mask.long(), torch.tensor(first)))
    return order, micro_batches


def _without_spaces(ids: Sequence[int], words: Sequence[int | None], spaces: set[int]) -> tuple[list[int], list[int]]:
    """Leave out a space that is a piece of its own before a word's others.

    RETURNS (tuple): The ids that are left, and where among them each word begins.
    """
    left: list[int] = []
    starts: dict[int, int] = {}
    for j, (piece, word) in enumerate(zip(ids, words)):
        if word is not None and word != words[j - 1] and piece in spaces and words[j + 1] == word:
            continue
        if word is not None:
            starts.setdefault(word, len(left))
        left.append(piece)
    return left, list(starts.values())


class HandLoop:
    """Token classification with cross entropy: the teacher's step."""

    def __init__(self, encoder: Path, settings: LoopSettings, device: torch.device = CPU) -> None:
        config = AutoConfig.from_pretrained(encoder)
        config.attention_probs_dropout_prob = 0.0
        self.tokenizer = read_tokenizer(encoder)
        attention = "eager" if device.type == "cpu" else "sdpa"  # on CPU, eager is faster where gradients are needed
        self.model = AutoModel.from_pretrained(encoder, config=config, attn_implementation=attention).to(device)
        self.model.pooler = None
        replace_dropout(self.model)
        self.frozen = bottom_modules(self.model, settings.frozen_layers)
        for module in self.frozen:
            module.requires_grad_(False)
        self.dropout = ByteDropout(settings.dropout)
        self.head = nn.Linear(config.hidden_size, settings.n_tags).to(device)
        self.settings = settings
        self.trainable = [p for module in (self.model, self.head) for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in self.trainable if p.ndim > 1], "weight_decay": settings.weight_decay},
                {"params": [p for p in self.trainable if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=settings.learn_rate,
            betas=settings.betas,
            eps=settings.eps,
            fused=True,
        )

    def prepare(self, texts: Sequence[Sequence[str]], targets: Sequence[np.ndarray]) -> Step:
        """Tokenise, sort, pad and make tensors of the texts of one step; done before the clock runs.

        texts (Sequence[Sequence[str]]): The words of each text.
        targets (Sequence[np.ndarray]): What is known of the words of each text.
        """
        order, micro_batches = make_micro_batches(self.tokenizer, texts, self.settings.max_batch_pieces)
        return Step(micro_batches, torch.from_numpy(np.concatenate([targets[i] for i in order])))

    def step(self, batch: Step) -> float:
        """One step of training; its loss."""
        self.model.train()
        for module in self.frozen:
            module.eval()
        h = self.encode(batch)
        loss = self.loss(h, self.head(self.dropout(h)), send(batch.target, self.model.device))
        loss.backward()
        if self.settings.grad_clip:
            nn.utils.clip_grad_norm_(self.trainable, self.settings.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def encode(self, batch: Step) -> Tensor:
        """The vectors of the words' first pieces, float32 [n_words, width]."""
        vectors = []
        with autocast(self.model.device, self.settings.precision):  # one context: each weight is cast once a step
            for micro in (each.to(self.model.device) for each in batch.micro_batches):
                hidden = self.model(input_ids=micro.ids, attention_mask=micro.mask).last_hidden_state
                vectors.append(hidden.flatten(0, 1)[micro.first].float())
        return torch.cat(vectors)

    def loss(self, h: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(logits, target)


class StudentHandLoop(HandLoop):
    """Distillation (Eq. 2) and cross entropy against labels from prototypes (Eq. 11): the student's step."""

    def __init__(
        self,
        encoder: Path,
        settings: LoopSettings,
        alpha: float,
        beta: float,
        tau_proto: float,
        gamma: float,
        device: torch.device = CPU,
    ) -> None:
        super().__init__(encoder, settings, device)
        self.alpha, self.beta, self.tau_proto, self.gamma = alpha, beta, tau_proto, gamma

    @torch.no_grad()
    def make_prototypes(self, steps: Sequence[Step]) -> None:
        """Take the prototypes, and the unit of distance, from a pass over the corpus; before the clock runs."""
        self.model.eval()
        h = torch.cat([self.encode(step) for step in steps])
        classes = self._one_hot(self.head(h))
        self.vectors = classes.T @ h / len(h)
        self.share = classes.mean(dim=0)
        scatter = h - classes @ (self.vectors / self.share.clamp_min(1e-12)[:, None])
        covariance = scatter.T @ scatter / len(h)
        ridge = 0.1 * covariance.diagonal().mean() * torch.eye(h.shape[1], device=h.device)
        self.unit = torch.linalg.inv(torch.linalg.cholesky(covariance + ridge)).T

    def loss(self, h: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        q = torch.softmax(logits, dim=-1)
        distillation = (q - target).square().sum(dim=-1).mean()
        with torch.no_grad():
            prototypes = self.vectors / self.share.clamp_min(1e-12)[:, None]
            scores = self.share.log() - torch.cdist(h @ self.unit, prototypes @ self.unit) / self.tau_proto
            labels = (self.beta * torch.softmax(scores, dim=-1) + (1 - self.beta) * target).argmax(dim=-1)
            classes = self._one_hot(logits)
            self.vectors.lerp_(classes.T @ h / len(h), self.gamma)
            self.share.lerp_(classes.mean(dim=0), self.gamma)
        return self.alpha * distillation + (1 - self.alpha) * functional.cross_entropy(logits, labels)

    def _one_hot(self, logits: Tensor) -> Tensor:
        return functional.one_hot(logits.argmax(dim=-1), self.settings.n_tags).float()
