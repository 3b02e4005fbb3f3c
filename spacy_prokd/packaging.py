"""A trained pipeline as a wheel with a model card: no path of this machine, nothing that runs code when it is read."""

from __future__ import annotations

import io
import os
import pickletools
import shutil
import subprocess
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import srsly
from packaging.version import InvalidVersion, Version
from spacy.cli.package import package as spacy_package
from spacy.language import DEFAULT_CONFIG, Language
from spacy.util import get_minor_version_range
from spacy.vocab import Vocab
from srsly.msgpack.exceptions import UnpackException
from thinc.api import Config

from . import __version__, bundled_encoder
from .arguments import expect_pipeline
from .corpus.convert import REPORT_FILE
from .corpus.docbins import read_docs
from .corpus.joined import describe_target, folders_of, languages_of
from .errors import ProKDError
from .files import atomic_file, atomic_folder, check_inside
from .languages import name_language
from .loading import load_pipeline
from .reporting import render_model_card
from .reporting.inputs import read_metrics
from .sample_text import telling_sentence
from .shrinking import shrink

# What [training] says of one run; callbacks and loggers whose paths are null would not pass spaCy's checks.
_OF_ONE_RUN = ("train_corpus", "dev_corpus", "logger", "before_update", "before_to_disk")
_MOST_EXAMPLES = 3  # of each label
_PICKLE_PROTOCOLS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def package(
    pipeline: Path,
    output: Path,
    *,
    name: str,
    version: str,
    encoder: str,
    source: Path,
    target: Path,
    metrics: Mapping[str, Path],
    vocabulary_size: int,
) -> Path:
    """Build an installable package from a trained pipeline.

    pipeline (Path): The saved pipeline; it stays as it is.
    output (Path): The folder for `<lang>_<name>-<version>/dist/*.whl`; that folder appears whole or not at all.
    name (str): The package's name, with or without its language: "prokd_de" or "xx_prokd_de".
    version (str): The package's version.
    encoder (str): The encoder the training started from, a hub name or a folder.
    source (Path): The converted corpus with labels, `corpus/<language>`.
    target (Path): The converted corpus without, `corpus/<language>`.
    metrics (Mapping[str, Path]): The files of `evaluate` for "student", which is this pipeline, and others
        to compare it with; the model card shows them in this order.
    vocabulary_size (int): Pieces that the package's encoder keeps, those of the target's training text first; its
        matrices are stored in fewer bytes. 0 for all pieces and for weights as they were trained.
    RETURNS (Path): The wheel.
    RAISES (ProKDError): If an input is missing, the pipeline does not load or has a link to elsewhere, the name or
        version cannot be a package's, the build fails, or the package has a pickle in it.
    """
    nlp = _load(pipeline)
    meta = _describe(nlp.meta, name, version, encoder, source, target, metrics)
    meta["spacy_prokd"]["sentence"] = telling_sentence(nlp, languages_of(target.name)[0])
    full_name = f"{meta['lang']}_{meta['name']}-{version}"
    output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{full_name}-", dir=output) as temporary:
        staged, built = Path(temporary) / "pipeline", Path(temporary) / "built"
        shutil.copytree(pipeline, staged)
        if vocabulary_size:
            meta["spacy_prokd"]["vocabulary"] = shrink(nlp, staged, target / "train.spacy", vocabulary_size)
        _describe_stage(staged, meta)
        built.mkdir()
        try:
            spacy_package(staged, built, create_sdist=False)
        except SystemExit:
            raise ProKDError(f"`spacy package {pipeline}` refuses this pipeline; run it to see why.") from None
        wheel = _build_wheel(built / full_name)
        assert_no_pickle(wheel)
        with atomic_folder(output / full_name) as finished:
            for path in (built / full_name).iterdir():
                path.rename(finished / path.name)
    return output / full_name / "dist" / wheel.name


def portable_config(config: Config) -> Config:
    """Leave out what only the training run could use, so that the config means the same on every machine.

    Data, loggers, callbacks and starting weights go back to spaCy's defaults; a learning rate that follows the corpus
    becomes the number it was set to; every path of this machine becomes null.

    config (Config): The config of a trained pipeline.
    RETURNS (Config): One that spaCy loads without any file from outside, with all sections that a pipe removed or added
        later needs.
    """
    config, defaults = config.interpolate(), DEFAULT_CONFIG.interpolate()
    training = {key: value for key, value in config["training"].items() if key not in _OF_ONE_RUN}
    rate = training.get("optimizer", {}).get("learn_rate")
    if isinstance(rate, Mapping) and "corpus" in rate:  # which counts the steps of the run
        training["optimizer"] = {**training["optimizer"], "learn_rate": rate["initial_rate"]}
    kept = {"nlp": config["nlp"], "components": config["components"], "training": {**defaults["training"], **training}}
    return Config(_without_paths({**defaults, **kept}))


def assert_no_pickle(wheel: Path) -> None:
    """Check that loading the package cannot run code: no file in it, nor anything inside one, is a pickle.

    wheel (Path): The wheel; any zip archive.
    RAISES (ProKDError): With the file that is, or has in it, a pickle, a torch archive or an object array.
    """
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            kind = _find_pickle(archive.read(name))
            if kind is not None:
                raise ProKDError(
                    f"{wheel.name}: {name} has {kind} in it, and reading one can run any code. "
                    f"Train with components that save their weights as arrays or safetensors."
                )


def _load(pipeline: Path) -> Language:
    """The pipeline, which nothing in its folder may stand outside of."""
    expect_pipeline(pipeline)
    check_inside(pipeline, pipeline.rglob("*"))
    return load_pipeline(pipeline)


def _describe(
    meta: Mapping[str, Any],
    name: str,
    version: str,
    encoder: str,
    source: Path,
    target: Path,
    metrics: Mapping[str, Path],
) -> dict[str, Any]:
    """The package's meta: what the pipeline's own says, scores, and where its knowledge comes from."""
    name = name.removeprefix(f"{meta['lang']}_")
    if not (name.isascii() and name.isidentifier()):
        raise ProKDError(f"'{name}' cannot be a package's name. Use letters, digits and _, such as prokd_de.")
    try:
        Version(version)
    except InvalidVersion:
        raise ProKDError(f"'{version}' is no version. Use numbers with dots, such as 0.1.0.") from None
    scores = {role: read_metrics(path) for role, path in metrics.items()}
    reports = _read_reports([source, *folders_of(target)])
    splits = {f"{lang} {split}": facts for lang, report in reports.items() for split, facts in report["splits"].items()}
    is_bundled = Path(encoder).name == bundled_encoder.NAME
    return {
        **meta,
        "name": name,
        "version": version,
        "description": f"Named entities in {describe_target(target.name, name_language)}, "
        f"learned from labels in {name_language(source.name)} by spacy-prokd.",
        "requirements": [f"spacy-prokd{get_minor_version_range(__version__)}"],
        "performance": {key: value for key, value in scores["student"].items() if key.startswith(("ents_", "token_"))},
        "spacy_prokd": {
            **meta.get("spacy_prokd", {}),
            "encoder": Path(encoder).name if _is_local_path(encoder) else encoder,
            "encoder_licence": bundled_encoder.LICENCE_NOTE if is_bundled else "Its own licence applies.",
            "source_lang": source.name,
            "target_lang": target.name,
            "sentences": {name: facts["docs"] for name, facts in splits.items()},
            "origins": {name: facts["origin"] for name, facts in splits.items() if facts.get("origin")},
            "data_licences": sorted({report["licence"] for report in reports.values() if report.get("licence")}),
            "examples": _find_examples(source / "train.spacy"),
            "scores": scores,
        },
    }


def _read_reports(corpora: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """What `convert` wrote of each language, if it is there; earlier versions wrote neither origins nor a licence."""
    reports = {corpus.name: corpus / REPORT_FILE for corpus in corpora}
    return {lang: _read_report(report) for lang, report in reports.items() if report.is_file()}


def _read_report(report: Path) -> dict[str, Any]:
    try:
        facts = srsly.read_json(report)
        if all(isinstance(split["docs"], int) for split in facts["splits"].values()):
            return facts
    except (ValueError, TypeError, KeyError, AttributeError):  # no JSON, or another one
        pass
    raise ProKDError(
        f"{report} is damaged. Run `python -m spacy project run convert --force` again, or delete it: "
        "the model card is then without these numbers."
    )


def _find_examples(corpus: Path) -> dict[str, list[str]]:
    """Entities of each label that are most often in a labelled corpus, if it is there: what the label means."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for doc in read_docs(corpus, Vocab()) if corpus.is_file() else ():
        for ent in doc.ents:
            found[ent.label_][" ".join(ent.text.split())] += 1
    return {label: [text for text, _n in texts.most_common(_MOST_EXAMPLES)] for label, texts in found.items()}


def _describe_stage(folder: Path, meta: dict[str, Any]) -> None:
    """Make config, meta and README fit for others."""
    portable_config(Config().from_disk(folder / "config.cfg")).to_disk(folder / "config.cfg")
    srsly.write_json(folder / "meta.json", meta)
    (folder / "README.md").write_text(render_model_card(meta), encoding="utf8")


def _without_paths(value: Any, required: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_paths(item, required=key == "name") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_paths(item) for item in value]
    if not isinstance(value, str) or not _is_local_path(value):
        return value
    # spacy-transformers wants a model's `name`, which may be a folder, but reads it only before training
    return Path(value).name if required else None


def _is_local_path(text: str) -> bool:
    """Whether this names a place on this machine. A hub's `owner/name` does not, nor does a bare word or sign."""
    if text.startswith(("./", "../", "~/")):
        return True
    path = Path(text)
    return len(path.parts) > 1 and (path.is_absolute() or os.path.exists(path))


def _build_wheel(folder: Path) -> Path:
    """Build with what is installed: spaCy's own build would fetch setuptools from an index."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-C--build-option=--compression=stored", "."]
    result = subprocess.run(
        command, cwd=folder, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode != 0:
        raise ProKDError(
            f'The wheel was not built. It needs `pip install "spacy-prokd[train]"`. `python -m build` says:\n'
            f"{result.stdout[-2000:]}"
        )
    for leftover in (folder / "build", *folder.glob("*.egg-info")):
        shutil.rmtree(leftover)
    (wheel,) = (folder / "dist").glob("*.whl")
    _compress(wheel)
    return wheel


def _compress(wheel: Path) -> None:
    """Deflate a stored wheel at level 1: on weights, setuptools' level 6 takes 7 times as long for 8 % less."""
    with (
        atomic_file(wheel) as temporary,
        zipfile.ZipFile(wheel) as stored,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as deflated,
    ):
        for entry in stored.infolist():
            with stored.open(entry) as original, deflated.open(entry.filename, "w", force_zip64=True) as copy:
                shutil.copyfileobj(original, copy, 1 << 20)


def _find_pickle(data: bytes) -> str | None:
    """What kind of pickle is in these bytes, or None. Looks into zip archives and, since models are such, msgpack."""
    if data.startswith(_PICKLE_PROTOCOLS) and _is_pickle(data):
        return "a pickle"
    if data.startswith(b"\x93NUMPY") and b"'|O'" in data[:256]:
        return "an array of pickled objects"
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = [archive.read(name) for name in archive.namelist()]
    else:
        parts = _unpack(data)
    return next((kind for kind in map(_find_pickle, parts) if kind is not None), None)


def _is_pickle(data: bytes) -> bool:
    """Whether the bytes can be read as opcodes to the end: a length or a float may begin like a pickle, too."""
    try:
        return any(opcode.name == "STOP" for opcode, _, _ in pickletools.genops(data))
    except ValueError:
        return False


def _unpack(data: bytes) -> list[bytes]:
    """All byte strings of a msgpack message; none if the bytes are something else."""
    try:
        # The hook also keeps srsly from making arrays of what may not be any.
        return list(_walk_bytes(srsly.msgpack.loads(data, raw=False, object_pairs_hook=list)))
    except (UnpackException, ValueError):
        return []


def _walk_bytes(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _walk_bytes(item)
