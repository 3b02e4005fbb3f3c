"""A trimmed encoder reads the words it was trimmed for as before, and any other text without failing."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from spacy_prokd.network.encoder import WordEncoder
from spacy_prokd.network.vocabulary import can_trim, choose_pieces, count_pieces, trim_vocabulary

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
PIECES = ["▁Bonn", "▁Bon", "n", "▁Mos", "kau", "▁", "B", "o", "ф", "▁я", "пр", "中", "7", "▁Rom", "▁Oslo", "é", ","]
TEXTS = [["Bonn", ",", "Bonn", "7"], [], ["Moskau"]]


def unigram() -> Tokenizer:
    vocab = [(piece, 0.0) for piece in SPECIAL] + [(piece, -float(i + 1)) for i, piece in enumerate(PIECES)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([*SPECIAL, "<mask>"])  # as in XLM-R, the last id
    return tokenizer


def word_piece() -> Tokenizer:
    names = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "bonn", "bon", "##n", "mos", "##kau", ",", "7", "ф", "b"]
    tokenizer = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 4), ("[CLS]", 3))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    return tokenizer


def make_encoder(tokenizer: Tokenizer, pad_id: int, unk_id: int) -> WordEncoder:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size() + 5,  # as in XLM-R, the table has rows that no piece uses
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        pad_token_id=pad_id,
        initializer_range=0.2,
    )
    transformer = BertModel(config, add_pooling_layer=False)
    settings = {"max_length": 32, "frozen_layers": 1, "precision": "fp32"}
    return WordEncoder(transformer, tokenizer, pad_id=pad_id, unk_id=unk_id, **settings).eval()


@pytest.fixture(params=["unigram", "wordpiece"])
def encoder(request) -> WordEncoder:
    return make_encoder(unigram(), 1, 3) if request.param == "unigram" else make_encoder(word_piece(), 0, 2)


def names(encoder: WordEncoder, ids: list[int]) -> list[str]:
    return [encoder.pieces.tokenizer.id_to_token(i) for i in ids]


@torch.no_grad()
def test_what_it_was_trimmed_for_gets_the_same_vectors(encoder):
    kept = choose_pieces(encoder.pieces.tokenizer, count_pieces(encoder, TEXTS), 0)
    counted = [*count_pieces(encoder, TEXTS), *kept]
    trimmed = trim_vocabulary(encoder, sorted(set(counted))).eval()
    n_kept = len(set(counted))
    assert n_kept < encoder.pieces.tokenizer.get_vocab_size()
    assert trimmed.pieces.tokenizer.get_vocab_size() == n_kept
    assert trimmed.transformer.get_input_embeddings().weight.shape == (n_kept, 16)
    assert torch.equal(trimmed(TEXTS), encoder(TEXTS))
    words = [word for text in TEXTS for word in text]
    before = [names(encoder, ids) for ids in encoder.pieces.of_words(words)]
    assert [names(trimmed, ids) for ids in trimmed.pieces.of_words(words)] == before
    assert names(trimmed, trimmed.pieces.before) == names(encoder, encoder.pieces.before) != []
    assert names(trimmed, trimmed.pieces.after) == names(encoder, encoder.pieces.after) != []


@torch.no_grad()
def test_it_reads_text_that_it_was_not_trimmed_for(encoder):
    trimmed = trim_vocabulary(encoder, choose_pieces(encoder.pieces.tokenizer, count_pieces(encoder, TEXTS), 0))
    texts = [["中文", "яблоко", "\U0001f600", "", "\x00", "Roma", "x" * 999]]
    assert trimmed(texts).isfinite().all()
    assert trimmed.pieces.of_words(["ф"])[0][-1] == trimmed.pieces.unk_id


def test_ids_of_special_pieces_follow(encoder):
    special = {encoder.pad_id, encoder.pieces.unk_id, *encoder.pieces.before, *encoder.pieces.after}
    trimmed = trim_vocabulary(encoder, sorted(special))
    assert names(trimmed, [trimmed.pad_id, trimmed.pieces.unk_id]) == names(
        encoder, [encoder.pad_id, encoder.pieces.unk_id]
    )
    assert trimmed.transformer.config.pad_token_id == trimmed.pad_id
    again = WordEncoder.from_config(trimmed.config)
    again.load_state_dict(trimmed.state_dict())
    assert again.pieces.tokenizer.to_str() == trimmed.pieces.tokenizer.to_str()


def kept_names(counts: dict[str, int], size: int) -> list[str]:
    tokenizer = unigram()
    ids = Counter({tokenizer.token_to_id(piece): count for piece, count in counts.items()})
    kept = [tokenizer.id_to_token(i) for i in choose_pieces(tokenizer, ids, size)]
    assert kept[:4] == SPECIAL and kept[-1] == "<mask>", "in any case"
    return kept[4:-1]


def test_single_characters_of_the_script_are_always_kept():
    assert kept_names({"▁Bonn": 1}, 0) == ["n", "▁", "B", "o", "7", "é", ","]
    assert kept_names({"пр": 1}, 0) == ["▁", "ф", "▁я", "7", ","]


def test_a_script_that_is_hardly_there_is_not_the_languages_own():
    assert "中" not in kept_names({"▁Bonn": 999, "ф": 2}, 0)
    assert "ф" not in kept_names({"▁Bonn": 999, "ф": 2}, 0)
    assert "▁я" in kept_names({"▁Bonn": 900, "ф": 100}, 0)


def test_frequent_pieces_come_first_then_those_of_the_script_in_order():
    few = len(kept_names({"kau": 1, "▁Bonn": 2}, 0)) + 5
    assert kept_names({"kau": 1, "▁Bonn": 2}, few + 1) == ["▁Bonn", "n", "▁", "B", "o", "7", "é", ","]
    assert "kau" in kept_names({"kau": 1, "▁Bonn": 2}, few + 2)
    filled = kept_names({"kau": 1, "▁Bonn": 2}, few + 4)
    assert "▁Bon" in filled and "▁Mos" in filled and "▁Rom" not in filled
    everything = kept_names({"kau": 1}, 999)
    assert "▁Oslo" in everything and "пр" not in everything, "never those of other scripts, unless they are used"


def test_a_list_of_merges_cannot_be_trimmed():
    merges = models.BPE({"a": 0, "b": 1, "ab": 2, "<unk>": 3}, [("a", "b")], unk_token="<unk>")
    assert not can_trim(make_encoder(Tokenizer(merges), 3, 3))
    assert can_trim(make_encoder(unigram(), 1, 3))


def test_a_mask_piece_gets_the_last_id():
    encoder = make_encoder(unigram(), 1, 3)
    kept = choose_pieces(encoder.pieces.tokenizer, Counter({4: 1}), 0)
    description = json.loads(trim_vocabulary(encoder, kept).pieces.tokenizer.to_str())
    assert [token["id"] for token in description["added_tokens"]] == [0, 1, 2, 3, len(kept) - 1]
