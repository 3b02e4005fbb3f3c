"""The corpus reader that training configs name: `@readers = "spacy-prokd.Corpus.v1"`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Optional, Union

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..errors import ProKDError
from .docbins import read_docs

GOLD_KEY = "prokd_gold"  # marks Docs whose labels a student may learn from
FEW_SHOT_SHARE = 0.1  # of the examples of an epoch
_USUALLY = {  # what our configs leave open
    "train": "`--paths.train corpus/nl/en/train.spacy`, which `convert` writes, or for a student "
    "`--paths.train training/nl/soft`, which `label` writes",
    "dev": "`--paths.dev corpus/nl/en/dev.spacy`, which `convert` writes",
}


@spacy.registry.readers("spacy-prokd.Corpus.v1")
def create_corpus(
    path: Optional[Union[str, Path]] = None,
    unlabelled: Optional[Union[str, Path]] = None,
    labelled: Optional[Union[str, Path]] = None,
    fill_up_to: int = 0,
    few_shot: Optional[Union[str, Path]] = None,
    min_examples: int = 0,
    limit: int = 0,
    shuffle: int = 0,
) -> Callable[[Language], Iterator[Example]]:
    """Configure `read_corpus`.

    path (Optional[Union[str, Path]]): A .spacy file or a folder of them.
    unlabelled (Optional[Union[str, Path]]): A second one, whose annotation is left out.
    labelled (Optional[Union[str, Path]]): A second one, with its annotation.
    fill_up_to (int): How many Docs there should be: `labelled` gives those that are missing; all of it if 0.
    few_shot (Optional[Union[str, Path]]): A third one, with its annotation: labelled texts of the target, if there
        are any. They are repeated until they are a tenth of the examples.
    min_examples (int): Repeat a smaller corpus until an epoch has so many examples.
    limit (int): Read at most so many Docs of `path` and of `unlabelled`; all if 0.
    shuffle (int): Size of a buffer that examples are drawn from; in the order of the files if 0.
    RETURNS (Callable[[Language], Iterator[Example]]): The corpus.
    """
    return partial(
        read_corpus,
        path=path,
        unlabelled=unlabelled,
        labelled=labelled,
        fill_up_to=fill_up_to,
        few_shot=few_shot,
        min_examples=min_examples,
        limit=limit,
        shuffle=shuffle,
    )


def read_corpus(
    nlp: Language,
    path: str | Path | None,
    unlabelled: str | Path | None = None,
    labelled: str | Path | None = None,
    fill_up_to: int = 0,
    few_shot: str | Path | None = None,
    min_examples: int = 0,
    limit: int = 0,
    shuffle: int = 0,
) -> Iterator[Example]:
    """Read Examples whose predicted Doc has the very words of the reference, because soft labels belong to words.

    The reference is the Doc as it was saved, user data included. Docs of `unlabelled` (target text beside the
    labelled source, for the teacher's alignment) carry words and spaces only; `labelled` is the other way about (source
    text with its labels beside the target's soft ones, for the student, which looks at no other labels but `few_shot`).

    `min_examples` repeats the corpus as a whole: schedules that count epochs (self-training that grows from one
    to the next, prototypes recomputed after each) then suit 600 sentences as well as 14,000.

    `spacy train` holds a corpus in memory and shuffles it, unless `training.max_epochs = -1`: then it reads it anew for
    each epoch, in the order that it is given, and `shuffle` is for this.

    nlp (Language): Whose vocabulary the Docs use.
    path (str | Path | None): A .spacy file or a folder of them, read in the order of their names.
    unlabelled (str | Path | None): A second one, whose annotation is left out.
    labelled (str | Path | None): A second one, with its annotation.
    fill_up_to (int): How many Docs there should be: `labelled` gives those that are missing; all of it if 0.
    few_shot (str | Path | None): A third one, with its annotation: labelled texts of the target, if there
        are any. They are repeated until they are a tenth of the examples.
    min_examples (int): Repeat a smaller corpus until an epoch has at least so many examples.
    limit (int): Read at most so many Docs of `path` and of `unlabelled`; all if 0.
    shuffle (int): Size of a buffer that examples are drawn from, by Python's `random`; in the order of the files if 0.
    YIELDS (Example): The examples.
    RAISES (ProKDError): If a path is None or missing, a file is no DocBin, or there is nothing to read.
    """
    examples = []  # kept only while they may have to be repeated
    once = _read_once(nlp, path, unlabelled, labelled, fill_up_to, limit)
    if few_shot is not None:
        once = _mix_in(once, [_with_gold(doc) for doc in _read_docs(nlp, few_shot)])
    for example in _draw(once, shuffle):
        if len(examples) < min_examples:
            examples.append(example)
        yield example
    n_repeats = math.ceil(min_examples / len(examples)) - 1 if examples else 0
    for _ in range(n_repeats):
        # The same objects: nlp.update and nlp.evaluate work on copies of the predicted Docs.
        yield from examples


def _read_once(
    nlp: Language,
    path: str | Path | None,
    unlabelled: str | Path | None,
    labelled: str | Path | None,
    fill_up_to: int,
    limit: int,
) -> Iterator[Example]:
    n_docs = 0
    for doc in _read_some(nlp, path, limit):
        n_docs += 1
        yield Example(copy_words(doc), doc)
    if labelled is not None:
        missing = max(0, fill_up_to - n_docs) if fill_up_to else None
        yield from map(_with_gold, islice(_read_some(nlp, labelled), missing))
    if unlabelled is not None:
        yield from (Example(copy_words(doc), copy_words(doc)) for doc in _read_some(nlp, unlabelled, limit))


def _with_gold(doc: Doc) -> Example:
    doc.user_data[GOLD_KEY] = True
    return Example(copy_words(doc), doc)


def _mix_in(examples: Iterable[Example], few: list[Example]) -> Iterator[Example]:
    """Put some examples between others, again and again, until they are FEW_SHOT_SHARE; each of them at least once."""
    again = cycle(few)
    n_mixed = 0
    for number, example in enumerate(examples, start=1):
        yield example
        if few and n_mixed < FEW_SHOT_SHARE * (number + n_mixed):
            yield next(again)
            n_mixed += 1
    yield from few[n_mixed:]


def _draw(examples: Iterator[Example], buffer_size: int) -> Iterator[Example]:
    """Take any example of a buffer that the next ones fill up."""
    buffer = list(islice(examples, buffer_size))
    for example in examples:
        if buffer:
            i = random.randrange(buffer_size)
            buffer[i], example = example, buffer[i]
        yield example
    random.shuffle(buffer)
    yield from buffer


def _read_docs(nlp: Language, path: str | Path | None) -> Iterator[Doc]:
    if path is None:
        raise ProKDError(_describe_missing(nlp))
    for file in _find_files(path):
        yield from (doc for doc in read_docs(file, nlp.vocab) if len(doc))


def _read_some(nlp: Language, path: str | Path | None, limit: int = 0) -> Iterator[Doc]:
    is_empty = True
    for doc in islice(_read_docs(nlp, path), limit or None):
        is_empty = False
        yield doc
    if is_empty:
        raise ProKDError(f"{path} has no Docs with words. Write it again with `spacy-prokd convert` or `label`.")


def _describe_missing(nlp: Language) -> str:
    """Which corpus has no path, and what usually stands there: if the one to train on has a path, it is the other."""
    train = nlp.config.interpolate().get("corpora", {}).get("train", {})
    name = "dev" if train.get("path") else "train"
    return f"The corpus has no path. Set paths.{name} in the config, or on the command line: {_USUALLY[name]}."


def _find_files(path: str | Path) -> list[Path]:
    path = Path(path)
    if not path.exists():
        raise ProKDError(f"{path} does not exist. Run `spacy-prokd convert` (or `label`, for soft labels) first.")
    if not path.is_dir():
        return [path]
    # Names with a dot in front are files that are still being written.
    files = sorted(file for file in path.glob("*.spacy") if not file.name.startswith("."))
    if not files:
        raise ProKDError(f"The folder {path} has no .spacy files. Run `spacy-prokd convert` (or `label`) first.")
    return files


def has_gold(doc: Doc) -> bool:
    """Whether a student may look at a Doc's entities: never at those of target text, unless they are given for it."""
    return GOLD_KEY in doc.user_data


def copy_words(doc: Doc) -> Doc:
    """A Doc of the same words and spaces, without any annotation."""
    return Doc(doc.vocab, words=[word.text for word in doc], spaces=[bool(word.whitespace_) for word in doc])
