"""How a command ends that cannot go on: with a paragraph for people, and an exit code."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from click import ClickException
from safetensors import SafetensorError
from typer.core import TyperGroup

from .errors import ProKDError


class Commands(TyperGroup):
    """Commands that say in a paragraph what is wrong with their input, without a traceback."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Read what stands before the command; of an option of the command, the error says where that stands."""
        name = next((arg for arg in args if arg in self.commands), None)
        options = _options_of(self.commands[name]) if name else []
        with _saying_where(options, lambda option: f"behind the command: {ctx.info_name} {name} ... {option}"):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> Any:
        """Run a command.

        RAISES (typer.Exit): With 1 after an error that was said, with 2 after a wrong option of spaCy's commands, with
            130 after Ctrl-C.
        """

        def before_it(option: str) -> str:
            return f"before the command: {ctx.info_name} {option} {ctx.invoked_subcommand} ..."

        try:
            with _saying_where(_options_of(self), before_it):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.secho(f"Stopped. {_tell_of_output(ctx)}", err=True)
            raise typer.Exit(130) from None
        except ClickException as error:  # click's, not typer's copy of it, which typer shows with the usage
            if ctx.params["debug"]:
                raise
            _say(error.format_message())
            raise typer.Exit(error.exit_code) from None
        except (ProKDError, OSError, SafetensorError) as error:  # the last where a disk is full
            # A closed pipe (EPIPE) is no error of the input: typer ends quietly.
            if ctx.params["debug"] or (isinstance(error, OSError) and error.errno in (None, errno.EPIPE)):
                raise
            _say(str(error) if isinstance(error, ProKDError) else f"{_describe(error)}. {_tell_of_output(ctx)}")
            raise typer.Exit(1) from None


def _options_of(command: Any) -> list[str]:
    """The names of a command's options."""
    return [name for param in command.params if param.param_type_name == "option" for name in param.opts]


@contextmanager
def _saying_where(options: Sequence[str], place: Callable[[str], str]) -> Iterator[None]:
    """Of an option that is not known here but elsewhere, let the error say where it stands."""
    try:
        yield
    except Exception as error:  # NoSuchOption, of click or typer's copy of it, has the option's name
        option = getattr(error, "option_name", None)
        if option in options:
            error.message, error.possibilities = f"{option} stands {place(option)}", None
        raise


def _say(message: str) -> None:
    typer.secho(f"Error: {message}", fg=typer.colors.RED, err=True)


def _describe(error: OSError | SafetensorError) -> str:
    if isinstance(error, SafetensorError):
        return str(error)
    name = error.filename2 or error.filename  # of two, the first is the temporary one that was to become the second
    return f"{error.strerror}: {name}" if name else str(error.strerror)


def _tell_of_output(ctx: typer.Context) -> str:
    """What a command that was stopped leaves behind; spaCy's training saves as it goes, and once more when it stops."""
    if ctx.invoked_subcommand in ("train", "targets"):
        return "A pipeline that it was training is not trained to the end, or not whole: run it again."
    return "No output was left half-written."
