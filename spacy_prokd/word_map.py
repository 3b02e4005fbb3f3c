"""Words of both languages as points of a plane (t-SNE): do those of a class lie together? Figure 3 of the paper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from spacy.util import minibatch

from .corpus.docbins import read_docs
from .corpus.readers import copy_words
from .errors import ProKDError
from .files import atomic_file
from .network.prototypes import class_sums
from .progress import progress_bar
from .soft_labels import tagger_output
from .training_data import gold_classes

WORDS = 50  # of each class and language, as in the paper
MOST_WORDS = 2000  # of all together, which take five seconds
MOST_DOCS = 500  # of each language, that the words are chosen from: they are read in seconds
_PERPLEXITY = 30  # openTSNE's own, for three times as many points or more


class Words(NamedTuple):
    """Some words: their texts, vectors [n_words, width] and classes (int64 [n_words])."""

    texts: list[str]
    vectors: np.ndarray
    classes: np.ndarray


class WordMap(NamedTuple):
    """What is drawn.

    words (list[Words]): Of each language.
    shared (list[int]): The classes that have words in both.
    prototypes (list[np.ndarray]): Of each language, [n_shared, width]: the mean vectors of these classes.
    """

    words: list[Words]
    shared: list[int]
    prototypes: list[np.ndarray]

    def places(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The points of words and of prototypes, each [n, 2] for each language.

        RAISES (ProKDError): If openTSNE is not installed.
        """
        try:
            from openTSNE import TSNE
        except ImportError:
            raise ProKDError(
                "The map of words is drawn with openTSNE, which is not installed: `pip install openTSNE`."
            ) from None
        vectors = [each for words, means in zip(self.words, self.prototypes) for each in (words.vectors, means)]
        ends = np.cumsum([len(each) for each in vectors])
        perplexity = min(_PERPLEXITY, (ends[-1] - 1) / 3)
        places = TSNE(perplexity=perplexity, metric="cosine", random_state=0, n_jobs=1).fit(np.concatenate(vectors))
        parts = np.split(np.asarray(places), ends[:-1])
        return parts[0::2], parts[1::2]


def read_words(nlp: Language, path: Path, most_docs: int | None = None) -> Words:
    """Read the words of a .spacy file as a pipeline sees them. Where a word has no label, its class is the found one.

    nlp (Language): With a prokd_ner.
    path (Path): The file.
    most_docs (int | None): How many Docs to read; all if None.
    RETURNS (Words): All their words.
    RAISES (ProKDError): If the file has labels that the pipeline does not know.
    """
    docs = list(islice(read_docs(path, nlp.vocab), most_docs))
    plain = [copy_words(doc) for doc in docs]
    vectors, found = [], []
    with progress_bar() as progress:  # on stderr: stdout may be JSON
        for batch in progress.track(list(minibatch(plain, 256)), description=f"Reading words of {path.parent.name}"):
            output = tagger_output(nlp, batch)
            vectors.append(output.vectors.cpu().numpy())
            found.append(output.logits.argmax(dim=-1).cpu().numpy())
    gold = gold_classes([Example(*pair) for pair in zip(plain, docs)], nlp.get_pipe("prokd_ner").labels)
    classes = np.where(gold < 0, np.concatenate(found), gold)
    return Words([word.text for doc in docs for word in doc], np.concatenate(vectors), classes)


def prototypes(h: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """The mean vector of each class (Eq. 3), [n_classes, width]."""
    gold = torch.nn.functional.one_hot(torch.from_numpy(classes), n_classes).float()
    return class_sums(torch.from_numpy(h), gold).means().numpy()


def mutual_neighbours(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Whether both prototypes of a class are nearer to each other than to any other class's of the other language.

    source, target (np.ndarray): [n_classes, width]; nearness is cosine, as in Eq. 6.
    RETURNS (np.ndarray): bool [n_classes].
    """
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (source, target)]
    cosines = unit[0] @ unit[1].T
    own = np.arange(len(cosines))
    return (cosines.argmax(axis=0) == own) & (cosines.argmax(axis=1) == own)


def choose(classes: np.ndarray, n_words: int, random: np.random.Generator) -> np.ndarray:
    """Indices of some words of each class, all of a class that has fewer."""
    of_class = [np.flatnonzero(classes == each) for each in np.unique(classes)]
    return np.concatenate([random.permutation(found)[:n_words] for found in of_class])


def make_map(languages: Sequence[Words], n_classes: int, n_words: int = WORDS) -> WordMap:
    """Choose what is drawn: some words of each class, and the prototypes of all.

    languages (Sequence[Words]): The words of source and target.
    n_classes (int): The tags of the pipeline.
    n_words (int): How many of each class and language.
    RETURNS (WordMap): The same one each time.
    """
    random = np.random.default_rng(0)
    shared = [i for i in range(n_classes) if all((words.classes == i).any() for words in languages)]
    chosen = []
    for words in languages:
        some = choose(words.classes, n_words, random)
        chosen.append(Words([words.texts[i] for i in some], words.vectors[some], words.classes[some]))
    means = [prototypes(words.vectors, words.classes, n_classes)[shared] for words in languages]
    return WordMap(chosen, shared, means)


def write_word_map(pipeline: str | Path, corpus: Path, source_lang: str, target_lang: str, output: Path) -> None:
    """Place words of both languages, and write them for the report. If that cannot be done, the file says why.

    pipeline (str | Path): A saved pipeline's folder, or the name of an installed one.
    corpus (Path): The folder of a converted corpus, with a folder for each language.
    source_lang (str): The language with labels; words of its dev set.
    target_lang (str): The one without; words of its test or dev set, or of its training text.
    output (Path): The JSON file: `files`, the two that were read; `words` and `prototypes`, each with `x` and `y`
        (0 to 1), `language` (0 or 1) and `tag`, and words with `text`; `aligned`, the tags whose prototypes are
        mutual neighbours. Or `left_out`, the reason.
    """
    files = [corpus / source_lang / "dev.spacy"]
    splits = [corpus / target_lang / f"{split}.spacy" for split in ("test", "dev", "train")]
    files += [path for path in splits if path.is_file()][:1]
    try:
        content = {"files": [f"{path.parent.name} {path.stem}" for path in files], **_place(pipeline, files)}
    except ProKDError as error:  # of a picture, which shall not stop a run
        content = {"left_out": str(error)}
    with atomic_file(output) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf8")


def _place(pipeline: str | Path, files: Sequence[Path]) -> dict[str, Any]:
    nlp = spacy.load(pipeline)
    if not nlp.has_pipe("prokd_ner"):
        raise ProKDError(f"{pipeline} has no prokd_ner, whose word vectors the map of words shows.")
    tags = nlp.get_pipe("prokd_ner").tags
    languages = [read_words(nlp, path, MOST_DOCS) for path in files]
    drawn = make_map(languages, len(tags), min(WORDS, MOST_WORDS // (2 * len(tags))))
    if not drawn.shared:
        raise ProKDError(f"No class has words in both {files[0]} and {files[1]}: their prototypes cannot be compared.")
    words, means = drawn.places()
    corner = np.min(np.concatenate(words + means), axis=0)
    size = np.max(np.concatenate(words + means) - corner)

    def scaled(places: np.ndarray) -> list[list[float]]:
        return ((places - corner) / size).round(4).tolist()

    return {
        "words": [
            {"language": language, "tag": tags[i], "x": x, "y": y, "text": text}
            for language, (of_one, places) in enumerate(zip(drawn.words, words))
            for i, (x, y), text in zip(of_one.classes, scaled(places), of_one.texts)
        ],
        "prototypes": [
            {"language": language, "tag": tags[i], "x": x, "y": y}
            for language, places in enumerate(means)
            for i, (x, y) in zip(drawn.shared, scaled(places))
        ],
        "aligned": [tags[i] for i, yes in zip(drawn.shared, mutual_neighbours(*drawn.prototypes)) if yes],
    }
