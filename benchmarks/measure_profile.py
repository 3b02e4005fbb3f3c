"""Where a training step's time goes: with nothing padded, and with Hugging Face's way of computing the same."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

from measure_tagging import read_config
from measure_training import PipeSide, make_examples
from torch.profiler import ProfilerActivity, profile

from spacy_prokd.network import encoder as encoder_module

# the first that an operation's name contains
PARTS = {
    "optimizer and clipping": ("adamw", "vector_norm", "foreach"),
    "attention's products": ("bmm", "scaled_dot_product"),
    "matrix products": ("mm", "linear"),
    "copies, casts, gathers": ("copy", "cat", "index", "fill", "clone", "empty", "zero", "gather", "nonzero"),
    "softmax, norms, activations, sums": ("",),
}


def measure_profile(
    encoder: Path,
    corpus: Path,
    *,
    role: str = "student",
    lang: str = "de",
    sentences: int = 192,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Milliseconds that each kind of work takes in a step.

    `rest` is what no operation of torch accounts for: spaCy, batches, tokenising, the autograd engine.
    """
    overrides = overrides or {}
    max_length = read_config(role, overrides)[1]["model"]["tok2vec"]["max_length"]
    examples, labels = make_examples(role, encoder, corpus, lang, sentences, max_length)
    found = {}
    for name, packed in (("padded", False), ("packed", True)):
        side = PipeSide(role, encoder, examples, labels, overrides)
        can_pack = encoder_module.can_pack if packed else lambda transformer: False
        with patch.object(encoder_module, "can_pack", can_pack):
            side.run()  # warms up
            start = time.perf_counter()
            side.run()
            seconds = time.perf_counter() - start
            found[name] = {"words_per_second": round(side.words / seconds, 1), "ms_a_step": _ms_of_parts(side, seconds)}
    return {"group": "profile", "role": role, "sentences": sentences, **found}


def _ms_of_parts(side: PipeSide, seconds: float) -> dict[str, float]:
    """Milliseconds a step of each kind of operation, and what is left of the seconds that a round takes."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        side.run()
    parts: Counter[str] = Counter()
    for event in profiler.key_averages():
        if event.key.startswith(("aten::", "mkldnn::")):
            part = next(part for part, names in PARTS.items() if any(name in event.key for name in names))
            parts[part] += event.self_cpu_time_total / 1e6
    parts["rest"] = max(0.0, seconds - parts.total())
    return {part: round(1000 * each / len(side.batches), 2) for part, each in parts.most_common()}
