"""Scripts: that of a text, and those that are written without spaces (Han, Kana, Thai, Lao, Burmese and Khmer), with
the punctuation that brings its own room and so has no spaces around it either."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

LONGEST_WORD = 6  # letters, as a mean: Thai has 4 or 5. Its phrases, between which it has spaces, are longer.
_LETTERS = (
    "々〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u3041-\u30fa\u30fc-\u30ff\uff66-\uff9f"
    "\u0e01-\u0e5b\u0e81-\u0edf\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff"
)
# of U+3000 to 303F, Kana's middle dot, and the full-width forms of ASCII, whose digits and letters are as in "１２"
_PUNCTUATION = (
    "\u3001-\u3004\u3008-\u3020\u3030\u3036\u3037\u303d-\u303f\u30fb"
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
# bullets, arrows, numbers in circles, notes and the like, which other scripts part from words by spaces
_SIGNS = "\u00d7\u2015\u2022\u2025\u203b\u2190-\u21ff\u226a\u226b\u2460-\u27bf"
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff6f\uff71-\uff9d]")  # no dots or strokes: Chinese has some
_SPACELESS = re.compile(f"[{_LETTERS}]")
_SPACED = re.compile(f"(?<=[{_LETTERS}]) (?=[{_LETTERS}])")
_OWN = re.compile(f"[{_LETTERS}{_PUNCTUATION}]")
_ALONE = re.compile(f"[{_LETTERS}{_PUNCTUATION}{_SIGNS}]")


@lru_cache(maxsize=10_000)
def script_of(letter: str) -> str:
    """The script of a letter, as Unicode names it: LATIN, CYRILLIC, CJK, ..."""
    return unicodedata.name(letter, "").partition(" ")[0]


def main_script(text: str) -> str:
    """The script of most letters of a text; Han and Kana, which Japanese mixes, are one. Empty without letters."""
    scripts = Counter(script_of(character) for character in text if character.isalpha())
    for kana in ("HIRAGANA", "KATAKANA"):
        scripts["CJK"] += scripts.pop(kana, 0)
    script, n_letters = scripts.most_common(1)[0]
    return script if n_letters else ""


def has_spaceless(text: str) -> bool:
    """Whether a text has a character of such a script."""
    return _SPACELESS.search(text) is not None


def is_spaceless(character: str) -> bool:
    """Whether a character is of such a script."""
    return _SPACELESS.match(character) is not None


def is_letter(word: str) -> bool:
    """Whether a word is one letter of such a script, with the marks above and below it."""
    return is_spaceless(word[:1]) and all(map(_is_mark, word[1:]))


def has_kana(text: str) -> bool:
    """Whether a text has letters that Japanese alone has; next to every sentence of it has some."""
    return _KANA.search(text) is not None


def is_spaced(text: str) -> bool:
    """Whether spaces stand between words of scripts that are written without, as segmenters leave them."""
    n_letters, n_spaced = len(_SPACELESS.findall(text)), len(_SPACED.findall(text))
    return n_spaced > n_letters / LONGEST_WORD


def has_cuts(text: str) -> bool:
    """Whether a text has letters or punctuation of such scripts, so that `cut_characters` is for it."""
    return _OWN.search(text) is not None


def cut_characters(text: str) -> Iterator[str]:
    """Cut a text into letters of such scripts, each with its marks, punctuation, signs, and all else, as it is."""
    start, alone = 0, False
    for i, character in enumerate(text):
        if alone and _is_mark(character):
            continue
        was_alone, alone = alone, _ALONE.match(character) is not None
        if alone or was_alone:
            if start < i:
                yield text[start:i]
            start = i
    if start < len(text):
        yield text[start:]


def _is_mark(character: str) -> bool:
    """Whether a character is part of the letter before it; half-width Kana's marks of voice are letters to Unicode."""
    return character in "\uff9e\uff9f" or unicodedata.category(character).startswith("M")
