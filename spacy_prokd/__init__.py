"""Named entity recognition for languages that have no labels, as a spaCy pipeline.

Importing this stays cheap: spaCy finds the factory and everything registered through entry points.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("spacy-prokd")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
