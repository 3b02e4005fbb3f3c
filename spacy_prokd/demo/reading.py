"""What the page shows of a text, without Streamlit: entities, those of two pipelines compared, nearest prototypes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from spacy import displacy
from spacy.displacy.render import DEFAULT_ENTITY_COLOR
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..colours import HUES, TINT, number_hues
from ..corpus.docbins import read_docs
from ..loading import entity_labels, load_pipeline
from ..network.prototypes import distances
from ..prototype_tags import find_prototypes
from ..sample_text import sample_sentences

DIFFERENT = "≠"
LONGEST_EXAMPLE, MOST_TRIED = 300, 100  # characters; texts of a corpus

Place = tuple[int, int, str]  # start and end in characters, label


class Entity(NamedTuple):
    """An entity; `score` is None where its component gives none."""

    place: Place
    text: str
    score: float | None

    @property
    def label(self) -> str:
        """Its label."""
        return self.place[2]


class Word(NamedTuple):
    """A word, its tag among the entities, the class of the prototype nearest to it and its distance."""

    text: str
    tag: str
    prototype: str
    distance: float


class Reading(NamedTuple):
    """What a pipeline says of a text; `words` is None where it has no prototypes."""

    text: str
    entities: tuple[Entity, ...]
    words: tuple[Word, ...] | None


@lru_cache
def load(name: str) -> Language:
    """Load a pipeline once, see `load_pipeline`."""
    return load_pipeline(name)


@lru_cache(maxsize=100)
def read(name: str, text: str) -> Reading:
    """Let a pipeline read a text, once.

    name (str): That `load` knows.
    """
    nlp = load(name)
    doc = nlp(text)
    entities = (Entity((ent.start_char, ent.end_char, ent.label_), ent.text, ent._.score) for ent in doc.ents)
    return Reading(text, tuple(entities), _find_nearest(nlp, doc))


def _find_nearest(nlp: Language, doc: Doc) -> tuple[Word, ...] | None:
    found = find_prototypes(nlp)
    if found is None:
        return None
    pipe, bank = found
    far = distances(pipe.read([doc]).vectors, bank, pipe.objective.distance)
    nearest = far.masked_fill(~bank.present(), torch.inf).min(dim=-1)
    return tuple(
        Word(word.text, f"{word.ent_iob_}-{word.ent_type_}" if word.ent_type_ else "O", pipe.tags[tag], distance)
        for word, tag, distance in zip(doc, nearest.indices.tolist(), nearest.values.tolist())
        if not word.is_space
    )


def keep(entities: Iterable[Entity], threshold: float) -> list[Entity]:
    """The entities with at least this score, and those without any, which no threshold judges."""
    return [entity for entity in entities if entity.score is None or entity.score >= threshold]


def find_differences(found: Mapping[str, Iterable[Entity]]) -> set[Place]:
    """Where one pipeline finds an entity and another does not.

    found (Mapping[str, Iterable[Entity]]): The entities of each pipeline.
    """
    places = [{entity.place for entity in entities} for entities in found.values()]
    return set().union(*places) - set.intersection(*places)


def highlight(text: str, entities: Iterable[Entity], colours: Mapping[str, str], differences: set[Place]) -> str:
    """Mark entities in their text, with a sign after the label of those that only one pipeline finds.

    entities (Iterable[Entity]): In order, none within another.
    colours (Mapping[str, str]): Of labels, see `choose_colours`.
    RETURNS (str): HTML; text and labels are escaped.
    """
    marks = [
        {
            "start": entity.place[0],
            "end": entity.place[1],
            "label": escape(entity.label) + (f" {DIFFERENT}" if entity.place in differences else ""),
            "params": {"bg": colours.get(entity.label, DEFAULT_ENTITY_COLOR)},
        }
        for entity in entities
    ]
    page = {"text": text, "ents": marks, "settings": {"direction": _direction(text)}}
    return displacy.render(page, style="ent", manual=True, jupyter=False)


def _direction(text: str) -> str:
    """As that of the first letter."""
    letter = next(filter(str.isalpha, text), "")
    return "rtl" if letter and unicodedata.bidirectional(letter) in ("R", "AL") else "ltr"


def choose_colours(names: Iterable[str]) -> dict[str, str]:
    """The colour, as CSS has it, of each label that some pipelines name: that of the report in light."""
    labels = set().union(*(entity_labels(load(name)) for name in names))
    return {label: f"hsl({HUES[number]} {TINT})" for label, number in number_hues(labels).items()}


def tabulate(found: Mapping[str, Iterable[Entity]]) -> list[dict[str, Any]]:
    """A row for each entity that a pipeline finds, in order, with its score.

    found (Mapping[str, Iterable[Entity]]): The entities of one or two pipelines, by the name of their column.
    """
    scores = {column: {entity.place: entity.score for entity in entities} for column, entities in found.items()}
    rows = []
    for entity in sorted({entity.place: entity for entities in found.values() for entity in entities}.values()):
        row = {"entity": entity.text, "label": entity.label}
        row |= {column: of_column.get(entity.place) for column, of_column in scores.items()}
        if len(scores) > 1:
            finders = [column for column, of_column in scores.items() if entity.place in of_column]
            row["found by"] = finders[0] if len(finders) == 1 else "both"
        rows.append(row)
    return rows


@lru_cache
def example_text(name: str) -> str:
    """Some texts to begin with: of the project in this folder, if it has any in which a pipeline finds an entity.

    Else sentences of spaCy's in the language of the pipeline; in several, where it names none that spaCy has.
    """
    nlp = load(name)
    target = nlp.meta.get("spacy_prokd", {}).get("target_lang", nlp.lang)
    corpora = Path("corpus")
    texts = corpora / target / target / "train.spacy"
    is_inside = texts.resolve().is_relative_to(corpora.resolve())  # the pipeline names it, which may be anybody's
    if is_inside and (telling := _find_telling(nlp, texts)):
        return "\n".join(telling)
    sentences = sample_sentences(target)
    return "\n".join(sentences[:: max(1, len(sentences) // 6)][:6])


def _find_telling(nlp: Language, corpus: Path) -> list[str]:
    """The first texts of a corpus, if it is there, in which a pipeline finds an entity; long ones are left out."""
    texts = (doc.text for doc in read_docs(corpus, Vocab())) if corpus.is_file() else ()
    short = islice((text for text in texts if len(text) <= LONGEST_EXAMPLE), MOST_TRIED)
    telling = (doc.text for doc in nlp.pipe(short, batch_size=16) if doc.ents)  # no more are read than it takes
    return list(islice(telling, 6))
