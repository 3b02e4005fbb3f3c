"""Seconds until something happens: each in a process of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

from machine import take_turns

_IMPORTS = """
import time
import spacy
start = time.perf_counter()
import spacy_prokd
package = time.perf_counter()
import spacy_prokd.pipeline
print(package - start, time.perf_counter() - start)
"""


def measure_startup(rounds: int = 5) -> dict[str, Any]:
    """What importing costs beyond spaCy, and the command line's help."""
    package: list[float] = []
    component: list[float] = []

    def imports() -> None:
        command = [sys.executable, "-c", _IMPORTS]
        first, second = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        package.append(float(first))
        component.append(float(second))

    def show_help() -> None:
        subprocess.run([sys.executable, "-m", "spacy_prokd", "--help"], check=True, capture_output=True)

    seconds = take_turns({"imports": imports, "help": show_help}, rounds, "start-up")
    return {
        "group": "startup",
        "import_ms_beyond_spacy": round(1000 * statistics.median(package[1:]), 1),
        "component_import_ms_beyond_spacy": round(1000 * statistics.median(component[1:]), 1),
        "help_seconds": round(statistics.median(seconds["help"]), 2),
    }
