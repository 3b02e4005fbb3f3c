"""Starts the page: on this machine alone, and without telling anybody."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

from click import Abort

from ..errors import ProKDError
from .reading import load

_SETTINGS = {
    "server.address": "localhost",
    "server.showEmailPrompt": "false",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "runner.postScriptGC": "false",  # of all that spaCy and torch hold, half a second for each step of the slider
    "logger.hideWelcomeMessage": "true",
    "logger.level": "warning",  # "Uvicorn server started" says again what we say
}


def serve(pipeline: str, teacher: str | None, port: int) -> None:
    """Show the page until Ctrl-C. Streamlit opens a browser where there is a display.

    pipeline (str): A saved pipeline's folder, or the name of an installed one.
    teacher (str | None): Another one to show beside it.
    RAISES (ProKDError): If Streamlit is not installed, a pipeline cannot be loaded or the port cannot be used.
    """
    try:
        from streamlit.web.cli import main as run_streamlit
    except ImportError:
        raise ProKDError(
            'The page needs Streamlit, which is not installed. Run `pip install "spacy-prokd[demo]"`.'
        ) from None
    _expect_free(port)
    names = [pipeline] if teacher is None else [pipeline, teacher]
    for name in names:
        load(name)  # what is wrong with it is said here, and the page, in this process, has it already
    print(f"The page is at http://localhost:{port}. Ctrl-C ends it.", flush=True)
    settings = [f"--{name}={value}" for name, value in {**_SETTINGS, "server.port": port}.items()]
    app = Path(__file__).with_name("app.py")
    with suppress(Abort):  # Ctrl-C before the page is served
        run_streamlit(["run", str(app), *settings, "--", *names], standalone_mode=False)
    _leave_readings()


def _leave_readings() -> None:
    """End at once where a text is being read: Streamlit's threads are daemons, and Python's own end would abort in one
    that computes."""
    if any(thread.name == "ScriptRunner.scriptThread" for thread in threading.enumerate()):
        os._exit(0)


def _expect_free(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise ProKDError(f"Port {port} cannot be used: {os.strerror(error.errno)}. Name another with --port.") from None
