"""The README of a packaged pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader

from ..corpus.joined import describe_target
from ..languages import name_language


def render_model_card(meta: Mapping[str, Any]) -> str:
    """Write a pipeline's model card from its meta.

    meta (Mapping[str, Any]): spaCy's meta with the key `spacy_prokd`, as `packaging.package` fills it.
    RETURNS (str): Markdown.
    """
    templates = Environment(loader=PackageLoader("spacy_prokd.reporting"), trim_blocks=True, keep_trailing_newline=True)
    name = f"{meta['lang']}_{meta['name']}"
    template = templates.get_template("model_card.md")
    facts = meta["spacy_prokd"]
    names = {
        "source": name_language(facts["source_lang"]),
        "target": describe_target(facts["target_lang"], name_language),
    }
    as_they_are = {key: meta[key] for key in ("version", "pipeline", "requirements")}
    text = json.dumps(facts["sentence"], ensure_ascii=False)  # quoted as Python quotes it, too
    return template.render(package=name, text=text, **as_they_are, **names, **facts).lstrip()
