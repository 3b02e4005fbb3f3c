"""Numbers in sentences."""

from __future__ import annotations

_FEW = 100  # of fewer, one is more than a point


def counted(n: int, noun: str) -> str:
    """How many there are of something: `1 text`, `2,000 texts`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def say_if_few(n_entities: int) -> str | None:
    """How much one entity moves a score that is from few of them: `27 entities: one of them is 3.7 points.`"""
    if not 0 < n_entities < _FEW:
        return None
    return f"{n_entities} {'entity' if n_entities == 1 else 'entities'}: one of them is {100 / n_entities:.1f} points."
