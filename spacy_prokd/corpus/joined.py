"""Several target languages in one corpus, `nl+sv`: one student learns all of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..errors import ProKDError

JOINT = "+"


def languages_of(target_lang: str) -> list[str]:
    """The languages of a target: `nl+sv` has two, `nl` is one.

    RAISES (ProKDError): If one is empty or there twice.
    """
    languages = target_lang.split(JOINT)
    if not all(languages):
        raise ProKDError(f"'{target_lang}' lacks a language beside its {JOINT}. Write it like 'nl' or 'nl+sv'.")
    check_twice(languages)
    return languages


def check_twice(languages: Sequence[str]) -> None:
    """See that each is named once.

    RAISES (ProKDError): With those that are not.
    """
    if twice := {lang for lang in languages if languages.count(lang) > 1}:
        raise ProKDError(f"{', '.join(sorted(twice))} is named twice.")


def describe_target(target_lang: str, name: Callable[[str], str] = str) -> str:
    """The languages of a target as people write them: "nl, sv and da".

    target_lang (str): The target, such as `nl+sv+da`.
    name (Callable[[str], str]): What to write of each, such as `name_language`.
    """
    *others, last = map(name, languages_of(target_lang))
    return f"{', '.join(others)} and {last}" if others else last


def folders_of(folder: Path) -> list[Path]:
    """Where the converted corpus of each language of a target is: in the target's folder, or in one of its own there.

    folder (Path): The target's folder, which has its name.
    """
    languages = languages_of(folder.name)
    return [folder / language for language in languages] if len(languages) > 1 else [folder]


def mix(parts: Sequence[DocBin]) -> DocBin:
    """Put the Docs of some corpora into one, those of each spread evenly over it.

    parts (Sequence[DocBin]): With the same attributes.
    """
    vocab = Vocab()
    placed = heapq.merge(*(_place(part, vocab) for part in parts), key=itemgetter(0))
    return DocBin(attrs=parts[0].attrs, docs=(doc for _place, doc in placed))


def _place(docs: DocBin, vocab: Vocab) -> Iterator[tuple[float, Doc]]:
    return (((i + 0.5) / len(docs), doc) for i, doc in enumerate(docs.get_docs(vocab)))
