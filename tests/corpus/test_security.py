"""A corpus is data: opening a hostile .spacy file runs nothing."""

from __future__ import annotations

import os
import pickle
import zlib

import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin

from spacy_prokd.corpus import read_corpus
from spacy_prokd.errors import ProKDError


class _Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


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
    DocBin(docs=[Doc(nlp.vocab, words=["Anna"])], store_user_data=True).to_disk(tmp_path / "a.spacy")
    message = srsly.msgpack_loads(zlib.decompress((tmp_path / "a.spacy").read_bytes()))
    message["user_data"] = [encode(pickle.dumps(_Payload(tmp_path / "executed")))]
    (tmp_path / "a.spacy").write_bytes(zlib.compress(srsly.msgpack_dumps(message)))
    try:
        list(read_corpus(nlp, tmp_path / "a.spacy"))
    except ProKDError:
        pass  # refusing is as good as reading it as bytes
    assert not (tmp_path / "executed").exists()
