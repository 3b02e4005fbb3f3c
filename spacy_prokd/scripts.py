"""Scripts: that of a text, and those that are written without spaces (Han, Kana, Thai, Lao, Burmese and Khmer)."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

_SPACELESS = re.compile(
    "[々\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u3041-\u30fa\u30fc-\u30ff\u0e01-\u0e5b\u0e81-\u0edf\u1000-\u109f\u1780-\u17ff]"
)


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


def cut_letters(text: str) -> Iterator[str]:
    """Cut a text into letters of such scripts, each with its marks, and what stands between them, as it is."""
    start, in_letter = 0, False
    for i, character in enumerate(text):
        if in_letter and _is_mark(character):
            continue
        if is_spaceless(character) or in_letter:
            if start < i:
                yield text[start:i]
            start, in_letter = i, is_spaceless(character)
    if start < len(text):
        yield text[start:]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")
