"""A saved pipeline made small: the pieces that its language uses, and matrices in fewer bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spacy.language import Language
from spacy.util import minibatch
from spacy.vocab import Vocab

from .architectures import encoder_nodes
from .corpus.docbins import read_docs
from .errors import ProKDError
from .network.pieces import WordPieces
from .network.vocabulary import can_trim, choose_pieces, count_pieces, trim_vocabulary
from .pipeline import ProKDNer
from .shims import save_weights, weights_apart
from .units import to_units

_TEXTS_AT_A_TIME = 1000


def shrink(nlp: Language, saved: Path, texts: Path, vocabulary_size: int) -> dict[str, int]:
    """Take out of a pipeline the pieces that its language does not use, and store its matrices in fewer bytes.

    nlp (Language): The pipeline, which is changed.
    saved (Path): The folder it was loaded from, or a copy, which is changed too.
    texts (Path): Text of its language, a .spacy file; labels in it are not looked at.
    vocabulary_size (int): How many pieces to keep, see `choose_pieces`.
    RETURNS (dict[str, int]): How many pieces there were (`all`) and how many are `kept`; empty where no encoder of
        ours is in the pipeline, or one whose tokenizer cannot be trimmed.
    RAISES (ProKDError): If the texts are missing or not readable.
    """
    if not texts.is_file():
        raise ProKDError(
            f"{texts} is not there, whose words say which pieces the package needs. "
            "Convert the corpus again, or keep all pieces with --vocabulary-size 0."
        )
    sizes: dict[str, int] = {}
    for name, pipe in nlp.pipeline:
        if not isinstance(pipe, ProKDNer):
            continue
        for node in encoder_nodes(pipe.model):
            encoder = node.shims[0].module
            if can_trim(encoder):
                words = _read_words(texts, nlp.vocab, encoder.pieces)
                kept = choose_pieces(encoder.pieces.tokenizer, count_pieces(encoder, words), vocabulary_size)
                node.shims[0].module = trim_vocabulary(encoder, kept)
                sizes = {"all": encoder.pieces.tokenizer.get_vocab_size(), "kept": len(kept)}
        with weights_apart():
            pipe.model.to_disk(saved / name / "model")
        save_weights(pipe.model, saved / name, small=True)
    return sizes


def _read_words(texts: Path, vocab: Vocab, pieces: WordPieces) -> Iterator[list[str]]:
    """The words of each text as the encoder reads them, some texts at a time."""
    for docs in minibatch(read_docs(texts, vocab), _TEXTS_AT_A_TIME):
        for doc in to_units(docs, pieces).docs:
            yield [word.text for word in doc]
