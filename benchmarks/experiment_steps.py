"""What a cell runs: the commands of project.yml, with folders of their own and a variant's settings added."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from experiment_matrix import Cell, Corpus, Overrides
from weasel.util import load_project_config

PROJECT = Path(__file__).parents[1]
RECORD = "step.json"


class StepError(Exception):
    """A command failed; the message is the last line that it printed.

    killed (bool): It was stopped from outside, which says nothing of the cells that need it.
    """

    def __init__(self, message: str, killed: bool = False) -> None:
        super().__init__(message)
        self.killed = killed


@dataclass(frozen=True)
class Step:
    """Commands that fill one folder. Steps of the same commands are one, whichever cells need them.

    name (str): Of the command in project.yml.
    folder (Path): What it fills, whole or not at all.
    commands (tuple[tuple[str, ...], ...]): Arguments after `python`; "{output}" is the folder.
    needs (tuple[Step, ...]): Whose folders it reads.
    """

    name: str
    folder: Path
    commands: tuple[tuple[str, ...], ...]
    needs: tuple[Step, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the folder is there."""
        return self.folder.is_dir()

    def record(self) -> dict[str, Any]:
        """Commit, processor, seconds and highest resident megabytes of a done step."""
        return json.loads((self.folder / RECORD).read_text(encoding="utf8"))

    def before(self) -> Iterator[Step]:
        """All steps that it stands on, and itself."""
        for need in self.needs:
            yield from need.before()
        yield self


class StepMaker:
    """Makes the steps of cells.

    work (Path): Folder for what they write.
    gpu_id (int): -1 for the CPU.
    """

    def __init__(self, work: Path, gpu_id: int = -1) -> None:
        self.work = work.resolve()
        self.gpu_id = gpu_id

    def last_step(self, cell: Cell) -> Step:
        """A cell's evaluation. Unless it is aligned, a teacher is the same for all targets of a corpus."""
        variant, corpus = cell.variant, cell.corpus
        encoder = self._make(cell, "encoder", {f"encoders/{cell.encoder}": "{output}"})
        converted = self._convert(cell)
        own = cell if variant.aligned else cell._replace(target=corpus.targets[0])
        teachers = [
            self._teacher(of_source._replace(seed=cell.seed + 10 * i), encoder, self._convert(of_source))
            for source in (corpus.source, *variant.more_sources)
            for of_source in [own._replace(corpus=corpus.model_copy(update={"source": source}))]
            for i in range(variant.teachers)
        ]
        settings = variant.student
        if settings is not False:
            for _ in range(variant.rounds):
                teachers = [self._student(cell, settings, encoder, converted, teachers)]
                settings = {**settings, "initialize.components.prokd_ner.layers": "null"}
        return self._evaluate(cell, converted, teachers[0])

    def _convert(self, cell: Cell) -> Step:
        return self._make(cell, "convert", {f"corpus/{cell.target}": "{output}"})

    def _teacher(self, cell: Cell, encoder: Step, corpus: Step) -> Step:
        paths = self._paths(cell, encoder=encoder, corpus=corpus) | {f"training/{cell.target}/teacher": "{output}"}
        settings = dict(cell.variant.teacher)
        if cell.variant.aligned:
            settings["paths.target"] = str(corpus.folder / cell.target / "train.spacy")
        return self._make(cell, "teacher", paths, (encoder, corpus), _arguments(settings))

    def _student(self, cell: Cell, settings: Overrides, encoder: Step, corpus: Step, teachers: list[Step]) -> Step:
        paths = self._paths(cell, encoder=encoder, corpus=corpus, teacher=teachers[0])
        more = [str(teacher.folder / "model-last") for teacher in teachers[1:]]
        soft = self._make(
            cell, "label", paths | {f"training/{cell.target}/soft": "{output}"}, (corpus, *teachers), more
        )
        paths |= {f"training/{cell.target}/soft": str(soft.folder), f"training/{cell.target}/student": "{output}"}
        return self._make(cell, "student", paths, (encoder, corpus, teachers[0], soft), _arguments(settings))

    def _evaluate(self, cell: Cell, corpus: Step, pipeline: Step) -> Step:
        """The project scores the teacher first; here the pipeline takes its place."""
        paths = self._paths(cell, corpus=corpus, teacher=pipeline) | {f"metrics/{cell.target}": "{output}"}
        return self._make(
            cell, "evaluate", paths, (corpus, pipeline), ["--tagged", "{output}/tagged.spacy"], first_only=True
        )

    def _paths(self, cell: Cell, **steps: Step) -> dict[str, str]:
        """The project's own folders, and those that stand for them."""
        names = {
            "encoder": f"encoders/{cell.encoder}",
            "corpus": f"corpus/{cell.target}",
            "teacher": f"training/{cell.target}/teacher",
        }
        return {names[name]: str(step.folder) for name, step in steps.items()}

    def _make(
        self,
        cell: Cell,
        name: str,
        paths: Mapping[str, str],
        needs: tuple[Step, ...] = (),
        more: Iterable[str] = (),
        first_only: bool = False,
    ) -> Step:
        scripts = _read_project(cell.corpus, cell.target, cell.encoder, cell.seed, self.gpu_id)[name]
        commands = tuple(
            tuple(_replace(argument, paths) for argument in shlex.split(script)[1:]) + tuple(more)
            for script in (scripts[:1] if first_only else scripts)
        )
        told = json.dumps(commands).replace(str(self.work), "")
        key = hashlib.sha256(told.encode()).hexdigest()[:12]
        return Step(name, self.work / f"{name}-{key}", commands, needs)


@cache
def _read_project(corpus: Corpus, target: str, encoder: str, seed: int, gpu_id: int) -> dict[str, list[str]]:
    variables = {
        "corpus_dir": str(corpus.folder),
        "source_lang": corpus.source,
        "target_lang": target,
        "encoder": encoder,
        "gpu_id": gpu_id,
        "seed": seed,
    }
    config = load_project_config(PROJECT, overrides={f"vars.{name}": value for name, value in variables.items()})
    return {command["name"]: command["script"] for command in config["commands"]}


def _replace(argument: str, paths: Mapping[str, str]) -> str:
    for path, stands_for in paths.items():
        if argument == path or argument.startswith(f"{path}/"):
            return stands_for + argument[len(path) :]
    return argument


def _arguments(settings: Overrides) -> list[str]:
    return [
        part
        for name, value in settings.items()
        for part in (f"--{name}", value if isinstance(value, str) else json.dumps(value))
    ]


def run_step(step: Step, made_by: Mapping[str, str], threads: int | None) -> None:
    """Run a step's commands and give its folder its name; what a stopped one left is used by those that can.

    made_by (Mapping[str, str]): What its record says of code and machine.
    threads (int | None): Of torch, where several steps share the processor.
    RAISES (StepError): If a command fails.
    """
    partial = step.folder.with_name(step.folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    log = step.folder.with_suffix(".log")
    # unbuffered, so that the last line of the log is what was printed last
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    start, peak = time.perf_counter(), 0.0
    with log.open("w", encoding="utf8") as output:
        for command in step.commands:
            arguments = [part.replace("{output}", str(partial)) for part in command]
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peak = max(peak, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)
            if process.returncode:
                output.flush()
                killed = process.returncode < 0
                said = f"stopped by signal {-process.returncode}" if killed else _last_line(log)
                raise StepError(f"{step.name}: {said} ({log})", killed)
    seconds = round(time.perf_counter() - start, 1)
    record = {**made_by, "seconds": seconds, "peak_megabytes": round(peak), "threads": threads}
    (partial / RECORD).write_text(json.dumps(record), encoding="utf8")
    partial.rename(step.folder)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf8").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def run_steps(steps: Iterable[Step], jobs: int, made_by: Mapping[str, str]) -> Iterator[tuple[Step, StepError | None]]:
    """Run what is not done yet, some at a time, each after those that it needs.

    jobs (int): How many at a time. Two of one thread each do more than one of two.
    made_by (Mapping[str, str]): What records say of code and machine.
    YIELDS (tuple[Step, StepError | None]): Each step as it ends, done ones first, with the error if it or one that it
        needs failed.
    """
    waiting = list(dict.fromkeys(each for step in steps for each in step.before()))
    ended: dict[Step, StepError | None] = {}
    running: dict[Future[None], Step] = {}
    threads = None if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            for step in list(waiting):
                errors = [ended[need] for need in step.needs if ended.get(need)]
                if step.done or errors:
                    waiting.remove(step)
                    ended[step] = errors[0] if errors else None
                    yield step, ended[step]
                elif len(running) < jobs and all(need in ended for need in step.needs):
                    waiting.remove(step)
                    running[pool.submit(run_step, step, made_by, threads)] = step
            if running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    step = running.pop(future)
                    error = future.exception()
                    if error is not None and not isinstance(error, StepError):
                        raise error
                    ended[step] = error
                    yield step, ended[step]
