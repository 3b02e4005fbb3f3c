"""What commands are given, checked: the label map, and the GPU."""

from __future__ import annotations

from .errors import ProKDError


def parse_label_map(text: str) -> dict[str, str | None] | None:
    """Read `{LOCATION: LOC, MISC: null}`, YAML as it stands in project.yml."""
    if not text.strip():
        return None
    import srsly

    try:
        label_map = srsly.yaml_loads(text)
    except ValueError:
        label_map = None
    if not isinstance(label_map, dict):
        raise ProKDError(f"The label map is not a mapping: {text}. Write it like '{{LOCATION: LOC, MISC: null}}'.")
    return label_map


def use_gpu(gpu_id: int) -> None:
    """Let spaCy compute on a GPU; on the CPU if the number is negative.

    RAISES (ProKDError): If there is no such GPU, or no package for it.
    """
    if gpu_id < 0:
        return
    import spacy
    import torch

    if not torch.cuda.is_available():
        raise ProKDError(
            f"GPU {gpu_id} was asked for, but torch finds none. Use -1 for the CPU, or install a CUDA build of torch."
        )
    try:
        spacy.require_gpu(gpu_id)
    except ValueError as error:
        raise ProKDError(
            f'GPU {gpu_id} cannot be used: {error} Thinc needs CuPy: pip install "spacy-prokd[gpu]".'
        ) from None
