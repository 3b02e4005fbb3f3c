"""Outputs of a model for some words, and what is known of them."""

from __future__ import annotations

import torch

from spacy_prokd.architectures import TaggerOutput, leaf
from spacy_prokd.network.head import TagHead
from spacy_prokd.objectives import Progress

WIDTH, CLASSES = 4, 3
ONE_HOT = torch.eye(CLASSES)
# six source words with a gold class, six target words without
CLASSES_OF_WORDS = torch.tensor([0, 1, 2, 0, 1, 0, -1, -1, -1, -1, -1, -1])
LATER = Progress(1, 4, 0.5)  # the second of four epochs


def make_head() -> TagHead:
    torch.manual_seed(0)
    return TagHead(WIDTH, CLASSES, 0.0)


def make_output(n_words: int, seed: int = 0) -> TaggerOutput:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(n_words, WIDTH, generator=generator)
    logits = torch.randn(n_words, CLASSES, generator=generator)
    return leaf(TaggerOutput(vectors, logits, [n_words]))


def make_soft(n_words: int, seed: int = 1) -> torch.Tensor:
    return torch.softmax(torch.randn(n_words, CLASSES, generator=torch.Generator().manual_seed(seed)), dim=-1)


def no_pass():
    raise AssertionError("a full pass over the corpus was asked for")
