"""Docs sent between processes, at the cost of what is in them.

For each message srsly asks catalogue for its encoders, and catalogue walks through every function that any package
registered and every entry point of the environment: most of what `nlp.pipe(n_process=2)` costs, and a Doc with a
span group is three messages each way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import catalogue
import srsly


class _Remembering(catalogue.Registry):
    """Looks around again only when something was registered since."""

    _found: dict[str, Any] | None = None
    _n_registered = 0

    def get_all(self) -> dict[str, Any]:
        if self._found is None or self._n_registered != len(catalogue.REGISTRY):
            self._n_registered = len(catalogue.REGISTRY)
            self._found = super().get_all()
        return self._found

    def register(self, name: str, *, func: Any = None) -> Callable[[Any], Any]:
        self._found = None  # also where a name is registered anew
        return super().register(name, func=func)


def remember_encoders() -> None:
    """Let srsly's registries remember what they hold; they hold the same as before, and take new functions."""
    for registry in (srsly.msgpack_encoders, srsly.msgpack_decoders):
        registry.__class__ = _Remembering
