"""A pipeline that finds entities, from a folder or an installed package."""

from __future__ import annotations

import os
from glob import escape, glob
from pathlib import Path

import spacy
from spacy.language import Language

from .errors import ProKDError


def load_pipeline(name: str | Path) -> Language:
    """Load a pipeline that finds entities.

    name (str | Path): A saved pipeline's folder, or the name of an installed one.
    RAISES (ProKDError): If there is none, it is damaged, or no component of it sets entities.
    """
    try:
        nlp = spacy.load(str(name))  # of a Path, spaCy would not look among the installed ones
    except ProKDError:
        raise
    except Exception as error:  # broken files raise whatever the place where they break makes of them
        reason = " ".join(str(error).split())[:600]
        wheels = glob(f"packages/{escape(str(name))}-*/dist/*.whl")
        newest = max(wheels, key=os.path.getmtime, default=None)
        what_to_do = f"Install it: python -m pip install {newest}" if newest else "Train it first, or name another."
        raise ProKDError(f"{name} cannot be loaded as a pipeline: {reason} {what_to_do}") from error
    if not find_entity_pipes(nlp):
        raise ProKDError(f"{name} has no component that sets entities, only {nlp.pipe_names}. Name another pipeline.")
    return nlp


def find_entity_pipes(nlp: Language) -> list[str]:
    """The names of the components that set entities, in their order."""
    return [name for name in nlp.pipe_names if "doc.ents" in nlp.get_pipe_meta(name).assigns]


def entity_labels(nlp: Language) -> set[str]:
    """The labels of all entities that a pipeline may find."""
    return {label for name in find_entity_pipes(nlp) for label in nlp.pipe_labels.get(name, [])}
