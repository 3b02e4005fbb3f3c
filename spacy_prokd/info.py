"""What a bug report needs to say of an installation; it names no folder, user or host."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, requires, version

import torch
from packaging.requirements import Requirement

from .network.encoder import matrix_dtype

EXTRAS = ("train", "demo", "hub", "gpu")  # those that a user installs
NEWEST_CUPY = "cupy-cuda13x"  # by the name it has for the newest cards' drivers


def describe_installation() -> dict[str, str]:
    """Versions, and what the machine can do.

    RETURNS (dict[str, str]): In the order in which people ask for it; "not installed" for a package that is missing.
    """
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: find_version(name) or "not installed" for name in list_packages()},
        "gpu": torch.cuda.get_device_name() if on_gpu else "none",
        "matrix products": str(matrix_dtype(device, "auto")).removeprefix("torch."),
        "threads": str(torch.get_num_threads()),
    }


def list_packages() -> list[str]:
    """This package, and what it and its extras require here, in the order of setup.cfg."""
    required = map(Requirement, requires("spacy-prokd") or [])
    wanted = [
        each.name
        for each in required
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *EXTRAS))
    ]
    return list(dict.fromkeys(["spacy-prokd", *wanted, NEWEST_CUPY]))


def find_version(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
