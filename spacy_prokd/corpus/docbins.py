"""spaCy's own .spacy files, opened with an error that says what to do."""

from __future__ import annotations

import gc
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..errors import ProKDError
from .contents import Contents, Record, Words


def read_docs(path: Path, vocab: Vocab) -> Iterator[Doc]:
    """Read the Docs of one .spacy file one by one. It is msgpack inside: reading it executes nothing.

    path (Path): The file.
    vocab (Vocab): The vocabulary the Docs will use.
    YIELDS (Doc): The Docs with all they were saved with.
    RAISES (ProKDError): If the file is no DocBin.
    """
    with _readable(path):
        docs = _open(path).get_docs(vocab)
    while True:
        with _readable(path):
            doc = next(docs, None)
        if doc is None:
            return
        yield doc


def read_labelled(path: Path, vocab: Vocab) -> list[Doc]:
    """Read the Docs of a .spacy file that have annotation; of others it warns.

    path (Path): The file.
    vocab (Vocab): The vocabulary the Docs will use.
    RAISES (ProKDError): If the file is missing or no DocBin, or no Doc has an entity.
    """
    if not path.is_file():
        raise ProKDError(f"{path} is missing. Run `convert` first, or name another .spacy file.")
    docs = list(read_docs(path, vocab))
    labelled = [doc for doc in docs if doc.has_annotation("ENT_IOB")]
    if not any(doc.ents for doc in labelled):
        raise ProKDError(
            f"{path} has no labels, nothing to score: none of its {len(docs)} documents has an entity. "
            f"Name a file that `convert` wrote from labelled text."
        )
    if len(labelled) < len(docs):
        n_skipped = len(docs) - len(labelled)
        warnings.warn(f"{path}: {n_skipped} of {len(docs)} documents have no labels: not scored.", stacklevel=3)
    return labelled


def count_docs(path: Path) -> int:
    """How many Docs a .spacy file has.

    RAISES (ProKDError): If the file is no DocBin.
    """
    with _readable(path):
        return len(_open(path))


def _open(path: Path) -> DocBin:
    doc_bin = DocBin().from_disk(path)
    if len(set(doc_bin.attrs)) < len(doc_bin.attrs):
        # spaCy checks that heads lie inside the Doc in the first such column only, and follows the last.
        raise ValueError("an attribute occurs twice")
    return doc_bin


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # broken bytes raise whatever the place where they break makes of them
        gc.enable()  # srsly turns it off while it reads and does not come back to it after an error
        first_sentence = re.split(r"\.\s", str(error), maxsplit=1)[0].rstrip(".")
        reason = shorten(first_sentence, 120, placeholder=" …")
        raise ProKDError(
            f"{path} is not a readable .spacy file ({type(error).__name__}: {reason}). "
            f"Other formats are converted first: `spacy-prokd convert` writes .spacy files, in a project to "
            f"corpus/<target>/<lang>/. Name one of these; if it is damaged, convert again."
        ) from None


def read_docbin(path: Path) -> Contents:
    """Read the words, spaces and entities of a .spacy file, and nothing else it may hold.

    path (Path): The file.
    RETURNS (Contents): One `Words` a Doc, tagged in IOB2; the "line" of its words is the number of the Doc.
    RAISES (ProKDError): If the file is no DocBin or has no Docs.
    """
    records: list[Record] = []
    n_partial = 0
    for number, doc in enumerate(read_docs(path, Vocab()), start=1):
        if not len(doc):
            continue
        annotated = doc.has_annotation("ENT_IOB")
        n_partial += annotated and not doc.has_annotation("ENT_IOB", require_complete=True)
        records.append(
            Words(
                words=[token.text for token in doc],
                tags=[_tag(token.ent_iob_, token.ent_type_) for token in doc] if annotated else None,
                lines=[number] * len(doc),
                spaces=None if doc.has_unknown_spaces else [bool(token.whitespace_) for token in doc],
            )
        )
    if not records:
        raise ProKDError(f"{path} has no Docs with words. Put some into it, or delete it if this split is not wanted.")
    warnings = [f"{n_partial} Docs are annotated in part; their other words count as O."] if n_partial else []
    return Contents(records, warnings)


def _tag(iob: str, label: str) -> str:
    return f"{iob}-{label}" if iob in ("B", "I") and label else "O"
