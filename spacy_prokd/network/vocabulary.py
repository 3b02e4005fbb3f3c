"""A smaller vocabulary: of an encoder for a hundred languages, one language uses a small part of the pieces.

What is kept splits all words that were looked at as before. Other words fall into shorter pieces, and
characters of other scripts into the unknown piece.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import Tokenizer, models

from ..scripts import script_of
from .encoder import WordEncoder

_MARKS = ("▁", "##")  # of a piece that begins a word, of one that continues it
_MAIN_SCRIPT = 0.01  # share of the letters above which a script is the language's own


def can_trim(encoder: WordEncoder) -> bool:
    """Whether pieces can be taken out of the tokenizer: not where they are made by a list of merges (BPE)."""
    return isinstance(encoder.pieces.tokenizer.model, models.Unigram | models.WordPiece)


def count_pieces(encoder: WordEncoder, texts: Iterable[Sequence[str]]) -> Counter[int]:
    """Count the pieces of some texts.

    texts (Iterable[Sequence[str]]): The words of each text.
    RETURNS (Counter[int]): How often each piece id occurs.
    """
    counts: Counter[int] = Counter()
    for words in texts:
        for ids in encoder.pieces.of_words(words):
            counts.update(ids)
    return counts


def choose_pieces(tokenizer: Tokenizer, counts: Counter[int], size: int) -> list[int]:
    """Choose the pieces to keep: special ones, each single character of the texts' scripts, those that the texts
    use, the most frequent first, and then others of these scripts in the vocabulary's order, which is by frequency.

    tokenizer (Tokenizer): With all pieces.
    counts (Counter[int]): Of the pieces in the texts, see `count_pieces`.
    size (int): How many to keep, if there are as many; special ones and single characters are kept in any case.
    RETURNS (list[int]): Ids, ascending.
    """
    pieces = {i: piece for piece, i in tokenizer.get_vocab(with_added_tokens=False).items()}
    letters: Counter[str] = Counter()
    for i, count in counts.items():
        for script in _scripts(pieces.get(i, "")):
            letters[script] += count
    scripts = {script for script, count in letters.items() if count >= _MAIN_SCRIPT * letters.total()}
    own = [i for i, piece in sorted(pieces.items()) if scripts.issuperset(_scripts(piece))]
    kept = set(tokenizer.get_added_tokens_decoder())
    kept.update(i for i in own if len(_bare(pieces[i])) <= 1)
    for i in [*(i for i, _count in counts.most_common()), *own]:
        if len(kept) >= size:
            break
        kept.add(i)
    return sorted(kept)


def trim_vocabulary(encoder: WordEncoder, kept: Sequence[int]) -> WordEncoder:
    """Make an encoder that has some of another's pieces and all of its other weights.

    encoder (WordEncoder): One that `can_trim`; it stays as it is.
    kept (Sequence[int]): Piece ids; special pieces stay in any case.
    RETURNS (WordEncoder): With ids from 0 on, in the same order.
    """
    special = (*encoder.pieces.tokenizer.get_added_tokens_decoder(), encoder.pad_id, encoder.pieces.unk_id)
    new_ids = {old: new for new, old in enumerate(sorted({*kept, *special}))}
    config = encoder.config
    transformer = config["transformer"]
    for name, value in transformer.items():
        if name.endswith("_token_id") and isinstance(value, int):
            transformer[name] = new_ids.get(value)
    transformer["vocab_size"] = len(new_ids)
    trimmed = WordEncoder.from_config(
        {
            **config,
            "tokenizer": json.dumps(_trim_tokenizer(json.loads(config["tokenizer"]), new_ids), ensure_ascii=False),
            "pad_id": new_ids[encoder.pad_id],
            "unk_id": new_ids[encoder.pieces.unk_id],
        }
    )
    table = encoder.transformer.get_input_embeddings().weight
    weights = {
        name: value[list(new_ids)] if value.data_ptr() == table.data_ptr() else value
        for name, value in encoder.state_dict().items()
    }
    trimmed.load_state_dict(weights)
    return trimmed


def _trim_tokenizer(description: dict[str, Any], new_ids: dict[int, int]) -> dict[str, Any]:
    """A tokenizer.json with fewer pieces, and its special ones under their new ids."""
    model = description["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [model["vocab"][old] for old in new_ids if old < len(model["vocab"])]
        model["unk_id"] = new_ids[model["unk_id"]]
    else:
        model["vocab"] = {piece: new_ids[old] for piece, old in model["vocab"].items() if old in new_ids}
    for token in description["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    _renumber(description["post_processor"], new_ids)
    return description


def _renumber(processor: dict[str, Any] | None, new_ids: dict[int, int]) -> None:
    """Put new ids into a post-processor, which adds the special pieces."""
    if processor is None:
        return
    for inner in processor.get("processors", []):
        _renumber(inner, new_ids)
    for name in ("sep", "cls"):
        if name in processor:
            processor[name][1] = new_ids[processor[name][1]]
    if isinstance(processor.get("special_tokens"), dict):
        for token in processor["special_tokens"].values():
            token["ids"] = [new_ids[old] for old in token["ids"]]


def _bare(piece: str) -> str:
    for mark in _MARKS:
        piece = piece.removeprefix(mark)
    return piece


def _scripts(piece: str) -> set[str]:
    """The scripts of a piece's letters."""
    return {script_of(char) for char in _bare(piece) if char.isalpha()}
