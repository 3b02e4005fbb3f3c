"""A corpus is data: opening a hostile .spacy file runs nothing."""

from __future__ import annotations

import contextlib
import os
import pickle
import zlib

import numpy
import pytest
import spacy
import srsly
from spacy.attrs import DEP, HEAD, ORTH
from spacy.tokens import Doc, DocBin

from spacy_prokd.corpus import read_corpus
from spacy_prokd.errors import ProKDError


class _Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def change(path, **values):
    message = srsly.msgpack_loads(zlib.decompress(path.read_bytes()))
    path.write_bytes(zlib.compress(srsly.msgpack_dumps({**message, **values})))


@pytest.mark.parametrize(
    "encode",
    [
        lambda payload: payload,
        lambda payload: srsly.msgpack_dumps({"prokd_soft": payload}),
        lambda payload: srsly.msgpack_dumps({b"nd": True, b"type": "|O", b"shape": (1,), b"data": payload}),
        lambda payload: srsly.msgpack_dumps({b"nd": False, b"type": "|O", b"data": payload}),
        lambda payload: srsly.msgpack_dumps({b"complex": True, b"data": payload}),
    ],
)
def test_user_data_is_never_unpickled(tmp_path, encode):
    nlp = spacy.blank("xx")
    DocBin(docs=[Doc(nlp.vocab, words=["Anna"])]).to_disk(tmp_path / "a.spacy")
    change(tmp_path / "a.spacy", user_data=[encode(pickle.dumps(_Payload(tmp_path / "executed")))])
    with contextlib.suppress(ProKDError):  # refusing is as good as reading it as bytes
        list(read_corpus(nlp, tmp_path / "a.spacy"))
    assert not (tmp_path / "executed").exists()


def test_heads_outside_the_doc_do_not_crash_the_interpreter(tmp_path):
    nlp = spacy.blank("xx")
    DocBin(docs=[Doc(nlp.vocab, words=["Anna"] * 50)]).to_disk(tmp_path / "a.spacy")
    anna = nlp.vocab.strings["Anna"]
    tokens = numpy.asarray([[anna, 0, 10**8, anna]] * 50, dtype="uint64")
    change(tmp_path / "a.spacy", attrs=[ORTH, HEAD, HEAD, DEP], tokens=tokens.tobytes())
    with pytest.raises(ProKDError, match="an attribute occurs twice"):
        list(read_corpus(nlp, tmp_path / "a.spacy"))
