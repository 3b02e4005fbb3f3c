"""The house rule: arrows go down only."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import spacy_prokd

PACKAGE = Path(spacy_prokd.__file__).parent
NETWORK = sorted((PACKAGE / "network").glob("*.py"))


def imported(path: Path) -> set[str]:
    """Top names of all imports of a file, also those inside functions; relative ones with their dots."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").partition(".")[0]
            names.add("." * node.level + module)
    return names


def run(code: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_network_was_found():
    assert {"encoder.py", "losses.py", "prototypes.py", "pieces.py", "head.py"} <= {path.name for path in NETWORK}


@pytest.mark.parametrize("path", NETWORK, ids=lambda path: path.stem)
def test_a_network_file_imports_torch_and_its_neighbours_only(path):
    allowed = {*sys.stdlib_module_names, "torch", "numpy", "tokenizers", "transformers"}
    allowed |= {f".{neighbour.stem}" for neighbour in NETWORK}
    allowed.add("..scripts")  # which knows Unicode alone
    assert imported(path) <= allowed


@pytest.mark.parametrize("name", ["decoding", "labels", "files"])
def test_plain_rooms_import_neither_spacy_nor_torch(name):
    assert not imported(PACKAGE / f"{name}.py") & {"spacy", "thinc", "torch", "transformers"}


def test_importing_the_network_loads_neither_spacy_nor_thinc():
    modules = ", ".join(f"spacy_prokd.network.{path.stem}" for path in NETWORK if path.stem != "__init__")
    code = f"import sys, {modules}; print(sorted({{'spacy', 'thinc'}} & set(sys.modules)), 'torch' in sys.modules)"
    assert run(code) == "[] True"


def test_importing_the_package_is_cheap():
    code = "import sys; import spacy_prokd; print(sorted({'spacy', 'thinc', 'torch'} & set(sys.modules)))"
    assert run(code) == "[]"


def test_an_encoder_of_berts_kind_is_built_without_transformers():
    code = (
        "import json, sys; from spacy_prokd.network.encoder import build_transformer; "
        "build_transformer(json.loads(sys.argv[1])); print('transformers' in sys.modules)"
    )
    config = {
        **{"model_type": "xlm-roberta", "hidden_act": "gelu", "is_decoder": False, "vocab_size": 9, "hidden_size": 8},
        **{"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 8},
        **{"type_vocab_size": 1, "layer_norm_eps": 1e-5, "hidden_dropout_prob": 0.1, "pad_token_id": 1},
    }
    assert run(code, json.dumps(config)) == "False"
