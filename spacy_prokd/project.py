"""A project of one's own, ready to run: its data, the configs and the workflow, checked before anything is written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .arguments import write_label_map
from .corpus.convert import FEW_SHOT, SPLITS, check_files, check_languages
from .corpus.docs import LabelMap
from .corpus.formats import check_format
from .corpus.hub import fetch, is_on_hub
from .corpus.joined import check_twice
from .corpus.origins import write_origins
from .corpus.report import ConvertReport
from .errors import ProKDError
from .files import atomic_folder
from .languages import check_code
from .targets import name_package
from .tokenizer import blank

CONFIGS = ("teacher.cfg", "student.cfg")
IGNORED = "/encoders/\n/corpus/\n/training/\n/metrics/\n/packages/\n/reports/\n/project.lock\n"


class Files(NamedTuple):
    """What a user has of a language: labelled texts of the source, plain ones of a target, perhaps labels to see by how
    training goes (`dev`, of the source), to score by and a few to learn from (`test` and `labelled`, of a target). Each
    is a file or a data set of the Hugging Face hub, see `corpus.hub`."""

    lang: str
    train: Path
    dev: Path | None = None
    test: Path | None = None
    labelled: Path | None = None

    @property
    def by_split(self) -> dict[str, Path]:
        """Those that there are."""
        return {split: path for split in (*SPLITS, FEW_SHOT) if (path := getattr(self, split)) is not None}

    def fetch(self, downloads: Path) -> dict[str, Path]:
        """The file of each split; those of the hub are written to the folder `downloads`."""
        return {
            split: fetch(path, split, downloads) if is_on_hub(path) else path for split, path in self.by_split.items()
        }


def pair_targets(
    langs: Sequence[str], train: Sequence[Path], test: Sequence[Path], labelled: Sequence[Path]
) -> list[Files]:
    """Put together what was given for each target: the first file of each kind is the first language's, and so on.

    langs (Sequence[str]): Codes of the languages.
    train, test, labelled (Sequence[Path]): One for each language; of the last two there may be none.
    RETURNS (list[Files]): Of each language.
    RAISES (ProKDError): If there are more or fewer files than languages.
    """
    for option, paths in {"--target": train, "--target-test": test, "--target-labelled": labelled}.items():
        if len(paths) != len(langs) and (paths or option == "--target"):
            raise ProKDError(
                f"{len(langs)} --target-lang ({', '.join(langs)}) and {len(paths)} {option} were given. Give one for "
                "each language, in the same order; what only some have goes into their folder of the project later."
            )
    nothing = [None] * len(langs)
    return [
        Files(lang, texts, test=to_score, labelled=to_learn)
        for lang, texts, to_score, to_learn in zip(langs, train, test or nothing, labelled or nothing)
    ]


def make_project(
    folder: Path,
    source: Files,
    targets: Sequence[Files],
    *,
    pipeline_lang: str = "xx",
    label_map: LabelMap | None = None,
    dry_run: bool = False,
) -> ConvertReport:
    """Check the files as `convert` does, then write a project with copies of them.

    folder (Path): Where the project goes; must not exist, or be empty.
    source (Files): Of the language with labels; files are copied as they are.
    targets (Sequence[Files]): Of each language without.
    pipeline_lang (str): spaCy's code of the language whose rules cut raw text of the targets; "xx" for any.
    label_map (LabelMap | None): Labels to rename or to drop.
    dry_run (bool): Check only.
    RETURNS (ConvertReport): What was found in the files.
    RAISES (ProKDError): If a file is missing, malformed or of no known format, a data set cannot be loaded, spaCy has
        no such language, or the folder has something in it.
    """
    _check(folder, source, targets)
    nlp = blank(pipeline_lang)
    with TemporaryDirectory() as downloads:
        by_language = {files.lang: files.fetch(Path(downloads)) for files in (source, *targets)}
        report = check_files(by_language, label_map=label_map, nlp=nlp)
        if not dry_run:
            with atomic_folder(folder) as project:
                given = {}
                for files in (source, *targets):
                    (project / "data" / files.lang).mkdir(parents=True)
                    for split, path in by_language[files.lang].items():
                        copy = project / "data" / files.lang / f"{split}{path.suffix.lower()}"
                        shutil.copyfile(path, copy)
                        given[copy] = files.by_split[split]
                write_origins(project / "data", given)
                _write_workflow(project, source.lang, targets[0].lang, pipeline_lang, label_map or {})
    return report


def _check(folder: Path, source: Files, targets: Sequence[Files]) -> None:
    if folder.resolve() == Path.cwd():
        raise ProKDError("A project is a folder of its own. Name a new one, which is made here.")
    if folder.is_file():
        raise ProKDError(f"{folder} is a file. A project is a folder: name a new one, which is made here.")
    if folder.is_dir() and any(folder.iterdir()):
        raise ProKDError(f"{folder} is there already and not empty. Choose another folder.")
    target_langs = [files.lang for files in targets]
    check_languages(source.lang, target_langs)
    check_twice(target_langs)
    for lang in (source.lang, *target_langs):
        check_code(lang)
    for path in (path for files in (source, *targets) for path in files.by_split.values()):
        if is_on_hub(path):
            continue
        if not path.is_file():
            raise ProKDError(f"{path} is a folder. Name a file." if path.is_dir() else f"There is no file {path}.")
        check_format(path)
    for files in targets:
        if files.test and files.labelled and files.test.resolve() == files.labelled.resolve():
            raise ProKDError(
                f"{files.test} is given to learn from (--target-labelled) and to score by (--target-test): scores of "
                "texts that are known by heart say nothing. Put some of its texts into another file."
            )


def find_template() -> Path:
    """The folder with project.yml and configs/: in an installed package its own, in a checkout the root."""
    package = Path(__file__).parent
    inside = package / "template"
    return inside if inside.is_dir() else package.parent


def _write_workflow(project: Path, source_lang: str, target_lang: str, pipeline_lang: str, label_map: LabelMap) -> None:
    template = find_template()
    (project / "configs").mkdir()
    for name in CONFIGS:
        shutil.copyfile(template / "configs" / name, project / "configs" / name)
    settings = {
        "corpus_dir": "data",
        "source_lang": source_lang,
        "target_lang": target_lang,
        "pipeline_lang": pipeline_lang,
        "corpus_labels": write_label_map(label_map) if label_map else "",
        **name_package(target_lang),
    }
    workflow = (template / "project.yml").read_text(encoding="utf8")
    for name, value in settings.items():
        line = f"  {name}: {json.dumps(value, ensure_ascii=False)}"
        workflow, n = re.subn(rf"(?m)^  {name}: .*?(?=  #|$)", line.replace("\\", r"\\"), workflow)
        if n != 1:
            raise ValueError(f"project.yml has {n} lines for the variable '{name}'")
    (project / "project.yml").write_text(workflow, encoding="utf8")
    (project / ".gitignore").write_text(IGNORED, encoding="utf8")
