"""Where the files of a corpus folder came from: what `init` was given, and their licence, for the model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import ProKDError
from ..files import sha256, to_json
from .hub import is_on_hub, to_uri

ORIGINS_FILE = "origins.json"  # in a corpus folder, for the files of all languages
LICENCE_FILE = "LICENSE"  # likewise; of the user, where there is one


def name_origin(given: Path) -> str:
    """What to call a file or a data set of the hub where others read it: a file has no folder there."""
    return to_uri(given) if is_on_hub(given) else given.name


def write_origins(corpus_dir: Path, given: Mapping[Path, Path]) -> None:
    """Write down what the files of a corpus folder were made of.

    corpus_dir (Path): The folder with a folder for each language.
    given (Mapping[Path, Path]): For each file in one of these what the user named.
    """
    origins = {
        path.relative_to(corpus_dir).as_posix(): {"origin": name_origin(origin), "sha256": sha256(path)}
        for path, origin in given.items()
    }
    (corpus_dir / ORIGINS_FILE).write_text(to_json(origins), encoding="utf8")


def find_origin(path: Path) -> str:
    """What a file of a corpus folder was made of: its own name where nobody says, or where it was replaced since.

    path (Path): `<corpus_dir>/<lang>/<split>.<ext>`.
    RAISES (ProKDError): If what `init` wrote is damaged.
    """
    origins = path.absolute().parents[1] / ORIGINS_FILE
    if not origins.is_file():
        return path.name
    try:
        written = json.loads(origins.read_text(encoding="utf8")).get(f"{path.parent.name}/{path.name}")
        return written["origin"] if written and written["sha256"] == sha256(path) else path.name
    except (ValueError, TypeError, KeyError, AttributeError):  # no JSON, or another one
        raise ProKDError(f"{origins} is damaged. Delete it: the model card then names the files beside it.") from None


def find_licence(path: Path) -> str:
    """The licence of a corpus folder, as the first line of its file LICENSE names it; empty if it has none.

    path (Path): `<corpus_dir>/<lang>/<split>.<ext>`.
    """
    licence = path.absolute().parents[1] / LICENCE_FILE
    lines = licence.read_text(encoding="utf8", errors="replace").strip().splitlines() if licence.is_file() else []
    return lines[0].strip() if lines else ""
