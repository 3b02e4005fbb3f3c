"""Weights by what the neighbours of a word are, on words whose neighbours are known."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from spacy_prokd.network import neighbours
from spacy_prokd.network.neighbours import agreement, neighbour_weights, relative_to_type

# four words around each of two directions; the last of each is labelled as the others are
DIRECTIONS = normalize(
    torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [1.0, 0.05], [0.0, 1.0], [0.1, 1.0], [-0.1, 1.0], [0.05, 1]])
)
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 0])  # O, B-x, I-x


@pytest.fixture
def four_neighbours(monkeypatch):
    monkeypatch.setattr(neighbours, "NEIGHBOURS", 4)


def test_the_share_of_near_words_of_the_same_type(four_neighbours):
    types = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0])
    found = agreement(DIRECTIONS, types, DIRECTIONS, types)
    assert found.tolist() == [0.75, 0.75, 0.75, 0.25, 0.75, 0.75, 0.75, 0.25]


def test_length_does_not_matter_and_fewer_words_than_neighbours_do_no_harm():
    types = torch.tensor([0, 0, 0, 1])
    longer = agreement(7 * DIRECTIONS[:4], types, DIRECTIONS[:4], types)
    assert longer.tolist() == [0.75, 0.75, 0.75, 0.25]


def test_a_rare_type_counts_as_much_as_a_frequent_one():
    weights = relative_to_type(torch.tensor([0.9, 0.7, 0.1, 0.3]), torch.tensor([0, 0, 2, 2]))
    assert weights.tolist() == pytest.approx([1.125, 0.875, 0.5, 1.5])


@pytest.mark.parametrize("sizes", [[8], [3, 5], [2, 2, 2, 2]])
def test_words_that_stand_alone_count_less_and_first_and_later_words_are_one_type(sizes, four_neighbours):
    parts = [h.numpy() for h in DIRECTIONS.split(sizes)]
    weights = neighbour_weights(parts, LABELS)
    assert weights.tolist() == pytest.approx([1.2, 1.2, 1.2, 0.4, 1.2, 1.2, 1.2, 0.4])


def test_neighbours_are_looked_for_in_a_sample(monkeypatch, four_neighbours):
    monkeypatch.setattr(neighbours, "SAMPLE", 4)  # each second word: 0, 2, 4 and 6
    weights = neighbour_weights([DIRECTIONS.numpy()], LABELS)
    assert weights.tolist() == pytest.approx([1.0] * 8)
    monkeypatch.setattr(neighbours, "NEIGHBOURS", 2)
    assert neighbour_weights([DIRECTIONS.numpy()], LABELS).tolist() == pytest.approx(
        [4 / 3] * 3 + [0] + [4 / 3] * 3 + [0]
    )
