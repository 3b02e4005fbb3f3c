"""One error for everything that is wrong with what the user gave: said in a paragraph, without a traceback."""

from __future__ import annotations


class ProKDError(ValueError):
    """What was found, where (file and line), and what to do about it."""

    def __repr__(self) -> str:
        """Without the message: spaCy's training prints it before it raises the error, whose message then follows."""
        return type(self).__name__
