"""What commands are given, checked: the label map, the GPU, and the languages of a pipeline."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from .errors import ProKDError

_PLAIN_LABEL = re.compile(r"[^\W\d][\w-]*")


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


def write_label_map(label_map: Mapping[str, str | None]) -> str:
    """Write a label map so that `parse_label_map` reads it, wherever a variable of project.yml takes it on the way.

    spaCy puts variables into JSON as they are, and the script has single quotes around this one. So what is no plain
    word is in JSON's quotes, which are escaped once more, and neither an apostrophe nor a dollar sign is left.
    """
    entries = (f"{_write_label(label)}: {_write_label(mapped)}" for label, mapped in label_map.items())
    return json.dumps(f"{{{', '.join(entries)}}}", ensure_ascii=False)[1:-1]


def _write_label(label: str | None) -> str:
    import srsly

    if label is None:
        return "null"
    if _PLAIN_LABEL.fullmatch(label) and srsly.yaml_loads(label) == label:  # and not "true"
        return label
    return json.dumps(label, ensure_ascii=False).replace("'", r"\u0027").replace("$", r"\u0024")


def without_quotes(argument: str) -> str:
    """An argument of a command in project.yml, whose single quotes Weasel leaves on where it runs on Windows."""
    is_quoted = len(argument) > 1 and argument[0] == argument[-1] == "'"
    return argument[1:-1] if is_quoted else argument


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


def find_languages(pipeline: Path, source_lang: str | None, target_lang: str | None) -> tuple[str, str]:
    """The languages of a trained pipeline: those that are given, else those that its meta says it was trained for.

    pipeline (Path): The saved pipeline, in whose meta `spacy-prokd.describe.v1` wrote them.
    source_lang (str | None): The language with labels.
    target_lang (str | None): The language without.
    RETURNS (tuple[str, str]): Both.
    RAISES (ProKDError): If the pipeline is asked and there is none, or it does not say.
    """
    if source_lang is None or target_lang is None:
        about = _read_about(pipeline)
        source_lang = source_lang or about.get("source_lang")
        target_lang = target_lang or about.get("target_lang")
    if not (source_lang and target_lang):
        raise ProKDError(
            f"{pipeline} does not say for which languages it was trained. Name them: --source-lang and --target-lang."
        )
    return source_lang, target_lang


def expect_pipeline(pipeline: Path) -> None:
    """See that there is a saved pipeline.

    pipeline (Path): Where it should be, such as `training/nl/student/model-last`.
    RAISES (ProKDError): If it is not, with the folders of languages that have one, such as `training/nl`.
    """
    if (pipeline / "meta.json").is_file():
        return
    training = pipeline.parent.parent
    place = pipeline.relative_to(training)
    found = [str(folder) for folder in sorted(training.glob("*")) if (folder / place / "meta.json").is_file()]
    if found:
        raise ProKDError(f"{pipeline} is no saved pipeline. Did you mean {' or '.join(found)} in place of {training}?")
    raise ProKDError(f"{pipeline} is no saved pipeline. `python -m spacy project run student` makes one.")


def _read_about(pipeline: Path) -> dict[str, str]:
    """What the meta of a saved pipeline says of its training."""
    import srsly

    expect_pipeline(pipeline)
    meta = pipeline / "meta.json"
    try:
        return srsly.read_json(meta).get("spacy_prokd", {})
    except ValueError:
        raise ProKDError(f"{meta} is damaged. Run `python -m spacy project run student --force` again.") from None
