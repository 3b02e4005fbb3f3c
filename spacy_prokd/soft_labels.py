"""The label step: the teacher's probabilities for target text, computed once and stored with each Doc."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import minibatch

from . import __version__
from .architectures import TaggerOutput, probabilities, split_by_doc
from .corpus.docbins import count_docs, read_docs
from .corpus.readers import copy_words
from .decoding import ScoredSpan, decode, given_path, given_spans, mark_words
from .errors import ProKDError
from .files import atomic_file
from .habits import whole_entities
from .loading import load_pipeline
from .openers import Opener, begin_behind, count_opening, find_openers
from .progress import progress_bar
from .shims import WEIGHTS

SOFT_KEY = "prokd_soft"
VECTORS_KEY = "prokd_vectors"
SETTINGS_FILE = ".settings.json"  # marks the folders whose .spacy files are ours, to replace
SHARD_SIZE = 2000  # docs: half a minute's work is the most that an interruption loses


class LabelledCorpus(NamedTuple):
    """What was labelled.

    texts (int): How many.
    openers (dict[str, int]): Words that were taken for no part of a name, and how many texts they open, see `openers`.
    """

    texts: int
    openers: dict[str, int]


def set_soft_labels(doc: Doc, p: np.ndarray) -> None:
    """Store probabilities [n_words, n_tags] with a Doc, as raw little-endian float16."""
    _store(doc, SOFT_KEY, p)


def get_soft_labels(doc: Doc, n_tags: int) -> np.ndarray:
    """The probabilities stored with a Doc.

    RETURNS (np.ndarray): float32 [n_words, n_tags].
    RAISES (ProKDError): If there are none, or for another number of tags.
    """
    raw = doc.user_data.get(SOFT_KEY)
    if raw is None:
        raise ProKDError(
            "The student trains on soft labels, but a text has none: run `spacy-prokd label` on the corpus first."
        )
    if len(raw) != 2 * len(doc) * n_tags:
        raise ProKDError(
            f"A text of {len(doc)} words has {len(raw)} bytes of soft labels, not the {2 * len(doc) * n_tags} of "
            f"{n_tags} tags: the corpus was labelled by a teacher with other labels. Label it again."
        )
    return _restore(raw, n_tags)


def check_words(examples: Iterable[Example]) -> None:
    """See that texts are read as the very words that their soft labels belong to.

    RAISES (ProKDError): If one is not.
    """
    for example in examples:
        if len(example.predicted) != len(example.reference):
            raise ProKDError(
                f"A text of {len(example.reference)} words with soft labels was read as {len(example.predicted)} words "
                f'("{example.reference.text[:40]}"): soft labels belong to words. Read the corpus with '
                '@readers = "spacy-prokd.Corpus.v1", which keeps them.'
            )


def set_vectors(doc: Doc, h: np.ndarray) -> None:
    """Store the teacher's word vectors [n_words, width] with a Doc, as raw little-endian float16."""
    _store(doc, VECTORS_KEY, h)


def get_vectors(doc: Doc, width: int) -> np.ndarray:
    """The teacher's word vectors stored with a Doc.

    RETURNS (np.ndarray): float32 [n_words, width].
    RAISES (ProKDError): If there are none, or of another width.
    """
    raw = doc.user_data.get(VECTORS_KEY)
    if raw is None or len(raw) != 2 * len(doc) * width:
        found = "none" if raw is None else f"{len(raw)} bytes of them, not {2 * len(doc) * width}"
        raise ProKDError(
            f"The student matches its teacher's word vectors (objective.vector_weight), but a text of {len(doc)} words "
            f"has {found}: label the corpus again with `spacy-prokd label --vectors`, by a teacher of the same encoder."
        )
    return _restore(raw, width)


def _store(doc: Doc, key: str, rows: np.ndarray) -> None:
    doc.user_data[key] = rows.astype("<f2").tobytes()


def _restore(raw: bytes, row_length: int) -> np.ndarray:
    return np.frombuffer(raw, dtype="<f2").reshape(-1, row_length).astype(np.float32)


def label_corpus(
    teachers: Sequence[Path],
    corpus: Path,
    output: Path,
    *,
    batch_size: int = 256,
    vectors: bool = False,
    openers: bool = True,
) -> LabelledCorpus:
    """Label a corpus with the average of some teachers' probabilities.

    The output is a folder of shards; a stopped run goes on with the next shard. `labels.json`, which
    `spacy.read_labels.v1` reads, is written last: without it the folder is not complete.

    teachers (Sequence[Path]): Saved pipelines with a prokd_ner, all with the same labels.
    corpus (Path): A .spacy file of target text.
    output (Path): The folder to fill.
    batch_size (int): Docs a batch.
    vectors (bool): Store the word vectors of the first teacher too, for `objective.vector_weight`.
    openers (bool): Leave words out of names that only open texts, see `openers`.
    RETURNS (LabelledCorpus): What was labelled.
    RAISES (ProKDError): If the teachers' labels differ, or a path is not what it should be.
    """
    if not corpus.is_file():
        raise ProKDError(f"{corpus} is no file: give the target's train.spacy, which `spacy-prokd convert` makes.")
    if not (output / SETTINGS_FILE).is_file() and any(output.glob("*.spacy")):
        raise ProKDError(f"{output} has .spacy files that `label` did not write. Name a new folder for the output.")
    pipelines = [_load(path) for path in teachers]
    labels = _common_labels(teachers, pipelines)
    n_docs = count_docs(corpus)
    output.mkdir(parents=True, exist_ok=True)
    settings: dict[str, object] = {
        "teachers": [_fingerprint(path) for path in teachers],
        "corpus": _fingerprint(corpus),
        "vectors": vectors,
        "openers": openers,
        "version": __version__,  # another one may label otherwise
    }
    _forget_if_changed(output, settings)
    found: dict[Opener, int] = {}
    if openers:
        texts = partial(read_docs, corpus, pipelines[0].vocab)
        found = find_openers(texts, partial(_tag, pipelines, labels, batch_size))
    with progress_bar() as progress:
        task = progress.add_task("Labelling texts", total=n_docs)
        for i, shard in enumerate(minibatch(read_docs(corpus, pipelines[0].vocab), SHARD_SIZE)):
            path = output / f"{i:05d}.spacy"
            if not path.exists():
                _label_shard(pipelines, shard, path, found, batch_size, vectors)
            progress.advance(task, len(shard))
    with atomic_file(output / "labels.json") as temporary:
        temporary.write_text(json.dumps(labels), encoding="utf8")
    return LabelledCorpus(n_docs, {" ".join(opener): n_texts for opener, n_texts in found.items()})


def tagger_output(nlp: Language, docs: Sequence[Doc]) -> TaggerOutput:
    """What the prokd_ner of a pipeline says of each word of docs that are tokenised already."""
    pipe = nlp.get_pipe("prokd_ner")
    return pipe.read(annotate_before(nlp, pipe, docs))


def annotate_before(nlp: Language, pipe: Pipe, docs: Sequence[Doc]) -> Sequence[Doc]:
    """The same docs as the pipes before one leave them; listeners need that."""
    for _name, each in nlp.pipeline:
        if each is pipe:
            break
        docs = list(each.pipe(docs))
    return docs


def _load(path: Path) -> Language:
    if not (path / "prokd_ner").is_dir():
        raise ProKDError(f"{path} is no trained pipeline with a prokd_ner: train the teacher first.")
    return load_pipeline(path)


def _common_labels(teachers: Sequence[Path], pipelines: Sequence[Language]) -> list[str]:
    labels = [list(nlp.get_pipe("prokd_ner").labels) for nlp in pipelines]
    for path, others in zip(teachers, labels):
        if others != labels[0]:
            raise ProKDError(
                f"The teachers' labels differ: {teachers[0]} has {', '.join(labels[0])}; {path} has "
                f"{', '.join(others)}. "
                "Train them on the same labels (see the label map of `spacy-prokd convert`)."
            )
    return labels[0]


def _tag(
    pipelines: Sequence[Language], labels: Sequence[str], batch_size: int, docs: Sequence[Doc]
) -> Iterator[list[ScoredSpan]]:
    """The entities that the teachers' mean finds in each doc."""
    for batch in minibatch(docs, batch_size):
        yield from decode(list(_average([tagger_output(nlp, batch) for nlp in pipelines])), labels)


def _label_shard(
    pipelines: Sequence[Language],
    docs: Sequence[Doc],
    path: Path,
    openers: Collection[Opener],
    batch_size: int,
    vectors: bool,
) -> None:
    pipe = pipelines[0].get_pipe("prokd_ner")
    touching, joining = pipe.cfg["touching"], frozenset(pipe.cfg["joining"])
    shard = DocBin(attrs=["ORTH", "SPACY"], store_user_data=True)  # no entity annotation is carried over
    for batch in minibatch(docs, batch_size):
        outputs = [tagger_output(nlp, batch) for nlp in pipelines]
        plain = [copy_words(doc) for doc in batch]
        averages = [
            begin_behind(p, n_words) if (n_words := count_opening(doc, openers)) else p
            for doc, p in zip(plain, _average(outputs))
        ]
        offsets = np.cumsum([0, *map(len, averages)])
        entities = decode(averages, pipe.labels, touching=touching)
        marks = np.concatenate([mark_words(spans, len(doc)) for doc, spans in zip(plain, entities)])
        known = given_path(np.concatenate(averages), marks, offsets, touching)
        for doc, p, spans in zip(plain, np.split(known, offsets[1:-1]), entities):
            words = [word.text for word in doc] if spans else []
            set_soft_labels(doc, given_spans(p, whole_entities(spans, words, joining), spans, pipe.labels))
        if vectors:
            for doc, h in zip(plain, split_by_doc(outputs[0].vectors, outputs[0].lengths)):
                set_vectors(doc, h)
        for doc in plain:
            shard.add(doc)
    with atomic_file(path) as temporary:
        shard.to_disk(temporary)


def _average(outputs: Sequence[TaggerOutput]) -> Iterator[np.ndarray]:
    for of_one_doc in zip(*map(probabilities, outputs)):
        yield np.mean(of_one_doc, axis=0)


def _fingerprint(path: Path) -> list[object]:
    """Tells whether a teacher or corpus is the one that earlier shards were made with."""
    files = [path / "prokd_ner" / name for name in ("model", WEIGHTS)] if path.is_dir() else [path]
    return [str(path), *([stat.st_size, stat.st_mtime_ns] for stat in map(Path.stat, files))]


def _forget_if_changed(output: Path, settings: dict[str, object]) -> None:
    """Delete the shards of another teacher, corpus or version."""
    record = output / SETTINGS_FILE
    if not record.exists() or record.read_text(encoding="utf8") != json.dumps(settings):
        for old in [*output.glob("*.spacy"), output / "labels.json"]:
            old.unlink(missing_ok=True)
        with atomic_file(record) as temporary:
            temporary.write_text(json.dumps(settings), encoding="utf8")
    else:
        (output / "labels.json").unlink(missing_ok=True)
