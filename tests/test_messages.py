"""Messages between processes: srsly's registries remember what they hold, and hold what they held."""

from __future__ import annotations

import catalogue
import numpy as np
import pytest
import spacy
import srsly
from spacy.tokens import Doc

from spacy_prokd.messages import remember_encoders


@pytest.fixture(autouse=True)
def remembering():
    remember_encoders()


@pytest.fixture
def registered():
    """Forgets afterwards what a test registered."""
    before = dict(catalogue.REGISTRY)
    yield
    catalogue.REGISTRY.clear()
    catalogue.REGISTRY.update(before)


def _encoder_of(mark: str):
    def encode(value, chain=None):
        if isinstance(value, complex):
            return f"{mark}{value}"
        return value if chain is None else chain(value)

    return encode


def test_arrays_and_docs_are_as_before():
    array = np.arange(3, dtype="float32")
    assert (srsly.msgpack_loads(srsly.msgpack_dumps(array)) == array).all()
    doc = spacy.blank("xx")("Anna lives in Bonn")
    doc.spans["prokd"] = [doc[3:4]]
    again = Doc(doc.vocab).from_bytes(doc.to_bytes())
    assert [span.text for span in again.spans["prokd"]] == ["Bonn"]


def test_what_is_registered_later_is_used(registered):
    srsly.msgpack_dumps("now they are remembered")
    srsly.msgpack_encoders.register("complex", func=_encoder_of("first "))
    assert srsly.msgpack_loads(srsly.msgpack_dumps(1j)) == "first 1j"
    srsly.msgpack_encoders("complex")(_encoder_of("second "))  # as a decorator, in the place of the first
    assert srsly.msgpack_loads(srsly.msgpack_dumps(1j)) == "second 1j"


def test_no_message_looks_around_but_the_first(monkeypatch):
    looks = []
    monkeypatch.setattr(catalogue.Registry, "get_all", lambda self: looks.append(self) or {})
    for registry in (srsly.msgpack_encoders, srsly.msgpack_decoders):
        monkeypatch.setattr(registry, "_found", None)
    for _ in range(3):
        srsly.msgpack_loads(srsly.msgpack_dumps({"a": 1}))
    assert looks == [srsly.msgpack_encoders, srsly.msgpack_decoders]
