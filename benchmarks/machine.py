"""What a benchmark ran on, and how its sides take turns."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spacy_prokd.info import find_version

PACKAGES = ("torch", "transformers", "tokenizers", "spacy", "thinc", "spacy-transformers")


def describe_machine() -> dict[str, object]:
    """Processor, threads, versions, and its matrix product, by which figures of two machines compare."""
    return {
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "cpu": cpu_name(),
        "torch_threads": torch.get_num_threads(),
        "bf16_gemm_gflops": round(gemm_gflops(torch.bfloat16)),
        "fp32_gemm_gflops": round(gemm_gflops(torch.float32)),
        "python": platform.python_version(),
        **{name: find_version(name) or "not installed" for name in PACKAGES},
    }


def gemm_gflops(
    dtype: torch.dtype,
    rows: int = 1024,
    width: int = 384,
    inner: int = 1536,
    repeats: int = 30,
    device: torch.device | None = None,
) -> float:
    """The speed of the encoder's largest matrix product (its feed-forward layer), the median of some."""
    x = torch.randn(rows, width, device=device).to(dtype)
    linear = torch.nn.Linear(width, inner, device=device).to(dtype)
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats):
            start = time.perf_counter()
            linear(x)
            wait_for(x.device)
            seconds.append(time.perf_counter() - start)
    return 2 * rows * width * inner / statistics.median(seconds) / 1e9


class MatrixProduct:
    """The speed of the processor's matrix product in bf16, measured as often as the sides beside it."""

    def __init__(self) -> None:
        self._measured: list[float] = []

    def run(self) -> None:
        """Measure it once more."""
        self._measured.append(gemm_gflops(torch.bfloat16, repeats=300))

    @property
    def gflops(self) -> float:
        """The median."""
        return statistics.median(self._measured)


def wait_for(device: torch.device) -> None:
    """Let a GPU finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def take_turns(sides: Mapping[str, Callable[[], object]], rounds: int, label: str) -> dict[str, list[float]]:
    """Time some functions in turn (A B A B ...), so that a slow minute of the machine falls on all of them.

    RETURNS (dict[str, list[float]]): Seconds of each round; a first round, which warms up, is left out.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    with progress_bar() as progress:
        task = progress.add_task(label, total=(rounds + 1) * len(sides))
        for _ in range(rounds + 1):
            for name, run in sides.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
                progress.advance(task)
    return {name: timed[1:] for name, timed in seconds.items()}


def progress_bar() -> Progress:
    """A progress bar on stderr: stdout may be JSON."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def cpu_name() -> str:
    """As the system has it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def significant(value: float) -> float:
    """Three digits of a value, however small: a share that is next to nothing on a busy machine is not nothing."""
    return float(f"{value:.3g}")
