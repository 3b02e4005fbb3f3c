"""The texts that every side of a benchmark works on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from transformers import PreTrainedTokenizerFast

from spacy_prokd.corpus.docs import DocMaker
from spacy_prokd.corpus.formats import find_split, read_file
from spacy_prokd.corpus.readers import copy_words
from spacy_prokd.corpus.report import SplitReport
from spacy_prokd.errors import ProKDError
from spacy_prokd.soft_labels import set_soft_labels


def read_train_docs(corpus: Path, lang: str, nlp: Language) -> list[Doc]:
    """Read the train split of a language."""
    return read_split(corpus, lang, "train", nlp)


def read_split(corpus: Path, lang: str, split: str, nlp: Language) -> list[Doc]:
    """Read a split of a language, in any format that `spacy-prokd convert` reads or writes.

    RAISES (ProKDError): If there is none.
    """
    folder = corpus / lang
    path = find_split(folder, split) if folder.is_dir() else None
    if path is None:
        raise ProKDError(f"{folder} has no {split} file: name a corpus folder (<lang>/{split}.<ext>) with --corpus.")
    contents = read_file(path)
    maker = DocMaker(nlp, path, contents, label_map={}, drop_annotation=False, report=SplitReport(path.name))
    return [doc for doc in map(maker.make, contents.records) if len(doc)]


def choose(docs: list[Doc], tokenizer: PreTrainedTokenizerFast, max_length: int, n: int, seed: int = 0) -> list[Doc]:
    """Draw n texts that a plain loop reads whole.

    RAISES (ProKDError): If there are not so many.
    """
    drawn = (docs[i] for i in np.random.default_rng(seed).permutation(len(docs)))
    chosen = list(islice(fitting(drawn, tokenizer, max_length), n))
    if len(chosen) < n:
        raise ProKDError(f"The corpus has {len(chosen)} texts that fit, not {n}: use fewer with --sentences.")
    return chosen


def fitting(docs: Iterable[Doc], tokenizer: PreTrainedTokenizerFast, max_length: int) -> Iterator[Doc]:
    """Texts no longer than a window, without a word that has no piece."""
    for doc in docs:
        encoding = tokenizer([token.text for token in doc], is_split_into_words=True)
        found = {word for word in encoding.word_ids() if word is not None}
        if len(encoding["input_ids"]) <= max_length and len(found) == len(doc):
            yield doc


def labelled_examples(docs: list[Doc]) -> list[Example]:
    """Examples for the teacher, as the corpus reader makes them."""
    return [Example(copy_words(doc), doc) for doc in docs]


def soft_examples(docs: list[Doc], n_tags: int, seed: int = 0) -> list[Example]:
    """Examples for the student, with drawn soft labels: their values do not change the time of a step."""
    rng = np.random.default_rng(seed)
    examples = []
    for doc in docs:
        reference = copy_words(doc)
        drawn = np.where(rng.random(len(doc)) < 0.15, rng.integers(0, n_tags, len(doc)), 0)
        set_soft_labels(reference, 0.02 / n_tags + 0.98 * np.eye(n_tags, dtype=np.float32)[drawn])
        examples.append(Example(copy_words(doc), reference))
    return examples
