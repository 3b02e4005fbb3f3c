"""griffe extension: docstrings of this project (`name (type): meaning`, RETURNS, RAISES) as those of Google's style."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

PARAMETER = re.compile(r"\w+ \(.+?\): ")
SECTION = re.compile(r"(RETURNS|YIELDS|RAISES) \((.+?)\): (.*)", re.DOTALL)


class Sections(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite that of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = to_google(obj.docstring.value)


def to_google(docstring: str) -> str:
    """The same docstring with headings that griffe knows."""
    items = re.split(r"\n(?=\S)", docstring)  # continued lines are indented
    lines: list[str] = []
    in_parameters = False
    for item in items:
        section = SECTION.fullmatch(item)
        is_parameter = section is None and PARAMETER.match(item) is not None
        if is_parameter and not in_parameters:
            lines.append("\nArgs:")
        in_parameters = is_parameter
        if section is not None:
            name, type_, meaning = section.groups()
            lines.append(f"\n{name.capitalize()}:\n    {type_}: {meaning}")
        else:
            lines.append(textwrap.indent(item, "    ") if is_parameter else item)
    return "\n".join(lines)
