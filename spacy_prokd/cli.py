"""The command line: each command is a thin call of one function elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from . import __version__
from .arguments import find_languages, parse_label_map, use_gpu, without_quotes
from .commands import Commands
from .errors import ProKDError
from .results import show, size_table, written
from .wording import counted

SourceLang = Annotated[str, typer.Option(help="Language with labels")]
TargetLang = Annotated[str, typer.Option(help="Language without labels; nl+sv for two")]
StudentSource = Annotated[Optional[str], typer.Option(help="Language with labels; else as the student says")]
StudentTarget = Annotated[Optional[str], typer.Option(help="Language without; else as the student says")]
Pipeline = Annotated[str, typer.Argument(help="Trained pipeline: its folder, or its name if it is installed")]
PipelineLang = Annotated[
    str, typer.Option(help="spaCy's code of the language whose rules cut raw target text into words; xx for any")
]
LabelMapText = Annotated[str, typer.Option("--labels", help="Label map, e.g. '{LOCATION: LOC, MISC: null}'")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines")]
GpuId = Annotated[int, typer.Option(help="GPU to use; -1 for the CPU")]

# the headings of `--help`
PROJECT, STEP, TRAINED, HELP = "A project of your own", "Steps of project.yml", "With a trained pipeline", "Help"

app = typer.Typer(
    name="spacy-prokd",
    cls=Commands,
    help="Named entity recognition for languages that have no labels.",
    epilog="Start with your own files: spacy-prokd init --help",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def command(heading: str, example: str = "", **settings: Any) -> Callable[[Callable], Callable]:
    """Add a command to the command line, under a heading and with a call of it as an example."""
    return app.command(
        rich_help_panel=heading, epilog=f"Example: spacy-prokd {example}" if example else None, **settings
    )


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of all commands; `Commands` looks at them."""


def main() -> None:
    """Run the command line."""
    app([without_quotes(argument) for argument in sys.argv[1:]] if os.name == "nt" else None)


@command(PROJECT, "init my-project --source my_en.jsonl --target my_nl.txt --target-lang nl")
def init(
    project: Annotated[Path, typer.Argument(help="Folder to make")],
    source: Annotated[
        Path, typer.Option(help="Labelled texts: .jsonl, .tsv, .conll, ..., or hf://datasets/OWNER/NAME")
    ],
    target: Annotated[
        list[Path],
        typer.Option(help="Texts of the target language (.txt or any other format); again for each further one"),
    ],
    target_lang: Annotated[list[str], typer.Option(help="Language without labels, e.g. nl; one for each --target")],
    source_lang: SourceLang = "en",
    source_dev: Annotated[
        Optional[Path], typer.Option(help="Labelled texts to see by how training goes; else a tenth is held out")
    ] = None,
    target_test: Annotated[
        Optional[list[Path]], typer.Option(help="Labelled texts of the target, only to score on")
    ] = None,
    target_labelled: Annotated[
        Optional[list[Path]], typer.Option(help="A few labelled texts of the target to learn from, if you have any")
    ] = None,
    pipeline_lang: PipelineLang = "xx",
    labels: LabelMapText = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files and write nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a project from your own files, or data sets of the hub: checked, copied, and ready to run."""
    from dataclasses import asdict

    from .project import Files, make_project, pair_targets

    report = make_project(
        project,
        Files(source_lang, source, source_dev),
        pair_targets(target_lang, target, target_test or [], target_labelled or []),
        pipeline_lang=pipeline_lang,
        label_map=parse_label_map(labels),
        dry_run=dry_run,
    )
    if dry_run:
        next_step = "Nothing was written. Without --dry-run, the project is made."
    else:
        next_step = f"\nThe project is in {project}. Now train, score and package:\n\n  cd {project}\n"
        if len(target_lang) == 1:
            next_step += "  python -m spacy project run all"
        else:
            next_step += (
                f"  python -m spacy_prokd targets {' '.join(target_lang)}\n"
                "\nor, for one pipeline that knows all of them,\n\n"
                f"  python -m spacy_prokd targets {'+'.join(target_lang)}"
            )
    show(asdict(report), as_json, report, next_step)


@command(STEP, "assets my_corpus corpus/nl/files.json --target-lang nl")
def assets(
    corpus_dir: Annotated[Path, typer.Argument(help="Folder with <lang>/{train,dev,test}.<ext>")],
    output: Annotated[Path, typer.Argument(help="JSON file to write: the files and their checksums")],
    source_lang: SourceLang = "en",
    target_lang: TargetLang = "de",
    gpu_id: GpuId = -1,
    as_json: AsJson = False,
) -> None:
    """Check that the corpus folder has what is needed, and the machine its GPU, before anything takes time."""
    from .corpus.convert import list_corpus

    use_gpu(gpu_id)
    found = list_corpus(corpus_dir, source_lang, target_lang, output)
    show(found, as_json, size_table({path: facts["bytes"] for path, facts in found.items()}))


@command(STEP, "convert my_corpus corpus/nl --target-lang nl")
def convert(
    corpus_dir: Annotated[Path, typer.Argument(help="Folder with <lang>/{train,dev,test}.<ext>")],
    output: Annotated[Path, typer.Argument(help="Folder for <lang>/*.spacy")],
    source_lang: SourceLang = "en",
    target_lang: TargetLang = "de",
    pipeline_lang: PipelineLang = "xx",
    labels: LabelMapText = "",
    as_json: AsJson = False,
) -> None:
    """Read a corpus in any usual format and write DocBins; labels of the target's training text are dropped."""
    from dataclasses import asdict

    from .corpus.convert import convert_corpus
    from .tokenizer import blank

    label_map, nlp = parse_label_map(labels), blank(pipeline_lang)
    report = convert_corpus(corpus_dir, source_lang, target_lang, output, label_map=label_map, nlp=nlp)
    show(asdict(report), as_json, report)


@command(STEP, "encoder multilingual-e5-small encoders/multilingual-e5-small")
def encoder(
    name: Annotated[str, typer.Argument(help="multilingual-e5-small (bundled), a hub name or a folder")],
    output: Annotated[Path, typer.Argument(help="Folder to write")],
    as_json: AsJson = False,
) -> None:
    """Write an encoder as a Hugging Face folder: the bundled one without a network, any other from the hub."""
    from .encoder_loading import fetch_encoder, is_on_hub

    if ".." in output.parts:  # what `--vars.encoder ../folder` makes of encoders/
        raise ProKDError(f"{output} leads out of its folder. Name a local encoder by its absolute path.")
    if is_on_hub(name):
        typer.echo(
            f"The Hugging Face hub is asked for {name}, which takes a while where there is no network.", err=True
        )
    fetch_encoder(name, output)
    show({"encoder": name, **written(output)}, as_json, f"Encoder {name} is in {output}")


@command(
    STEP,
    "train configs/hash_embed.cfg --output trained --paths.train corpus/de/en/train.spacy --training.max_steps 500",
    context_settings={"ignore_unknown_options": True},
)
def train(
    arguments: Annotated[
        list[str],
        typer.Argument(help="A config, and what `spacy train` takes: --output, --gpu-id, settings of the config"),
    ],
) -> None:
    """Train a pipeline by a config: spaCy's command `train`, but an error of ours is a paragraph."""
    from .spacy_train import train

    train(arguments)


@command(STEP, "label corpus/nl/nl/train.spacy training/nl/soft training/nl/teacher/model-last")
def label(
    corpus: Annotated[Path, typer.Argument(help=".spacy file of target text")],
    output: Annotated[Path, typer.Argument(help="Folder to write: what the student trains on")],
    teachers: Annotated[list[Path], typer.Argument(help="Trained teachers, one or more: their mean is stored")],
    batch_size: Annotated[int, typer.Option(min=1, help="Texts a batch")] = 256,
    vectors: Annotated[bool, typer.Option("--vectors", help="Store word vectors too, for vector_weight")] = False,
    openers: Annotated[bool, typer.Option(help="Leave words out of names that only open texts, as 'Photo:'")] = True,
    gpu_id: GpuId = -1,
    as_json: AsJson = False,
) -> None:
    """Store the teacher's probabilities with each text; a stopped run goes on where it was."""
    from .soft_labels import label_corpus

    use_gpu(gpu_id)
    labelled = label_corpus(teachers, corpus, output, batch_size=batch_size, vectors=vectors, openers=openers)
    said = [f"Labelled {counted(labelled.texts, 'text')} in {output}"]
    for word, n_texts in labelled.openers.items():
        said.append(
            f'{n_texts:,} texts begin with "{word}", which stands nowhere else: taken for no part of the names behind '
            "it. If it is part of them: --no-openers"
        )
    show({**labelled._asdict(), **written(output)}, as_json, *said)


@command(STEP, "evaluate training/nl/student/model-last corpus/nl metrics/nl/student.json --target-lang nl")
def evaluate(
    pipeline: Pipeline,
    data: Annotated[Path, typer.Argument(help="Labelled .spacy file, or the folder of the converted corpus")],
    output: Annotated[Path, typer.Argument(help="JSON file to write")],
    source_lang: SourceLang = "en",
    target_lang: TargetLang = "de",
    compare_with: Annotated[
        Optional[Path], typer.Option(help="JSON file of another evaluation, to show beside this one")
    ] = None,
    tagged: Annotated[
        Optional[Path],
        typer.Option(help=".spacy file to write: the texts as tagged, and plain ones if no target text has labels"),
    ] = None,
    prototypes: Annotated[
        Optional[Path], typer.Option(help=".spacy file to write: as the student's prototypes alone would tag them")
    ] = None,
    word_map: Annotated[Optional[Path], typer.Option(help="JSON file to write: t-SNE of both languages' words")] = None,
    gpu_id: GpuId = -1,
    as_json: AsJson = False,
) -> None:
    """Score a pipeline: entity-level and token-level, per type, cross-checked with seqeval."""
    from .evaluation import choose_data, compare, evaluate
    from .reporting.inputs import read_metrics
    from .word_map import write_word_map

    use_gpu(gpu_id)
    if word_map is not None and not data.is_dir():
        raise ProKDError(f"--word-map reads both languages, but {data} is no folder of a converted corpus.")
    metrics = {} if compare_with is None else {compare_with.stem: read_metrics(compare_with)}
    scored = choose_data(data, source_lang, target_lang) if data.is_dir() else [data]
    notes = [f"Scored on {', '.join(map(str, scored))}"] if data.is_dir() else []
    unlabelled = None
    if data.is_dir() and scored[0].parent == data / source_lang:
        notes.append(f"No text in {target_lang} has labels to score on: this says only that training went well.")
        unlabelled = data / target_lang / "train.spacy"
    metrics[output.stem] = evaluate(pipeline, scored, output, tagged, prototypes, unlabelled)
    if word_map is not None:
        write_word_map(pipeline, data, source_lang, target_lang, word_map)
    show(metrics[output.stem], as_json, *notes, compare(metrics))


@command(
    STEP,
    "package training/nl corpus/nl metrics/nl packages --name prokd_nl --version 0.1.0 --encoder multilingual-e5-small",
)
def package(
    training: Annotated[Path, typer.Argument(help="Folder with the trained student and teacher")],
    corpus: Annotated[Path, typer.Argument(help="Folder of the converted corpus")],
    metrics: Annotated[Path, typer.Argument(help="Folder with student.json and teacher.json")],
    output: Annotated[Path, typer.Argument(help="Folder for the package")],
    name: Annotated[str, typer.Option(help="Name of the package, e.g. prokd_nl")],
    version: Annotated[str, typer.Option(help="Version of the package, e.g. 0.1.0")],
    encoder: Annotated[str, typer.Option(help="Encoder the training started from")],
    source_lang: StudentSource = None,
    target_lang: StudentTarget = None,
    vocabulary_size: Annotated[
        int, typer.Option(min=0, help="Pieces of the vocabulary to keep; 0 for all, and weights as they were trained")
    ] = 120_000,  # all pieces of the Latin script in the vocabulary of the bundled encoder, and some
    as_json: AsJson = False,
) -> None:
    """Build a wheel from the student, with a model card; nothing in it can run code when it is loaded."""
    from .packaging import package

    student = training / "student" / "model-last"
    source_lang, target_lang = find_languages(student, source_lang, target_lang)
    wheel = package(
        student,
        output,
        name=name,
        version=version,
        encoder=encoder,
        source=corpus / source_lang,
        target=corpus / target_lang,
        metrics={role: metrics / f"{role}.json" for role in ("student", "teacher")},
        vocabulary_size=vocabulary_size,
    )
    facts = {"wheel": wheel.as_posix(), **written(wheel.parents[1])}
    show(facts, as_json, f"Built {wheel}\nInstall it with: python -m pip install {wheel}")


@command(TRAINED, "annotate training/nl/student/model-last my_nl.txt doubtful.jsonl --most 50")
def annotate(
    pipeline: Pipeline,
    texts: Annotated[Path, typer.Argument(help="Texts of the target language (.txt or any other format)")],
    output: Annotated[Path, typer.Argument(help=".jsonl file to write, as Prodigy reads it")],
    most: Annotated[int, typer.Option(min=0, help="How many texts to write; 0 for all")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write what a pipeline finds for people to correct, what it is least sure of first."""
    from .annotating import annotate

    n_texts = annotate(pipeline, texts, output, most)
    show(
        {"texts": n_texts, **written(output)},
        as_json,
        f"Wrote {counted(n_texts, 'text')} to {output}. What is corrected there is learned from as the file 'labelled' "
        f"beside the target's 'train', or in a new project by init --target-labelled {output}",
    )


@command(
    TRAINED,
    "calibrate training/nl/student/model-last corpus/nl/nl/test.spacy --output calibrated/student/model-last",
)
def calibrate(
    pipeline: Pipeline,
    corpus: Annotated[Path, typer.Argument(help="Labelled .spacy file, which is no longer one to report scores of")],
    output: Annotated[Path, typer.Option(help="Folder to write, in place of a pipeline that is there")],
    as_json: AsJson = False,
) -> None:
    """Make scores say what they are worth in some labelled text, which changes no entity."""
    from .calibration import FEW_ENTITIES, calibrate_pipeline

    is_there = output.is_dir() and any(output.iterdir())
    found = calibrate_pipeline(pipeline, corpus, output)
    (before, after), (was, became) = found.temperature.values(), found.ece.values()
    said = [
        f"Temperature of the scores: {before:.2f} before, {after:.2f} now. Of {found.entities:,} entities in {corpus} "
        f"they were {100 * was:.1f} points off (expected calibration error), and are {100 * became:.1f}."
    ]
    if found.entities < FEW_ENTITIES:
        said.append(
            f"These are few: from fewer than {FEW_ENTITIES}, a temperature may be off by half and more, and other "
            "texts would give another one."
        )
    where = f"The pipeline is in {output}" + (", in place of the one that was there" if is_there else "")
    show({**found._asdict(), **written(output)}, as_json, *said, where)


@command(TRAINED, "push packages/xx_prokd_nl-0.1.0 --repo USER/xx_prokd_nl --dry-run")
def push(
    folder: Annotated[Path, typer.Argument(help="Folder of the package: packages/<lang>_<name>-<version>")],
    repo: Annotated[str, typer.Option(help="Repository on the Hugging Face hub: USER/NAME")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files and upload nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Upload a package to the Hugging Face hub: wheel, pipeline and model card."""
    from .publishing import prepare_upload, push

    upload = prepare_upload(folder, repo)
    sizes = upload.sizes()
    url = None if dry_run else push(upload, private=private)
    facts = {"repo": upload.repo, "url": url, "wheel_url": upload.wheel_url, "files": sizes}
    uploaded = f"Uploaded to {url}\nInstall it with: pip install {upload.wheel_url}"
    nothing = "Nothing was uploaded. Without --dry-run, these files are."
    show(facts, as_json, size_table(sizes), nothing if dry_run else uploaded)


@command(STEP, "report training/nl metrics/nl reports/nl.html")
def report(
    training: Annotated[Path, typer.Argument(help="Folder with the trained student and teacher")],
    metrics: Annotated[Path, typer.Argument(help="Folder with student.json and teacher.json")],
    output: Annotated[Path, typer.Argument(help="HTML file to write")],
    teacher: Annotated[Optional[Path], typer.Option(help="Folder of the teacher, if it is not in there")] = None,
    source_lang: StudentSource = None,
    target_lang: StudentTarget = None,
    as_json: AsJson = False,
) -> None:
    """Make one page of scores, mistakes, words of both languages, learning curves and settings."""
    from .reporting import write_report

    roles = {"teacher": teacher or training / "teacher", "student": training / "student"}
    source_lang, target_lang = find_languages(training / "student" / "model-last", source_lang, target_lang)
    write_report(
        output,
        source_lang=source_lang,
        target_lang=target_lang,
        metrics={role: metrics / f"{role}.json" for role in roles},
        logs={role: folder / "log.jsonl" for role, folder in roles.items()},
        configs={role: folder / "model-last" / "config.cfg" for role, folder in roles.items()},
        tagged={role: metrics / f"{role}.spacy" for role in roles},
        prototypes=metrics / "prototypes.spacy",
        word_map=metrics / "words.json",
    )
    show(written(output), as_json, f"Report in {output}")


@command(PROJECT, "targets nl sv --vars.seed 1", context_settings={"ignore_unknown_options": True})
def targets(
    languages: Annotated[
        list[str],
        typer.Argument(
            help="Languages without labels; nl+sv is one pipeline for both. Behind them --vars.NAME VALUE, for all runs"
        ),
    ],
    project: Annotated[Path, typer.Option(help="Folder with project.yml")] = Path("."),
    as_json: AsJson = False,
) -> None:
    """Run a project for several targets: a teacher for all, or for each if it is aligned, a student, a package each."""
    import sys
    from itertools import takewhile

    from .targets import train_targets

    named = list(takewhile(lambda argument: not argument.startswith("-"), languages))
    if not named:
        raise ProKDError(f"No language is named before {languages[0]}.")
    said = sys.stderr if as_json else None
    scores = train_targets(project, named, languages[len(named) :], stdout=said)
    show(scores.metrics, as_json, scores)


@command(TRAINED, "demo training/nl/student/model-last --teacher training/nl/teacher/model-last")
def demo(
    pipeline: Pipeline,
    teacher: Annotated[Optional[str], typer.Option(help="Trained pipeline to show beside it")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page")] = 8501,
) -> None:
    """Open a page to try a pipeline on your own text; only this machine sees it."""
    from .demo.launch import serve

    serve(pipeline, teacher, port)


@command(HELP)
def info(as_json: AsJson = False) -> None:
    """Say what is installed and what the machine can do, for a bug report."""
    from rich.table import Table

    from .info import describe_installation

    facts = describe_installation()
    table = Table(show_header=False)
    for name, fact in facts.items():
        table.add_row(name, fact)
    show(facts, as_json, table)
