"""Codes of languages, and their names."""

from __future__ import annotations

import re
from functools import cache

from .errors import ProKDError

_CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
# Those of ISO 639-1, and three that it gave up and Wikipedia still has. Of three letters there are thousands.
_NAMES = """
aa Afar, ab Abkhazian, ae Avestan, af Afrikaans, ak Akan, am Amharic, an Aragonese, ar Arabic, as Assamese, av Avaric,
ay Aymara, az Azerbaijani, ba Bashkir, be Belarusian, bg Bulgarian, bi Bislama, bm Bambara, bn Bangla, bo Tibetan, br
Breton, bs Bosnian, ca Catalan, ce Chechen, ch Chamorro, co Corsican, cr Cree, cs Czech, cu Church Slavic, cv Chuvash,
cy Welsh, da Danish, de German, dv Divehi, dz Dzongkha, ee Ewe, el Greek, en English, eo Esperanto, es Spanish, et
Estonian, eu Basque, fa Persian, ff Fula, fi Finnish, fj Fijian, fo Faroese, fr French, fy Western Frisian, ga Irish,
gd Scottish Gaelic, gl Galician, gn Guarani, gu Gujarati, gv Manx, ha Hausa, he Hebrew, hi Hindi, ho Hiri Motu, hr
Croatian, ht Haitian Creole, hu Hungarian, hy Armenian, hz Herero, ia Interlingua, id Indonesian, ie Interlingue, ig
Igbo, ii Sichuan Yi, ik Inupiaq, io Ido, is Icelandic, it Italian, iu Inuktitut, ja Japanese, jv Javanese, ka
Georgian, kg Kongo, ki Kikuyu, kj Kuanyama, kk Kazakh, kl Kalaallisut, km Khmer, kn Kannada, ko Korean, kr Kanuri, ks
Kashmiri, ku Kurdish, kv Komi, kw Cornish, ky Kyrgyz, la Latin, lb Luxembourgish, lg Ganda, li Limburgish, ln Lingala,
lo Lao, lt Lithuanian, lu Luba-Katanga, lv Latvian, mg Malagasy, mh Marshallese, mi Māori, mk Macedonian, ml
Malayalam, mn Mongolian, mr Marathi, ms Malay, mt Maltese, my Burmese, na Nauru, nb Norwegian Bokmål, nd North
Ndebele, ne Nepali, ng Ndonga, nl Dutch, nn Norwegian Nynorsk, no Norwegian, nr South Ndebele, nv Navajo, ny Nyanja,
oc Occitan, oj Ojibwa, om Oromo, or Odia, os Ossetic, pa Punjabi, pi Pali, pl Polish, ps Pashto, pt Portuguese, qu
Quechua, rm Romansh, rn Rundi, ro Romanian, ru Russian, rw Kinyarwanda, sa Sanskrit, sc Sardinian, sd Sindhi, se
Northern Sami, sg Sango, si Sinhala, sk Slovak, sl Slovenian, sm Samoan, sn Shona, so Somali, sq Albanian, sr Serbian,
ss Swati, st Southern Sotho, su Sundanese, sv Swedish, sw Swahili, ta Tamil, te Telugu, tg Tajik, th Thai, ti
Tigrinya, tk Turkmen, tl Tagalog, tn Tswana, to Tongan, tr Turkish, ts Tsonga, tt Tatar, tw Twi, ty Tahitian, ug
Uyghur, uk Ukrainian, ur Urdu, uz Uzbek, ve Venda, vi Vietnamese, vo Volapük, wa Walloon, wo Wolof, xh Xhosa, yi
Yiddish, yo Yoruba, za Zhuang, zh Chinese, zu Zulu, bh Bihari, mo Moldavian, sh Serbo-Croatian
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
    """See that a language is named by its code, such as `nl`, `als` or `zh-Hans`; `xx` is spaCy's for any.

    RAISES (ProKDError): If it is not, with the code that may be meant.
    """
    code, names = lang.partition("-")[0], _read_names()
    if _CODE.fullmatch(lang) and (len(code) > 2 or code in names or code == "xx"):
        return
    meant = _MEANT.get(code) or next((code for code, name in names.items() if name == lang.title()), None)
    what_to_do = f"Did you mean '{meant}'?" if meant else "Write it like 'en', 'nl' or 'zh-Hans'."
    raise ProKDError(f"{lang!r} is no code of a language. {what_to_do}")


def name_language(lang: str) -> str:
    """The English name of a language, such as `Ukrainian` of `uk`; its code where it has none of two letters."""
    return _read_names().get(lang, lang)


@cache
def _read_names() -> dict[str, str]:
    return dict(entry.split(maxsplit=1) for entry in " ".join(_NAMES.split()).split(", "))
