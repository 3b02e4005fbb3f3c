"""Files to Docs: one reader a format, a registry of formats, the conversion, the registered corpus reader."""

from .convert import convert_corpus, convert_language
from .formats import FORMATS
from .readers import read_corpus
from .report import ConvertReport, LanguageReport, SplitReport

__all__ = [
    "FORMATS",
    "ConvertReport",
    "LanguageReport",
    "SplitReport",
    "convert_corpus",
    "convert_language",
    "read_corpus",
]
