"""What the texts of a split are like: lengths, script, and which are there twice, or in another split too."""

from __future__ import annotations

import statistics
from collections import Counter
from functools import cached_property
from hashlib import blake2b

from spacy.tokens import Doc
from spacy.util import get_lang_class

from ..scripts import has_kana, is_spaced, main_script

SCRIPTS_TOLD = 0.01  # share of texts above which another script is worth a warning
SPACED_TOLD = 0.1  # share of texts above which spaces between words are
KANA_EXPECTED = 0.2  # share of texts: more of Japanese have some (names alone often have none), and less of Chinese
OVERLAP_TOLD = 0.01  # share of texts above which finding them elsewhere is


class Texts:
    """Gathers what is to be known of a split's texts.

    file (str): Where they come from, for warnings.
    is_held_out (bool): Whether the rest of this file is another split.
    """

    def __init__(self, file: str, is_held_out: bool = False) -> None:
        self.file = file
        self.is_held_out = is_held_out
        self.lengths: list[int] = []
        self._keys: list[bytes] = []
        self._scripts: Counter[str] = Counter()
        self._first_lines: dict[str, int] = {}
        self._n_kana = 0
        self._spaced_lines: list[int] = []

    def add(self, doc: Doc, line: int) -> None:
        """Add one text, which stands on a line."""
        self.lengths.append(len(doc))
        words = "\n".join(word.text for word in doc)
        self._keys.append(blake2b(words.encode("utf8"), digest_size=8).digest())
        script = main_script(words)
        if script:  # numbers alone have none
            self._scripts[script] += 1
            self._first_lines.setdefault(script, line)
        self._n_kana += has_kana(words)
        if not doc.has_unknown_spaces and is_spaced(doc.text):
            self._spaced_lines.append(line)

    @property
    def median_length(self) -> int:
        """In words; 0 for no texts."""
        return round(statistics.median(self.lengths)) if self.lengths else 0

    @cached_property
    def keys(self) -> frozenset[bytes]:
        """What tells texts apart."""
        return frozenset(self._keys)

    @property
    def repeated(self) -> int:
        """How many are the same as an earlier one, word for word."""
        return len(self._keys) - len(self.keys)

    def warn_of_scripts(self, lang: str) -> list[str]:
        """Tell of texts in another script than most of them, or of most in another than their language's.

        lang (str): Code of the language.
        """
        if not self._scripts:
            return []
        (main, n_main), *others = self._scripts.most_common()
        n_texts = len(self.lengths)
        expected = script_of_language(lang)
        if expected not in ("", main):
            return [
                f"{n_main:,} of {n_texts:,} texts are mainly in the script {main} (first "
                f"{self.file}:{self._first_lines[main]}), but what spaCy has of '{lang}' is in {expected}: check that "
                f"this is the right file and '{lang}' the code of its language."
            ]
        return [
            f"{n_others:,} of {n_texts:,} texts are mainly in the script {script}, {n_main:,} in {main} (first "
            f"{self.file}:{self._first_lines[script]}). If that is another language, take them out."
            for script, n_others in others
            if n_others > SCRIPTS_TOLD * n_texts
        ]

    def warn_of_kana(self, lang: str) -> list[str]:
        """Tell of Japanese without a letter that Chinese has not, and of Chinese with many: their script is one.

        lang (str): Code of the language.
        """
        n_texts, code = len(self.lengths), lang.partition("-")[0]
        if not self._scripts or self._scripts.most_common(1)[0][0] != "CJK":  # `warn_of_scripts` tells of another
            return []
        if code == "ja" and self._n_kana < KANA_EXPECTED * n_texts:
            problem = f"only {self._n_kana:,} of {n_texts:,} texts have Kana, as next to every Japanese sentence has"
            meant = "zh"
        elif code == "zh" and self._n_kana > KANA_EXPECTED * n_texts:
            problem = f"{self._n_kana:,} of {n_texts:,} texts have Kana, which Chinese has not"
            meant = "ja"
        else:
            return []
        return [f"{problem}: check that this is the right file. If its language is '{meant}', give that code."]

    def warn_of_spaces(self) -> list[str]:
        """Tell of texts that were cut into words with spaces where their script has none."""
        n_spaced, n_texts = len(self._spaced_lines), len(self.lengths)
        if n_spaced <= SPACED_TOLD * n_texts:
            return []
        return [
            f"{n_spaced:,} of {n_texts:,} texts have spaces between words, where this script is written without (first "
            f"{self.file}:{self._spaced_lines[0]}). A pipeline reads text as people write it: give these as they were "
            f"before they were cut."
        ]

    def warn_of_overlap(self, *others: Texts) -> list[str]:
        """Tell of texts that other splits have too, word for word."""
        sharing = [other for other in others if not other.keys.isdisjoint(self.keys)]
        n_both = sum(any(key in other.keys for other in sharing) for key in self._keys)
        if n_both <= OVERLAP_TOLD * len(self._keys):
            return []
        files = " and ".join(dict.fromkeys(other.file for other in sharing))
        what, where = ("texts held out", "the rest of the file") if self.is_held_out else ("texts", files)
        return [f"{n_both:,} of {len(self._keys):,} {what} are in {where} too, word for word."]


def script_of_language(lang: str) -> str:
    """The script of spaCy's stop words of a language; empty if it does not have the language, or has none of it.

    lang (str): Its code; of `zh-Hans`, what is before the hyphen.
    """
    try:
        defaults = get_lang_class(lang.partition("-")[0]).Defaults
    except (ImportError, AttributeError):  # no module of spacy.lang, or one that is no language
        return ""
    return main_script(" ".join(defaults.stop_words))
