"""Words to pieces to windows: nothing is lost, nothing counts twice, nothing raises."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import accumulate

import numpy as np
import pytest
import torch
from conftest import read_pre_split
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, processors
from transformers import PreTrainedTokenizerFast

from spacy_prokd.network.pieces import MAX_PIECES_A_WORD, Window, WordPieces, batches, spread

BOS, PAD, EOS, UNK, SPACE = 0, 1, 2, 3, 4


def make_pieces(tokenizer: Tokenizer, max_length: int = 32) -> WordPieces:
    return WordPieces(Tokenizer.from_str(tokenizer.to_str()), UNK, max_length)


@pytest.fixture(scope="module")
def pieces(tiny_tokenizer):
    return make_pieces(tiny_tokenizer)


def spread_all(lengths: list[int], room: int) -> list[tuple[int, int, int, int]]:
    return list(spread([0, *accumulate(lengths)], 0, len(lengths), room))


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=80), room=st.integers(12, 40))
def test_windows_count_every_word_exactly_once_and_keep_to_their_room(lengths, room):
    counted = []
    for start, end, keep_start, keep_end in spread_all(lengths, room):
        assert start <= keep_start <= keep_end <= end
        assert 0 < sum(lengths[start:end]) <= room
        counted.extend(range(keep_start, keep_end))
    assert counted == list(range(len(lengths)))


@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=160))
def test_a_word_in_a_long_text_sees_context_on_both_sides(lengths):
    room = 64
    for start, end, keep_start, keep_end in spread_all(lengths, room):
        left, right = sum(lengths[start:keep_start]), sum(lengths[keep_end:end])
        assert start == 0 or left >= room // 8 - 4
        assert end == len(lengths) or right >= room // 8 - 4


def test_a_long_text_costs_little_more_than_its_pieces():
    windows = spread_all([1] * 10_000, 126)
    assert sum(end - start for start, end, _, _ in windows) < 1.35 * 10_000


def test_what_fits_stays_whole():
    assert spread_all([4, 4, 4], 12) == [(0, 3, 0, 3)]


def test_a_split_by_hand():
    # room 8, ten words of one piece: words 0-7, then from two words before, 6-9; the border of what counts is 7
    assert spread_all([1] * 10, 8) == [(0, 8, 0, 7), (6, 10, 7, 10)]


# nothing of category Cs (surrogates), which a test of its own covers
anything = st.text(max_size=40)


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(st.lists(anything, max_size=30), max_size=4))
def test_any_words_are_counted_exactly_once(pieces, texts):
    words = [word for text in texts for word in text]
    found = {}
    for window in pieces.windows(texts):
        assert len(window.ids) <= 32
        assert (window.ids[0], window.ids[-1]) == (BOS, EOS)
        for word, position in zip(window.words.tolist(), window.first.tolist(), strict=True):
            assert word not in found
            found[word] = window.ids[position]
    assert [found[i] for i in range(len(words))] == [ids[0] for ids in pieces.of_words(words)]


@settings(deadline=None, max_examples=60)
@given(words=st.lists(st.text(min_size=1, max_size=10), min_size=1, max_size=8))
def test_pieces_equal_those_of_pre_split_words(tiny_tokenizer, pieces, words):
    theirs = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tiny_tokenizer.to_str()), pad_token="<pad>", unk_token="<unk>"
    )
    of_word = [[] for _ in words]
    for piece, word in zip(*read_pre_split(theirs, words), strict=True):
        if word is not None:
            of_word[word].append(piece)
    for ours, expected in zip(pieces.of_words(words), of_word, strict=True):
        # a word that leaves no piece behind has none there, and one here, because it needs a vector
        assert ours == expected or (not expected and ours in ([SPACE], [UNK]))


def test_a_space_of_its_own_is_no_words_first_piece(tiny_tokenizer):
    bare = Tokenizer.from_str(tiny_tokenizer.to_str())
    assert bare.encode(" Xn", add_special_tokens=False).tokens == ["▁", "X", "n"]
    pieces = make_pieces(tiny_tokenizer)
    of_word, punctuation, of_space = pieces.of_words(["Xn", ".", " "])
    assert [bare.id_to_token(i) for i in of_word] == ["X", "n"]
    assert [bare.id_to_token(i) for i in punctuation] == ["."]
    assert of_space == [SPACE]  # nothing else is left of it


def test_a_sentence_equals_that_of_pre_split_words(tiny_tokenizer, pieces):
    words = ["Angela", "Merkel", "besuchte", "gestern", "München", "!"]
    theirs = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(tiny_tokenizer.to_str()))
    ids, word_ids = read_pre_split(theirs, words)
    (window,) = make_pieces(tiny_tokenizer, 128).windows([words])
    assert window.ids == ids
    assert window.first.tolist() == [word_ids.index(i) for i in range(len(words))]


def test_windows_number_words_across_texts(pieces):
    windows = pieces.windows([["Merkel"], [], ["und", "Weber"]])
    assert [window.words.tolist() for window in windows] == [[0], [1, 2]]


def test_no_window_has_parts_of_two_texts(pieces):
    first, second = ["Merkel", "in", "Berlin"], ["und", "Weber"]
    together = pieces.windows([first, ["\n"], second])
    assert [window.words.tolist() for window in together] == [[0, 1, 2], [3], [4, 5]]
    assert [window.ids for window in together[::2]] == [window.ids for window in pieces.windows([first, second])]


def test_no_text_and_empty_texts_have_no_windows(pieces):
    assert pieces.windows([]) == []
    assert pieces.windows([[], []]) == []


def test_a_word_of_ten_thousand_characters_does_not_push_its_neighbours_out(tiny_tokenizer):
    pieces = make_pieces(tiny_tokenizer, max_length=64)
    long = pieces.of_words(["x" * 10_000])[0]
    assert len(long) == MAX_PIECES_A_WORD
    (window,) = pieces.windows([["Merkel", "x" * 10_000, "Berlin"]])
    assert window.words.tolist() == [0, 1, 2]
    assert window.ids[window.first[2]] == pieces.of_words(["Berlin"])[0][0]


def test_a_word_never_exceeds_a_small_window(tiny_tokenizer):
    pieces = make_pieces(tiny_tokenizer, max_length=16)
    words = ["y" * 100] * 3
    assert [len(ids) for ids in pieces.of_words(words)] == [14, 14, 14]
    windows = pieces.windows([words])
    assert [len(window.ids) for window in windows] == [16, 16, 16]
    assert [window.words.tolist() for window in windows] == [[0], [1], [2]]


@pytest.mark.parametrize(
    "word",
    [
        *("", " ", "\n", "\t", "\u200b", "\u200d", "\ufeff", "\x00", "\x1b", "\u202e", "😀", "👩\u200d👧", "שלום"),
        *("\ud800", "a\udfff"),  # lone surrogates
    ],
    ids=ascii,
)
def test_any_word_has_a_piece(pieces, word):
    ids = pieces.of_words([word])[0]
    assert 1 <= len(ids) <= MAX_PIECES_A_WORD
    (window,) = pieces.windows([["Merkel", word, "Berlin"]])
    assert window.words.tolist() == [0, 1, 2]


def test_a_word_of_which_nothing_is_left_is_unknown(pieces):
    silent = Tokenizer.from_str(pieces.tokenizer.to_str())
    silent.normalizer = normalizers.Replace(" \x01", "")
    assert WordPieces(silent, UNK, 32).of_words(["\x01", "Merkel"])[0] == [UNK]


def test_what_is_remembered_is_bounded_and_stays_right(tiny_tokenizer, monkeypatch):
    monkeypatch.setattr("spacy_prokd.network.pieces.MAX_REMEMBERED_WORDS", 5)
    pieces = make_pieces(tiny_tokenizer)
    for i in range(30):
        fresh = make_pieces(tiny_tokenizer)
        words = [f"w{i + j}" for j in range(4)] + ["Merkel"]
        assert pieces.of_words(words) == fresh.of_words(words)
        assert len(pieces._remembered) <= 5 + len(words)


def test_what_is_remembered_may_be_forgotten_by_another_thread_meanwhile(tiny_tokenizer, monkeypatch):
    monkeypatch.setattr("spacy_prokd.network.pieces.MAX_REMEMBERED_WORDS", 2)
    pieces = make_pieces(tiny_tokenizer)
    expected = pieces.of_words(["Paris", "Berlin"])

    class Interrupted:
        def encode(self, *args, **options):
            pieces.tokenizer = tokenizer
            for word in ("Munich", "Weber"):  # another thread's; the second finds that there are too many
                pieces.of_words([word])
            return tokenizer.encode(*args, **options)

    tokenizer, pieces.tokenizer = pieces.tokenizer, Interrupted()
    assert pieces.of_words(["Paris", "Merkel", "Berlin"])[::2] == expected


def test_a_tokenizers_own_padding_and_truncation_are_switched_off(tiny_tokenizer):
    tokenizer = Tokenizer.from_str(tiny_tokenizer.to_str())
    tokenizer.enable_padding(pad_id=PAD, pad_token="<pad>")
    tokenizer.enable_truncation(3)
    words = ["Merkel", "fliegt", "nach", "Xanten"]
    assert WordPieces(tokenizer, UNK, 32).of_words(words) == make_pieces(tiny_tokenizer).of_words(words)


def test_a_window_without_room_is_refused(tiny_tokenizer):
    with pytest.raises(ValueError, match="max_length = 5 leaves room for 3"):
        make_pieces(tiny_tokenizer, max_length=5)


def test_special_pieces_are_those_of_the_tokenizer(tiny_tokenizer):
    pieces = make_pieces(tiny_tokenizer, max_length=32)
    assert (pieces.before, pieces.after, pieces.room) == ([BOS], [EOS], 30)
    bare = Tokenizer.from_str(tiny_tokenizer.to_str())
    bare.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    assert WordPieces(bare, UNK, 32).room == 32


def test_masked_words_keep_their_places_and_their_numbers_of_pieces(tiny_tokenizer):
    tokenizer = Tokenizer.from_str(tiny_tokenizer.to_str())
    tokenizer.add_special_tokens(["<mask>"])
    pieces = WordPieces(tokenizer, UNK, 32)
    texts = [["Siemens", "baut", "in", "München", "."] * 40] * 5
    plain = pieces.windows(texts)
    torch.manual_seed(0)
    masked = pieces.windows(texts, masked=0.3)
    words = {number: ids for number, ids in _ids_of_words(plain)}
    hidden = 0
    for number, ids in _ids_of_words(masked):
        assert ids in (words[number], [pieces.mask_id] * len(ids))
        hidden += ids != words[number]
    assert hidden / len(words) == pytest.approx(0.3, abs=0.05)
    torch.manual_seed(0)
    assert [window.ids for window in pieces.windows(texts, masked=0.3)] == [window.ids for window in masked]
    assert [window.ids for window in pieces.windows(texts)] == [window.ids for window in plain]


def _ids_of_words(windows: list[Window]) -> list[tuple[int, list[int]]]:
    """The pieces of each word that another one of its window follows."""
    return [
        (number, window.ids[start:end])
        for window in windows
        for number, start, end in zip(window.words.tolist(), window.first, window.first[1:])
    ]


def test_where_there_is_no_mask_the_unknown_piece_hides_a_word(pieces):
    assert pieces.mask_id == UNK
    (window,) = pieces.windows([["Siemens", "AG"]], masked=1.0)
    assert set(window.ids[1:-1]) == {UNK} and (window.ids[0], window.ids[-1]) == (BOS, EOS)


@given(lengths=st.lists(st.integers(1, 30), max_size=40), most=st.integers(20, 200))
def test_batches_hold_every_window_once_and_keep_to_their_size(lengths, most):
    windows = [Window([0] * n, np.zeros(0), np.array([i])) for i, n in enumerate(lengths)]
    made = list(batches(windows, most))
    assert sorted(int(window.words[0]) for batch in made for window in batch) == list(range(len(lengths)))
    for batch in made:
        pieces = [len(window.ids) for window in batch]
        assert max(pieces) * len(batch) <= most or len(batch) == 1
        assert len(batch[0].ids) == max(pieces)  # the encoder pads to the first
    for batch in made[:-1]:  # none could have been larger
        assert len(batch[0].ids) * (len(batch) + 1) > most
    longest = [len(batch[0].ids) for batch in made]
    assert longest == sorted(longest, reverse=True)


FORK = """
import os, sys
from tokenizers import Tokenizer
from spacy_prokd.network.pieces import WordPieces
pieces = WordPieces(Tokenizer.from_file(sys.argv[1]), unk_id=3, max_length=128)
pieces.of_words(["Angela", "Merkel", "Paris"])
pieces.starts(["Angela Merkel", "Paris"])
if os.fork() == 0:
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork with")
def test_a_fork_says_nothing_of_threads(tiny_tokenizer, tmp_path):
    tiny_tokenizer.save(str(tmp_path / "tokenizer.json"))
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    command = [sys.executable, "-c", FORK, str(tmp_path / "tokenizer.json")]
    assert subprocess.run(command, env=environment, check=True, capture_output=True).stderr == b""
