"""JSON Lines: texts with spans as Prodigy and doccano write them, or tokens with tags as the hub's data sets have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ProKDError
from .contents import Contents, Record, Text, Words, read_lines

_SPAN_KEYS = ("spans", "entities", "label", "labels")
_SPAN_EXAMPLE = '{"start": 0, "end": 6, "label": "PER"} or [0, 6, "PER"]'
_TAG_KEYS = ("tags", "ner_tags")


def read_json_lines(path: Path) -> Contents:
    """Read a .jsonl file: `text` with `spans`, `entities` or `label`; or `tokens` with `tags` or `ner_tags`.

    A span is `{"start": 0, "end": 6, "label": "PER"}` (also `start_offset`, `end_offset`) or `[0, 6, "PER"]`, in
    characters. Records that an annotator rejected or ignored in Prodigy (`answer`) are left out and counted.

    path (Path): The file.
    RETURNS (Contents): One `Text` or `Words` a record.
    RAISES (ProKDError): If a line is no such record.
    """
    lines, warnings = read_lines(path)
    records: list[Record] = []
    n_refused = n_empty = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        data = _parse(line, where)
        record = _read_record(data, number, where)
        if data.get("answer", "accept") != "accept":
            n_refused += 1
        elif not (record.text.strip() if isinstance(record, Text) else record.words):
            n_empty += 1
        else:
            records.append(record)
    if n_refused:
        warnings.append(f"{n_refused} records were rejected or ignored by their annotator and are left out.")
    if n_empty:
        warnings.append(f"{n_empty} records have no text and are left out.")
    if not records:
        raise ProKDError(f"{path} has no record to use. {' '.join(warnings)} Put some into it, or delete it.")
    return Contents(records, warnings)


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProKDError(f"{where}: not JSON ({error}). Each line must be one whole JSON object.") from None
    if not isinstance(data, dict):
        raise ProKDError(
            f"{where}: a JSON {type(data).__name__}, not an object. Each line must be one whole JSON object."
        )
    return data


def _read_record(data: dict[str, Any], number: int, where: str) -> Record:
    if isinstance(data.get("text"), str):
        _check_characters([data["text"]], where)
        return Text(data["text"], _read_spans(data, where), number)
    if isinstance(data.get("tokens"), list):
        words = data["tokens"]
        if not all(isinstance(word, str) and word for word in words):
            raise ProKDError(f"{where}: `tokens` must be words (non-empty strings), found {_first_bad(words)!r}.")
        _check_characters(words, where)
        return Words(words, _read_tags(data, words, where), [number] * len(words))
    raise ProKDError(
        f"{where}: neither a `text` (a string) nor `tokens` (a list), found the keys {sorted(data)}. "
        f"Write `text` and `spans`, or `tokens` and `tags`."
    )


def _first_bad(words: list[Any]) -> Any:
    return next(word for word in words if not isinstance(word, str) or not word)


def _check_characters(strings: list[str], where: str) -> None:
    try:
        "".join(strings).encode("utf8")
    except UnicodeEncodeError as error:
        raise ProKDError(
            f"{where}: half a surrogate pair ({error.object[error.start]!a}), which is no character. "
            f"Correct the escape in the text."
        ) from None


def _read_spans(data: dict[str, Any], where: str) -> list[tuple[int, int, str]] | None:
    found = [data[key] for key in _SPAN_KEYS if data.get(key) is not None]
    if not found:
        return None
    spans = next(filter(None, found), [])
    if not isinstance(spans, list):
        raise ProKDError(f"{where}: spans must be a list, found {spans!r}.")
    return [_read_span(span, where) for span in spans]


def _read_span(span: Any, where: str) -> tuple[int, int, str]:
    values = span
    if isinstance(span, dict):
        values = (
            span.get("start", span.get("start_offset")),
            span.get("end", span.get("end_offset")),
            span.get("label"),
        )
    if isinstance(values, (list, tuple)) and [type(value) for value in values] == [int, int, str] and values[2].strip():
        return values[0], values[1], values[2].strip()
    raise ProKDError(f"{where}: {json.dumps(span)[:120]} is no span. Write {_SPAN_EXAMPLE}, offsets in characters.")


def _read_tags(data: dict[str, Any], words: list[str], where: str) -> list[str] | None:
    tags = next((data[key] for key in _TAG_KEYS if data.get(key) is not None), None)
    if tags is None:
        return None
    if not isinstance(tags, list) or len(tags) != len(words):
        raise ProKDError(f"{where}: {len(words)} tokens need a list of as many tags, found {json.dumps(tags)[:120]}.")
    if any(isinstance(tag, int) for tag in tags):
        raise ProKDError(
            f"{where}: the tags are numbers, whose names are in the data set and not in this file. Before you export, "
            f"look them up: `names = ds.features['ner_tags'].feature.names`, `tags = [names[i] for i in ner_tags]`."
        )
    if not all(isinstance(tag, str) for tag in tags):
        raise ProKDError(f'{where}: tags must be strings such as "B-PER", found {json.dumps(tags)[:120]}.')
    return tags
