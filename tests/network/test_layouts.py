"""How windows lie in a matrix, in bins, and attend each to itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from spacy_prokd.network.layouts import (
    FUSED_BIN,
    PLAIN_BIN,
    Bin,
    Layout,
    fill_bins,
    make_layouts,
    micro_batches,
    round_up,
)
from spacy_prokd.network.pieces import Window

WIDTH, HEADS = 8, 2


def window(length: int, first_word: int = 0) -> Window:
    """Every second piece begins a word."""
    first = np.arange(0, length, 2)
    return Window(list(range(1, length + 1)), first, first_word + np.arange(len(first)))


def sizes(bins: list[Bin]) -> list[list[int]]:
    return [[len(each.ids) for each in one.windows] for one in bins]


def attend_alone(rows: torch.Tensor) -> torch.Tensor:
    """Attention of one window, [length, 3 * width] to [length, width], head by head."""
    query, key, value = rows.view(len(rows), 3, HEADS, -1).permute(1, 2, 0, 3)
    return torch.cat([torch.softmax(q @ k.T, dim=-1) @ v for q, k, v in zip(query, key, value)], dim=1)


def lay_out(windows: list[Window], *, gradient: bool) -> Layout:
    (layout,) = make_layouts(windows, 4096, gradient=gradient)
    return layout


@pytest.mark.parametrize("gradient", [True, False])
def test_each_window_attends_to_itself_alone(gradient):
    layout = lay_out([window(length) for length in (100, 60, 50, 30, 9, 9, 8, 1)], gradient=gradient)
    torch.manual_seed(0)
    rows = torch.randn(len(layout.ids), 3 * WIDTH, requires_grad=gradient)
    found = layout.attend(rows, HEADS)
    assert found.shape == (len(rows), WIDTH)
    seen = 0
    for start in torch.where(layout.positions == 0)[0].tolist():
        length = next((n for n in range(len(rows) - start) if layout.ids[start + n] != n + 1), len(rows) - start)
        if length:  # 0 where no window is
            assert_close(found[start : start + length], attend_alone(rows[start : start + length]))
            seen += 1
    assert seen == 8


def test_the_gradient_of_attention_is_that_of_each_window_alone():
    layout = lay_out([window(length) for length in (70, 40, 20, 12, 3)], gradient=True)
    torch.manual_seed(0)
    rows = torch.randn(len(layout.ids), 3 * WIDTH, dtype=torch.float64, requires_grad=True)
    starts = [i for i in torch.where(layout.positions == 0)[0].tolist() if layout.ids[i] == 1]
    places = [slice(start, start + len(each.ids)) for start, each in zip(starts, layout.windows)]
    weights = torch.randn(len(rows), WIDTH, dtype=torch.float64)
    found = layout.attend(rows, HEADS)
    sum((found[place] * weights[place]).sum() for place in places).backward()
    gradient, rows.grad = rows.grad, None
    sum((attend_alone(rows[place]) * weights[place]).sum() for place in places).backward()
    assert_close(gradient, rows.grad)  # none where no window is


@pytest.mark.parametrize("gradient", [True, False])
def test_each_word_is_read_where_its_first_piece_is(gradient):
    layout = lay_out([window(n, first_word=100 * n) for n in (120, 70, 40, 9)], gradient=gradient)
    ids, positions = layout.ids[layout.read], layout.positions[layout.read]
    first = np.concatenate([each.first for each in layout.windows])
    assert positions.tolist() == first.tolist() and ids.tolist() == (first + 1).tolist()
    words = np.concatenate([each.words for each in layout.windows])
    assert sorted(words) == sorted(100 * n + i for n in (120, 70, 40, 9) for i in range((n + 1) // 2))


def test_bins_are_filled_first_fit_decreasing():
    bins = fill_bins([window(n) for n in (20, 100, 70, 60, 28, 8, 128)], 128)
    assert sizes(bins) == [[128], [100, 28], [70, 20, 8], [60]]
    assert {each.length for each in bins} == {128}
    assert fill_bins([], 128) == []


def test_a_bin_is_as_long_as_its_longest_window_needs():
    bins = fill_bins([window(n) for n in (33, 300, 32, 5, 100, 31, 31)], 32)
    assert sizes(bins) == [[300, 100, 33, 32, 31, 5], [31]]
    assert [each.length for each in bins] == [512, 32]
    bins = fill_bins([window(n) for n in (90, 64, 40, 33, 20)], 32)
    assert sizes(bins) == [[90, 33], [64], [40, 20]]
    assert [each.length for each in bins] == [128, 64, 64]


@pytest.mark.parametrize("shortest", [FUSED_BIN, PLAIN_BIN])
def test_bins_of_many_texts_are_full(shortest):
    lengths = np.random.default_rng(0).integers(3, 100, size=250)
    bins = fill_bins([window(int(n)) for n in lengths], shortest)
    assert lengths.sum() / sum(each.length for each in bins) > 0.98


@given(lengths=st.lists(st.integers(1, 70), max_size=40), most=st.integers(20, 300), gradient=st.booleans())
def test_micro_batches_hold_every_window_once_and_keep_to_their_size(lengths, most, gradient):
    windows = [Window(list(range(n)), np.zeros(1, dtype=int), np.array([i])) for i, n in enumerate(lengths)]
    layouts = list(make_layouts(windows, most, gradient=gradient))
    assert sorted(int(each.words[0]) for layout in layouts for each in layout.windows) == list(range(len(lengths)))
    bins = fill_bins(windows, PLAIN_BIN if gradient else FUSED_BIN)
    batches = list(micro_batches(bins, most))
    assert [each for batch in batches for each in batch] == bins
    assert all(sum(each.length for each in batch) <= most or len(batch) == 1 for batch in batches)


def test_micro_batches_are_about_equal():
    bins = [Bin(length, []) for length in (512, *[128] * 20, 64)]
    assert [len(batch) for batch in micro_batches(bins, 1024)] == [4, 6, 6, 6]
    assert [len(batch) for batch in micro_batches(bins, 1152)] == [6, 8, 8]
    assert [len(batch) for batch in micro_batches(bins[1:18], 1024)] == [6, 6, 5]
    assert list(micro_batches([], 1024)) == []


def test_a_text_by_itself_has_a_bin_no_longer_than_it_needs():
    (layout,) = make_layouts([window(30)], 1024, gradient=False)
    assert len(layout.ids) == 32  # no longer than the text needs
    assert list(make_layouts([], 1024, gradient=False)) == []


@pytest.mark.parametrize(("gradient", "n_texts", "most"), [(False, 250, 10), (True, 32, 20)])
def test_numbers_of_rows_recur(gradient, n_texts, most):
    """Memory grows with each new size: of all the texts there are, few may remain."""
    found = set()
    for seed in range(60):
        lengths = np.random.default_rng(seed).integers(3, 129, size=n_texts)
        layouts = make_layouts([window(int(n)) for n in lengths], 2048, gradient=gradient)
        found |= {len(layout.ids) for layout in layouts}
    assert len(found) < most


@pytest.mark.parametrize(
    "n, steps, expected",
    [(0, 16, 0), (1, 16, 1), (31, 16, 31), (33, 16, 34), (2047, 16, 2048), (2048, 16, 2048), (2049, 16, 2176),
     (9, 4, 10), (100, 4, 112), (5, 2, 6), (9, 2, 12)],
)  # fmt: skip
def test_sizes_are_rounded_up_by_a_share_of_them(n, steps, expected):
    assert round_up(n, steps) == expected
