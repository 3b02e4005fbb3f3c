"""Do the words that look like a word have its label? Wrong labels stand alone (CoLaDa, Ma et al., 2023)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SAMPLE = 20_000  # words of a corpus in which all look for their neighbours, so that memory does not grow with it
NEIGHBOURS = 50  # in the sample; 300 to 500 of all words in CoLaDa


def neighbour_weights(vectors: Iterable[np.ndarray], labels: Tensor) -> Tensor:
    """How much each word of a corpus counts: by how many of its neighbours have its type, relative to the type's mean.

    vectors (Iterable[np.ndarray]): Vectors of some words at a time, [n, width] each; it is read three times.
    labels (Tensor): [n_words], tags in the order O, B-x, I-x, B-y, ...; B-x and I-x are one type.
    RETURNS (Tensor): float32 [n_words], with a mean of 1 for each type: rare ones have fewer neighbours of their own.
    """
    types = ((labels.long() + 1) // 2).split([len(h) for h in vectors])
    every = max(1, len(labels) // SAMPLE)
    sample = [(torch.from_numpy(h[::every]), of_words[::every]) for h, of_words in zip(vectors, types)]
    near, near_types = (torch.cat(tensors) for tensors in zip(*sample))
    directions = functional.normalize(near.to(labels.device), dim=-1)
    shares = [
        agreement(torch.from_numpy(h).to(labels.device), of_words, directions, near_types)
        for h, of_words in zip(vectors, types)
    ]
    return relative_to_type(torch.cat(shares), torch.cat(types))


def agreement(h: Tensor, types: Tensor, directions: Tensor, near_types: Tensor) -> Tensor:
    """The share of each word's nearest words, by cosine, that are of its type.

    h (Tensor): [n_words, width].
    types (Tensor): [n_words].
    directions (Tensor): [n_others, width], of length 1: where the others are.
    near_types (Tensor): [n_others].
    RETURNS (Tensor): float32 [n_words], 0 to 1.
    """
    cosines = functional.normalize(h, dim=-1) @ directions.T
    nearest = cosines.topk(min(NEIGHBOURS, len(directions)), dim=-1, sorted=False).indices
    return (near_types[nearest] == types[:, None]).float().mean(dim=-1)


def relative_to_type(shares: Tensor, types: Tensor) -> Tensor:
    """Divide each word's share by the mean of its type's words.

    shares (Tensor): [n_words].
    types (Tensor): int64 [n_words].
    """
    counts = types.bincount()
    means = shares.new_zeros(len(counts)).index_add(0, types, shares) / counts.clamp_min(1)
    return shares / means.clamp_min(1e-6)[types]
