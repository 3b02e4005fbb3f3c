"""`train`: spaCy's own command, so that errors of ours end it as they end our other commands."""

from __future__ import annotations

from collections.abc import Sequence

from spacy.cli import app
from typer.main import get_command


def train(arguments: Sequence[str]) -> None:
    """Run `spacy train`.

    arguments (Sequence[str]): What it is called with: a config, its options, settings of the config.
    RAISES (ProKDError): If training cannot go on.
    RAISES (SystemExit): With 1, after spaCy said what is wrong with the config or a path.
    RAISES (KeyboardInterrupt): After Ctrl-C. spaCy has saved what it has trained until then.
    """
    commands = get_command(app)
    with commands.make_context("spacy-prokd", ["train", *arguments]) as context:  # called, they would end Ctrl-C with 0
        commands.invoke(context)
