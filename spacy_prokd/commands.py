"""How a command ends that cannot go on: with a paragraph for people, and an exit code."""

from __future__ import annotations

import errno
from typing import Any

import typer
from click import ClickException
from typer.core import TyperGroup

from .errors import ProKDError


class Commands(TyperGroup):
    """Commands that say in a paragraph what is wrong with their input, without a traceback."""

    def invoke(self, ctx: typer.Context) -> Any:
        """Run a command.

        RAISES (typer.Exit): With 1 after an error that was said, with 2 after a wrong option of spaCy's commands, with
            130 after Ctrl-C.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.secho("Stopped. No output was left half-written.", err=True)
            raise typer.Exit(130) from None
        except ClickException as error:  # click's, not typer's copy of it, which typer shows with the usage
            if ctx.params["debug"]:
                raise
            _say(error.format_message())
            raise typer.Exit(error.exit_code) from None
        except (ProKDError, OSError) as error:
            # A closed pipe (EPIPE) is no error of the input: typer ends quietly.
            if ctx.params["debug"] or (isinstance(error, OSError) and error.errno in (None, errno.EPIPE)):
                raise
            _say(_describe(error))
            raise typer.Exit(1) from None


def _say(message: str) -> None:
    typer.secho(f"Error: {message}", fg=typer.colors.RED, err=True)


def _describe(error: ProKDError | OSError) -> str:
    if isinstance(error, ProKDError):
        return str(error)
    name = error.filename2 or error.filename  # of two, the first is the temporary one that was to become the second
    what = f"{error.strerror}: {name}" if name else error.strerror
    return f"{what}. No output was left half-written."
