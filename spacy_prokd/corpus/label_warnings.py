"""What a conversion says of labels that may be another label, spelled wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from statistics import median

TOO_FEW = 5  # entities of a label, where the others have ten times as many


def warn_of_case(labels: Collection[str]) -> list[str]:
    """Tell of labels of one file that differ in case only.

    labels (Collection[str]): Those of the file.
    RETURNS (list[str]): A warning for each that is spelled in several ways.
    """
    spellings: dict[str, list[str]] = {}
    for label in labels:
        spellings.setdefault(label.casefold(), []).append(label)
    return [
        f"has {' and '.join(labels)}, which are learned as different labels. If they are one, map them to it."
        for labels in spellings.values()
        if len(labels) > 1
    ]


def warn_of_few(entities: Mapping[str, int]) -> list[str]:
    """Tell of labels with next to no entities beside labels with many.

    entities (Mapping[str, int]): How many there are of each label.
    RETURNS (list[str]): One warning, or none.
    """
    limit = min(TOO_FEW, median(entities.values()) / 10) if entities else 0
    few = [label for label, n in entities.items() if n < limit]
    if not few:
        return []
    enough = sorted(entities.keys() - few)
    meant = {label: close[0] for label in few if (close := get_close_matches(label, enough, n=1, cutoff=0.8))}
    hint = f" Did you mean {', '.join(meant.values())}? Then give {_option(meant)}." if meant else ""
    names = ", ".join(f"{label} ({entities[label]})" for label in few)
    return [f"has too few entities to learn these labels by: {names}.{hint}"]


def describe_case(unknown: Collection[str], known: Collection[str]) -> str:
    """Say which labels are known in another case.

    unknown (Collection[str]): Labels that no training data has.
    known (Collection[str]): Those that it has.
    RETURNS (str): What follows the warning of unknown labels; nothing where none is known in another case.
    """
    spelled = {label.casefold(): label for label in known}
    meant = {label: spelled[label.casefold()] for label in sorted(unknown) if label.casefold() in spelled}
    if not meant:
        return ""
    names = f"{', '.join(meant)} {'differ' if len(meant) > 1 else 'differs'}"
    return f" {names} from {', '.join(meant.values())} in case only: give {_option(meant)}."


def _option(label_map: Mapping[str, str]) -> str:
    """What maps labels, to be copied."""
    return f'`--labels "{{{", ".join(f"{label}: {mapped}" for label, mapped in label_map.items())}}}"`'
