"""Codes of languages, and their names."""

from __future__ import annotations

import re

from .errors import ProKDError

_CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
# Those of ISO 639-1; three that it gave up and Wikipedia still has; and spaCy's for any language. Of three letters
# there are thousands.
_TWO_LETTERS = """
aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es
et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki
kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no
nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te
tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
bh mo sh
xx
"""
_MEANT = {  # by what people write: codes of countries, and the first letters of a name
    "cn": "zh",
    "cz": "cs",
    "dk": "da",
    "gr": "el",
    "jp": "ja",
    "po": "pl",
    "sp": "es",
    "ua": "uk",
}


def check_code(lang: str) -> None:
    """See that a language is named by its code, such as `nl`, `als` or `zh-Hans`.

    RAISES (ProKDError): If it is not, with the code that may be meant.
    """
    code, known = lang.partition("-")[0], _TWO_LETTERS.split()
    if _CODE.fullmatch(lang) and (len(code) > 2 or code in known):
        return
    meant = _MEANT.get(code) or _find_named(lang)
    what_to_do = f"Did you mean '{meant}'?" if meant in known else "Write it like 'en', 'nl' or 'zh-Hans'."
    raise ProKDError(f"{lang!r} is no code of a language. {what_to_do}")


def name_language(lang: str) -> str:
    """The English name of a language, such as `Ukrainian` of `uk`; its code where Whisper's tokenizer has no name."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return LANGUAGES[lang].title() if lang in LANGUAGES else lang


def _find_named(name: str) -> str | None:
    """The code of a language by its English name, of the hundred whose names Whisper's tokenizer has."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return TO_LANGUAGE_CODE.get(name.lower())
