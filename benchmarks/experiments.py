"""The paper's tables and ours: `python benchmarks/experiments.py run`, then `table`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from experiment_matrix import Cell, cells, read_matrix
from experiment_steps import PROJECT, Step, StepMaker, run_steps
from experiment_tables import make_table, place_of, read_result, read_results, summarise
from machine import cpu_name
from rich.console import Console

from spacy_prokd.errors import ProKDError
from spacy_prokd.progress import progress_bar

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Run a matrix of experiments and tabulate them.")

HERE = Path(__file__).parent
Results = Annotated[Path, typer.Option(help="File of results, a line each")]
RESULTS = HERE / "results" / "experiments.jsonl"


@app.command()
def run(
    matrix: Annotated[Path, typer.Argument(help="TOML file: corpora, variants, and which of them to run")] = HERE
    / "experiments.toml",
    results: Results = RESULTS,
    work: Annotated[Path, typer.Option(help="Folder for what the steps write; steps in it are not run again")] = PROJECT
    / "training"
    / "experiments",
    jobs: Annotated[int, typer.Option(min=1, help="Steps at a time, which share the cores")] = 1,
    gpu_id: Annotated[int, typer.Option(help="GPU to use; -1 for the CPU")] = -1,
) -> None:
    """Run the cells that have no result yet; stop it whenever you like, and start it again."""
    console = Console()
    try:
        finished = {_identity(result) for result in read_results(results)}
        maker = StepMaker(work, gpu_id)
        to_run = [
            (cell, maker.last_step(cell))
            for cell in cells(read_matrix(matrix))
            if _identity(cell.describe()) not in finished
        ]
    except ProKDError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    ending: dict[Step, list[Cell]] = {}
    for cell, last in to_run:
        ending.setdefault(last, []).append(cell)
    with progress_bar() as progress:
        task = progress.add_task("Experiments", total=len(to_run))
        for step, error in run_steps(ending, jobs, _made_by(gpu_id)):
            if error is None and step.name in ("teacher", "label", "student"):
                console.print(f"{step.name} took {step.record()['seconds']:,.0f} s ({step.folder.name})")
            for cell in ending.get(step, ()):
                if error is None or not error.killed:
                    result = {**cell.describe(), "failed": str(error)} if error else read_result(cell, step)
                    with results.open("a", encoding="utf8") as file:
                        file.write(json.dumps(result, ensure_ascii=False) + "\n")
                said = error or f"{100 * result['entity_f1']:.2f}"
                named = f"{cell.corpus_name}/{cell.target} {cell.variant_name}, seed {cell.seed}"
                console.print(f"{named}: {said}", markup=False)
                progress.advance(task)


@app.command()
def table(
    results: Results = RESULTS,
    baseline: Annotated[str, typer.Option(help="Variant that the others are compared with")] = "zero-shot",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table")] = False,
) -> None:
    """Entity F1 of each variant on each target, mean and standard deviation over seeds; gains by paired bootstrap."""
    try:
        rows = summarise(read_results(results), baseline)
    except ProKDError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        Console(width=200).print(make_table(rows, baseline))


def _identity(result: Mapping[str, Any]) -> str:
    """Of the cell that a result is of, or the description of one."""
    return json.dumps([place_of(result), result["settings"]])


def _made_by(gpu_id: int) -> dict[str, str]:
    """The code and the machine, either of which may round otherwise."""
    return {"commit": _find_commit(), "processor": cpu_name() if gpu_id < 0 else torch.cuda.get_device_name(gpu_id)}


def _find_commit() -> str:
    """The commit of the project, with a mark if files differ from it."""
    git = ["git", "-C", str(PROJECT)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")


if __name__ == "__main__":
    app()
