"""Figure 3 of the paper: do words of a class lie together in both languages?

A picture (t-SNE) of as many words of each class and language, with the prototypes, and numbers that need no eye. The
gold labels of both dev sets say which class a word is of, for the picture alone.

    python benchmarks/representations.py training/de/teacher/model-last corpus/de teacher.svg
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
import spacy
import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from openTSNE import TSNE
from plots import STYLE
from pseudo_labels import read
from sklearn.metrics import silhouette_score
from spacy.training import Example

from spacy_prokd.corpus.docbins import read_docs
from spacy_prokd.corpus.readers import copy_words
from spacy_prokd.network.prototypes import class_sums
from spacy_prokd.training_data import gold_classes

MARKERS = ("o", "^")  # of source and target, as in the paper
WORD_SIZE, PROTOTYPE_SIZE = 12, 160


def read_words(nlp: spacy.Language, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [n_words, width] and gold classes [n_words] of a labelled .spacy file."""
    docs = list(read_docs(path, nlp.vocab))
    classes = gold_classes([Example(copy_words(doc), doc) for doc in docs], nlp.get_pipe("prokd_ner").labels)
    vectors = [h.numpy() for h, _p in read(nlp, docs, path.parent.name)]
    return np.concatenate(vectors), classes


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


def choose(classes: np.ndarray, words: int, random: np.random.Generator) -> np.ndarray:
    """Indices of some words of each class, all of a class that has fewer."""
    of_class = [np.flatnonzero(classes == each) for each in np.unique(classes)]
    return np.concatenate([random.permutation(found)[:words] for found in of_class])


def draw(axes: Axes, places: np.ndarray, classes: np.ndarray, languages: np.ndarray, sizes: np.ndarray) -> None:
    """Circles of the source and triangles of the target, a colour a class."""
    colours = matplotlib.colormaps["tab10"]
    for language, marker in enumerate(MARKERS):
        for size in np.unique(sizes):
            for each in np.unique(classes):
                mine = (languages == language) & (sizes == size) & (classes == each)
                edge = "black" if size > WORD_SIZE else "none"
                # one by one: matplotlib then draws its mark once in the file and refers to it
                axes.scatter(*places[mine].T, color=colours(each % 10), s=size, marker=marker, edgecolors=edge)
    axes.set_xticks([])
    axes.set_yticks([])


def main(
    pipeline: Annotated[Path, typer.Argument(help="Trained teacher or student")],
    corpus: Annotated[Path, typer.Argument(help="Converted corpus: <lang>/dev.spacy, both with labels")],
    picture: Annotated[Path, typer.Argument(help="SVG file to write")],
    source_lang: str = "en",
    target_lang: str = "de",
    words: Annotated[int, typer.Option(min=2, help="Words of each class and language")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object")] = False,
) -> None:
    """Draw words of both languages, and say how well their classes agree."""
    nlp = spacy.load(pipeline)
    tags = nlp.get_pipe("prokd_ner").tags
    random = np.random.default_rng(0)
    read_both = [read_words(nlp, corpus / lang / "dev.spacy") for lang in (source_lang, target_lang)]
    in_both = [i for i in range(len(tags)) if all((classes == i).any() for _h, classes in read_both)]
    centres = [prototypes(h, classes, len(tags))[in_both] for h, classes in read_both]
    chosen = [choose(classes, words, random) for _h, classes in read_both]
    shown = [np.concatenate([h[some], own]) for (h, _classes), some, own in zip(read_both, chosen, centres)]
    labels = [np.concatenate([classes[some], in_both]) for (_h, classes), some in zip(read_both, chosen)]
    sizes = np.concatenate([[WORD_SIZE] * len(some) + [PROTOTYPE_SIZE] * len(in_both) for some in chosen])
    languages = np.repeat([0, 1], list(map(len, labels)))
    aligned = mutual_neighbours(*centres)
    is_word = sizes == WORD_SIZE
    result = {
        "aligned_classes": [tags[i] for i, yes in zip(in_both, aligned) if yes],
        "share_aligned": round(float(aligned.mean()), 3),
        "silhouette": round(
            float(silhouette_score(np.concatenate(shown)[is_word], np.concatenate(labels)[is_word], metric="cosine")), 3
        ),
    }
    places = TSNE(metric="cosine", random_state=0, n_jobs=1).fit(np.concatenate(shown))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6, 6), layout="constrained")
        axes = figure.subplots()
        draw(axes, np.asarray(places), np.concatenate(labels), languages, sizes)
        for tag, (x, y) in zip((tags[i] for i in in_both), np.asarray(places)[languages == 1][-len(in_both) :]):
            axes.annotate(tag, (x, y), xytext=(7, 5), textcoords="offset points")
        axes.set_title(f"{source_lang} (circles) and {target_lang} (triangles), prototypes large", fontsize=9)
        figure.savefig(picture, format="svg", metadata={"Date": None})
    print(json.dumps(result) if as_json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    typer.run(main)
