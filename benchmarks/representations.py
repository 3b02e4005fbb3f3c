"""Figure 3 of the paper: do words of a class lie together in both languages?

A picture (t-SNE) of as many words of each class and language, with the prototypes, and numbers that need no eye. The
gold labels of both dev sets say which class a word is of, for the picture alone.

    python benchmarks/representations.py training/de/teacher/model-last corpus/de teacher.svg
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
import spacy
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plots import STYLE
from sklearn.metrics import silhouette_score

from spacy_prokd.word_map import WORDS, WordMap, make_map, mutual_neighbours, read_words

MARKERS = ("o", "^")  # of source and target, as in the paper
WORD_SIZE, PROTOTYPE_SIZE = 12, 160


def draw(axes: Axes, drawn: WordMap, tags: Sequence[str]) -> None:
    """Circles of the source and triangles of the target, a colour a class; the target's prototypes are named."""
    colours = matplotlib.colormaps["tab10"]
    places, prototypes = drawn.places()
    for marker, words, at, means in zip(MARKERS, drawn.words, places, prototypes):
        for each in np.unique(words.classes):
            mine = at[words.classes == each]
            # one by one: matplotlib then draws its mark once in the file and refers to it
            axes.scatter(*mine.T, color=colours(each % 10), s=WORD_SIZE, marker=marker, edgecolors="none")
        for each, place in zip(drawn.shared, means):
            axes.scatter(*place, color=colours(each % 10), s=PROTOTYPE_SIZE, marker=marker, edgecolors="black")
    for each, place in zip(drawn.shared, prototypes[-1]):
        axes.annotate(tags[each], place, xytext=(7, 5), textcoords="offset points")
    axes.set_xticks([])
    axes.set_yticks([])


def main(
    pipeline: Annotated[Path, typer.Argument(help="Trained teacher or student")],
    corpus: Annotated[Path, typer.Argument(help="Converted corpus: <lang>/dev.spacy, both with labels")],
    picture: Annotated[Path, typer.Argument(help="SVG file to write")],
    source_lang: str = "en",
    target_lang: str = "de",
    words: Annotated[int, typer.Option(min=2, help="Words of each class and language")] = WORDS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object")] = False,
) -> None:
    """Draw words of both languages, and say how well their classes agree."""
    nlp = spacy.load(pipeline)
    tags = nlp.get_pipe("prokd_ner").tags
    languages = (source_lang, target_lang)
    drawn = make_map([read_words(nlp, corpus / lang / "dev.spacy") for lang in languages], len(tags), words)
    aligned = mutual_neighbours(*drawn.prototypes)
    vectors, classes = (np.concatenate(parts) for parts in zip(*((each.vectors, each.classes) for each in drawn.words)))
    result = {
        "aligned_classes": [tags[i] for i, yes in zip(drawn.shared, aligned) if yes],
        "share_aligned": round(float(aligned.mean()), 3),
        "silhouette": round(float(silhouette_score(vectors, classes, metric="cosine")), 3),
    }
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6, 6), layout="constrained")
        axes = figure.subplots()
        draw(axes, drawn, tags)
        axes.set_title(f"{source_lang} (circles) and {target_lang} (triangles), prototypes large", fontsize=9)
        figure.savefig(picture, format="svg", metadata={"Date": None})
    print(json.dumps(result) if as_json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    typer.run(main)
