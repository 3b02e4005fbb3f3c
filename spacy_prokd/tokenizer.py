"""Words of any language: `@tokenizers = "spacy-prokd.ScriptTokenizer.v1"`.

spaCy's rules for `xx` cut at spaces and punctuation, so that a Chinese sentence is one word, and no entity in it can be
found. Letters of scripts without spaces are words of their own here, as in most corpora of these languages, and so is
their punctuation, also between Latin words ("Google、Meta"), and signs beside them ("※JR"); the rest of a text is cut
by spaCy's rules. Which letters belong together is the encoder's business, see `units`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import spacy
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex

from .errors import ProKDError
from .scripts import cut_characters, has_cuts, is_letter


@spacy.registry.tokenizers("spacy-prokd.ScriptTokenizer.v1")
def create_tokenizer() -> Callable[[Language], ScriptTokenizer]:
    """Make the tokenizer of a pipeline, by the rules of its language where there are spaces."""

    def make(nlp: Language) -> ScriptTokenizer:
        rules = nlp.Defaults
        return ScriptTokenizer(
            nlp.vocab,
            rules=rules.tokenizer_exceptions,
            prefix_search=compile_prefix_regex(rules.prefixes or []).search,
            suffix_search=compile_suffix_regex(rules.suffixes or []).search,
            infix_finditer=compile_infix_regex(rules.infixes or []).finditer,
            token_match=rules.token_match,
            url_match=rules.url_match,
        )

    return make


class ScriptTokenizer(Tokenizer):
    """spaCy's tokenizer, but for scripts without spaces and their punctuation. It is saved and loaded as spaCy's is."""

    def __call__(self, string: str) -> Doc:
        """Tokenize a text; nothing of it is lost."""
        if not has_cuts(string):
            return super().__call__(string)
        tokenize = super().__call__
        cut = cut_characters(string)
        parts = ([part] if is_letter(part) else [word.text for word in tokenize(part)] for part in cut)
        words, spaces = _words_and_spaces([word for part in parts for word in part if not word.isspace()], string)
        return Doc(self.vocab, words=words, spaces=spaces)


def _words_and_spaces(found: Iterable[str], text: str) -> tuple[list[str], list[bool]]:
    """All words of a text, white space included, and whether a space follows each.

    As spaCy's `get_words_and_spaces`, which copies the rest of the text for each word.

    found (Iterable[str]): The words that are no white space, in order.
    """
    words: list[str] = []
    spaces: list[bool] = []
    at = 0
    for word in found:
        start = text.index(word, at)
        if start > at:
            words.append(text[at:start])
            spaces.append(False)
        at = start + len(word)
        words.append(word)
        spaces.append(text.startswith(" ", at))
        at += spaces[-1]
    if at < len(text):
        words.append(text[at:])
        spaces.append(False)
    return words, spaces


def blank(lang: str = "xx") -> Language:
    """A pipeline without components, with our tokenizer.

    lang (str): spaCy's code of the language whose rules cut the text where there are spaces; "xx" for those of any.
    RAISES (ProKDError): If spaCy has no language of that code.
    """
    try:
        nlp = spacy.blank(lang, config={"nlp": {"tokenizer": {"@tokenizers": "spacy-prokd.ScriptTokenizer.v1"}}})
    except ImportError as error:
        if "[E048]" not in str(error):  # another package's plugin, which spaCy loads on the way
            raise
        raise ProKDError(
            f"spaCy has no language '{lang}'. Take one of https://spacy.io/usage/models#languages, such as 'de', "
            f"or 'xx', which is for any."
        ) from None
    if nlp.lang != lang:  # "deu": a package would not be where its project expects it
        raise ProKDError(f"spaCy's code of the language '{lang}' is '{nlp.lang}'. Take that.")
    return nlp
