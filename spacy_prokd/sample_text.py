"""Sentences to try a pipeline on, in its language."""

from __future__ import annotations

from importlib import import_module

from spacy.language import Language


def sample_sentences(lang: str) -> list[str]:
    """spaCy's example sentences in a language; in several, where it has none in this one.

    lang (str): Its code: `nl`, `zh-Hans`.
    """
    try:
        sentences = import_module(f"spacy.lang.{lang.partition('-')[0]}.examples").sentences
    except ImportError:
        sentences = import_module("spacy.lang.xx.examples").sentences
    return [text + "." if text[-1].isalnum() else text for text in sentences]


def telling_sentence(nlp: Language, lang: str) -> str:
    """The first of these sentences in which a pipeline finds an entity; the first one if there is none."""
    sentences = sample_sentences(lang)
    return next((doc.text for doc in nlp.pipe(sentences) if doc.ents), sentences[0])
