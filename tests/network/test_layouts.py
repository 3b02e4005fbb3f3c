"""How windows lie in a matrix: in groups for training, in bins for inference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from spacy_prokd.network.layouts import Bins, Groups, bin_layouts, fill_bins, group_windows, round_up
from spacy_prokd.network.pieces import Window

WIDTH, HEADS = 8, 2


def window(length: int, first_word: int = 0) -> Window:
    """Every second piece begins a word."""
    first = np.arange(0, length, 2)
    return Window(list(range(1, length + 1)), first, first_word + np.arange(len(first)))


def sizes(bins: list[list[Window]]) -> list[list[int]]:
    return [[len(each.ids) for each in one] for one in bins]


def attend_alone(rows: torch.Tensor) -> torch.Tensor:
    """Attention of one window, [length, 3 * width] to [length, width], head by head."""
    query, key, value = rows.view(len(rows), 3, HEADS, -1).permute(1, 2, 0, 3)
    return torch.cat([torch.softmax(q @ k.T, dim=-1) @ v for q, k, v in zip(query, key, value)], dim=1)


def lay_out(kind: str, windows: list[Window]) -> Groups | Bins:
    return Groups(windows) if kind == "groups" else Bins(fill_bins(windows))


@pytest.mark.parametrize("kind", ["groups", "bins"])
def test_each_window_attends_to_itself_alone(kind):
    layout = lay_out(kind, [window(length) for length in (100, 60, 50, 30, 9, 9, 8, 1)])
    torch.manual_seed(0)
    starts = torch.where(layout.positions == 0)[0].tolist()
    rows = torch.randn(len(layout.ids), 3 * WIDTH)
    found = layout.attend(rows, HEADS)
    assert found.shape == (len(rows), WIDTH)
    seen = 0
    for start in starts:
        length = next((n for n in range(len(rows) - start) if layout.ids[start + n] != n + 1), len(rows) - start)
        if length:  # 0 where no window is
            assert_close(found[start : start + length], attend_alone(rows[start : start + length]))
            seen += 1
    assert seen == 8


@pytest.mark.parametrize("kind", ["groups", "bins"])
def test_each_word_is_read_where_its_first_piece_is(kind):
    layout = lay_out(kind, [window(n, first_word=100 * n) for n in (120, 70, 40, 9)])
    ids, positions = layout.ids[layout.read], layout.positions[layout.read]
    first = np.concatenate([each.first for each in layout.windows])
    assert positions.tolist() == first.tolist() and ids.tolist() == (first + 1).tolist()
    words = np.concatenate([each.words for each in layout.windows])
    assert sorted(words) == sorted(100 * n + i for n in (120, 70, 40, 9) for i in range((n + 1) // 2))


def test_bins_are_filled_first_fit_decreasing():
    bins = fill_bins([window(n) for n in (20, 100, 70, 60, 28, 8, 128)])
    assert sizes(bins) == [[128], [100, 28], [70, 20, 8], [60]]
    assert fill_bins([]) == []


def test_a_window_longer_than_a_bin_has_one_of_its_own():
    assert sizes(fill_bins([window(n) for n in (300, 128, 5)])) == [[300], [128], [5]]


def test_bins_of_many_texts_are_full():
    lengths = np.random.default_rng(0).integers(3, 100, size=250)
    bins = fill_bins([window(int(n)) for n in lengths])
    assert lengths.sum() / (128 * len(bins)) > 0.98


def test_micro_batches_of_bins_are_about_equal_and_mix_no_lengths():
    layouts = list(bin_layouts([window(n) for n in (300, *[128] * 20, 40)], max_pieces=1024))
    assert [len(layout.ids) for layout in layouts] == [320, 7 * 128, 7 * 128, 7 * 128]
    assert [len(layout.windows) for layout in layouts] == [1, 7, 7, 7]
    assert [len(layout.ids) for layout in bin_layouts([window(30)], max_pieces=1024)] == [32]
    assert list(bin_layouts([], max_pieces=1024)) == []


def test_the_rows_of_bins_recur():
    """Memory grows with each new size: of all the texts there are, few may remain."""
    found = set()
    for seed in range(60):
        lengths = np.random.default_rng(seed).integers(3, 129, size=250)
        found |= {len(layout.ids) for layout in bin_layouts([window(int(n)) for n in lengths], 2048)}
    assert len(found) < 10


def test_windows_of_similar_length_are_grouped():
    groups = group_windows([10, 10, 9, 8, 6, 6, 2])
    assert [(group.start, group.end, group.n_windows, group.length) for group in groups] == [
        (0, 37, 4, 10),
        (37, 49, 2, 6),
        (49, 51, 1, 2),
    ]
    assert groups[0].places.tolist() == [*range(29), *range(30, 38)]
    assert groups[0].pieces[groups[0].places].tolist() == list(range(37))
    assert groups[0].mask[:, 0, 0].isinf().sum(dim=1).tolist() == [0, 0, 1, 2]
    assert all(group.pieces is None and group.places is None and group.mask is None for group in groups[1:])


def test_groups_stay_small():
    groups = group_windows([2000] + [128] * 20)
    assert [(group.start, group.end, group.n_windows, group.length) for group in groups] == [
        (0, 2000, 1, 2048),
        (2000, 3024, 8, 128),
        (3024, 4048, 8, 128),
        (4048, 4560, 4, 128),
    ]


def test_the_shapes_of_groups_recur():
    """Memory grows with each new shape: of all the lengths and numbers of windows there are, few may remain."""
    lengths = [sorted(np.random.default_rng(i).integers(3, 129, size=40).tolist(), reverse=True) for i in range(50)]
    groups = [group for each in lengths for group in group_windows(each)]
    assert len({group.end - group.start for group in groups}) > 200
    assert len({(group.n_windows, group.length) for group in groups}) < 100
    padding = sum(group.n_windows * group.length for group in groups) / sum(map(sum, lengths))
    assert padding < 1.35


def test_a_group_is_filled_up_with_windows_that_are_none():
    (group,) = group_windows([7, 6, 6, 6, 6])
    assert (group.n_windows, group.length) == (8, 7)
    assert group.pieces.shape == (56,) and group.pieces.max() == 30
    assert group.places.tolist() == [*range(7), *(7 * i + j for i in range(1, 5) for j in range(6))]
    assert group.mask[:, 0, 0].isinf().sum(dim=1).tolist() == [0, 1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "n, steps, expected",
    [(0, 16, 0), (1, 16, 1), (31, 16, 31), (33, 16, 34), (2047, 16, 2048), (2048, 16, 2048), (2049, 16, 2176),
     (9, 4, 10), (100, 4, 112), (5, 2, 6), (9, 2, 12)],
)  # fmt: skip
def test_sizes_are_rounded_up_by_a_share_of_them(n, steps, expected):
    assert round_up(n, steps) == expected
