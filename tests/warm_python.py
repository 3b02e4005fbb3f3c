"""A Python that has imported torch, spaCy and spacy_prokd already, which takes a command seconds: `python` on the PATH
of a shell hands what is to be run to a server, and that forks a process for it.

Only what imports them goes there; anything else, such as `python -m pip`, is for the Python that the tests run in.
"""

from __future__ import annotations

import json
import os
import socket
import sys

OVERRIDES = "SPACY_CONFIG_OVERRIDES"


def call(name: str, arguments: list[str]) -> int:
    """Have a command run in this folder, with this environment, and with what is open here as its streams.

    name (str): The `python` that was called; the server's socket lies beside it.
    arguments (list[str]): What it was called with.
    RETURNS (int): The exit code.
    """
    if arguments[:1] != ["-c"] and arguments[:2] not in (["-m", "spacy"], ["-m", "spacy_prokd"]):
        os.execv(sys.executable, [sys.executable, *arguments])
    command = {"name": name, "arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.path.join(os.path.dirname(name), "socket"))
        socket.send_fds(connection, [b"."], [0, 1, 2])
        connection.sendall(json.dumps(command).encode())
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(1)[0]


def serve(listener: socket.socket, encoder: str, settings: list[str]) -> None:
    """Run what comes in, each command in a process of its own, until this one is ended.

    listener (socket.socket): What `call` connects to.
    encoder (str): Folder of what stands in for the bundled encoder.
    settings (list[str]): What each training is told in the end.
    """
    import gc

    import_all(encoder)
    gc.freeze()
    while True:
        connection, _address = listener.accept()
        if os.fork() == 0:
            break
        connection.close()
    listener.close()
    _byte, streams, *_ = socket.recv_fds(connection, 1, 3)
    for i, stream in enumerate(streams):
        os.dup2(stream, i)
        os.close(stream)
    command = json.load(connection.makefile())
    if command["arguments"][2:3] == ["train"]:
        command["environment"][OVERRIDES] = " ".join([command["environment"].get(OVERRIDES, ""), *settings])
    code = run(**command)
    sys.stdout.flush()
    connection.sendall(bytes([code]))
    os._exit(code)  # an orderly exit takes half a second, to forget what was imported


def import_all(encoder: str) -> None:
    """Import what the commands need, the bundled encoder being another one."""
    import importlib
    import shutil
    from pathlib import Path
    from unittest.mock import patch

    with patch("pathlib.Path.cwd", Path):  # `spacy project` keeps the folder in which it was imported
        import spacy
    spacy.blank("xx").add_pipe("prokd_ner")  # imports all that is registered
    for module in ("openTSNE", "seqeval.metrics", "matplotlib.pyplot"):
        importlib.import_module(module)
    importlib.import_module("transformers").AutoModel.from_pretrained(encoder)  # imports all kinds of models
    bundled_encoder = importlib.import_module("spacy_prokd.bundled_encoder")
    bundled_encoder.build_bundled_encoder = lambda folder: shutil.copytree(encoder, folder, dirs_exist_ok=True)


def run(name: str, arguments: list[str], folder: str, environment: dict[str, str]) -> int:
    """Do what Python does with such arguments, and give the exit code."""
    import runpy
    import traceback

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.executable = name  # what a command calls in turn is warm, too
    sys.path[:1] = ["", *environment["PYTHONPATH"].split(os.pathsep)]
    option, program, *rest = arguments
    sys.argv = [option, *rest]
    try:
        if option == "-c":
            exec(program, {"__name__": "__main__"})
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3], sys.argv[4:])
    else:
        sys.exit(call(sys.argv[1], sys.argv[2:]))
