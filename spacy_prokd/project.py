"""A project of one's own, ready to run: its data, the configs and the workflow, checked before anything is written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import srsly

from .corpus.convert import check_files, check_languages
from .corpus.docs import LabelMap
from .corpus.formats import check_format
from .corpus.hub import fetch, is_on_hub
from .corpus.report import ConvertReport
from .errors import ProKDError
from .files import atomic_folder

CONFIGS = ("teacher.cfg", "student.cfg")
IGNORED = "/encoders/\n/corpus/\n/training/\n/metrics/\n/packages/\n/reports/\n/project.lock\n"
_LANGUAGE = re.compile(r"[a-z]{2,8}(-[A-Za-z0-9]{2,8})*")


class Files(NamedTuple):
    """What a user has: labelled files of the source, plain text of the target, perhaps labels to score by, and a few
    to learn from. Each is a file or a data set of the Hugging Face hub, see `corpus.hub`."""

    source: Path
    target: Path
    source_dev: Path | None = None
    target_test: Path | None = None
    target_labelled: Path | None = None

    def by_language(self, source_lang: str, target_lang: str, downloads: Path) -> dict[str, dict[str, Path]]:
        """The file of each split; those of the hub are written to the folder `downloads`."""
        placed = {
            source_lang: {"train": self.source, "dev": self.source_dev},
            target_lang: {"train": self.target, "test": self.target_test, "labelled": self.target_labelled},
        }
        return {
            lang: {
                split: fetch(path, split, downloads) if is_on_hub(path) else path
                for split, path in of_language.items()
                if path is not None
            }
            for lang, of_language in placed.items()
        }


def make_project(
    folder: Path,
    files: Files,
    *,
    source_lang: str,
    target_lang: str,
    label_map: LabelMap | None = None,
    dry_run: bool = False,
) -> ConvertReport:
    """Check the files as `convert` does, then write a project with copies of them.

    folder (Path): Where the project goes; must not exist, or be empty.
    files (Files): The data; files are copied as they are.
    source_lang (str): Code of the language with labels.
    target_lang (str): Code of the language without.
    label_map (LabelMap | None): Labels to rename or to drop.
    dry_run (bool): Check only.
    RETURNS (ConvertReport): What was found in the files.
    RAISES (ProKDError): If a file is missing, malformed or of no known format, a data set cannot be loaded, or the
        folder has something in it.
    """
    _check(folder, files, source_lang, target_lang)
    with TemporaryDirectory() as downloads:
        by_language = files.by_language(source_lang, target_lang, Path(downloads))
        report = check_files(by_language, label_map=label_map)
        if not dry_run:
            with atomic_folder(folder) as project:
                for lang, of_language in by_language.items():
                    (project / "data" / lang).mkdir(parents=True)
                    for split, path in of_language.items():
                        shutil.copyfile(path, project / "data" / lang / f"{split}{path.suffix.lower()}")
                _write_workflow(project, source_lang, target_lang, label_map or {})
    return report


def _check(folder: Path, files: Files, source_lang: str, target_lang: str) -> None:
    if folder.resolve() == Path.cwd():
        raise ProKDError("A project is a folder of its own. Name a new one, which is made here.")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ProKDError(f"{folder} is there already and not empty. Choose another folder, or delete it.")
    check_languages(source_lang, [target_lang])
    for lang in (source_lang, target_lang):
        if not _LANGUAGE.fullmatch(lang):
            raise ProKDError(f"{lang!r} is no code of a language. Write it like 'en', 'nl' or 'zh-Hans'.")
    for path in filter(None, files):
        if is_on_hub(path):
            continue
        if not path.is_file():
            raise ProKDError(f"{path} is a folder. Name a file." if path.is_dir() else f"There is no file {path}.")
        check_format(path)


def find_template() -> Path:
    """The folder with project.yml and configs/: in an installed package its own, in a checkout the root."""
    package = Path(__file__).parent
    inside = package / "template"
    return inside if inside.is_dir() else package.parent


def _write_workflow(project: Path, source_lang: str, target_lang: str, label_map: LabelMap) -> None:
    template = find_template()
    (project / "configs").mkdir()
    for name in CONFIGS:
        shutil.copyfile(template / "configs" / name, project / "configs" / name)
    settings = {
        "corpus_dir": "data",
        "source_lang": source_lang,
        "target_lang": target_lang,
        "corpus_labels": srsly.json_dumps(dict(label_map)) if label_map else "",
        "package_name": "prokd_" + re.sub(r"\W", "_", target_lang).lower(),
    }
    workflow = (template / "project.yml").read_text(encoding="utf8")
    for name, value in settings.items():
        line = f"  {name}: {srsly.json_dumps(value)}"
        workflow, n = re.subn(rf"(?m)^  {name}: .*$", line.replace("\\", r"\\"), workflow)
        if n != 1:
            raise ValueError(f"project.yml has {n} lines for the variable '{name}'")
    (project / "project.yml").write_text(workflow, encoding="utf8")
    (project / ".gitignore").write_text(IGNORED, encoding="utf8")
