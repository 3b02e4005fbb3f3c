"""A corpus folder `<lang>/{train,dev,test,labelled}.<ext>` to spaCy's .spacy files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import DocBin

from ..errors import ProKDError
from ..files import atomic_file, describe_contents, sha256, to_json
from ..progress import progress_bar
from ..tokenizer import blank
from ..wording import counted
from .contents import Contents, has_annotation
from .docs import DocMaker, LabelMap
from .formats import find_split, read_file
from .joined import languages_of, mix
from .label_warnings import describe_case, warn_of_case, warn_of_few
from .origins import find_licence, find_origin
from .report import ConvertReport, LanguageReport, SplitReport
from .texts import Texts

SPLITS = ("train", "dev", "test")
FEW_SHOT = "labelled"  # a split of the target alone: texts that training may learn from
REPORT_FILE = "convert.json"
FEW_TEXTS = 500  # of the target; fewer were never tried
HELD_OUT = 10  # every tenth text, where there is no dev file
# No more than this is ever written: whatever else a corpus has (user data, span groups, parses) stays behind.
_ATTRIBUTES = ("ENT_IOB", "ENT_TYPE")


class _NoAnnotationError(ProKDError):
    """Of a source; the target may have what it lacks."""


class _Language(NamedTuple):
    report: LanguageReport
    splits: dict[str, DocBin]
    texts: dict[str, Texts]
    labels: set[str]  # as the files have them, before the label map


def convert_corpus(
    corpus_dir: Path,
    source_lang: str,
    target_lang: str,
    output: Path,
    *,
    label_map: LabelMap | None = None,
    nlp: Language | None = None,
) -> ConvertReport:
    """Convert the labelled source language and the unlabelled target language, or languages, of a corpus folder.

    Of the target, `train` is required and loses its labels; `dev` and `test` are optional and keep theirs for
    scoring, `labelled` for learning: it is written empty where there is none, so that a workflow can name it. Of the
    source, `train` is required; without a `dev`, every tenth text is held out. Nothing is written before everything
    has been read.

    Of several target languages, `train` and `labelled` are mixed into one, in `<target_lang>`; beside it, in
    `<target_lang>/<lang>`, is what there is of each.

    corpus_dir (Path): The folder with a folder for each language.
    source_lang (str): The folder of the source language.
    target_lang (str): The folder of the target language, or several with a plus sign between them: `nl+sv`.
    output (Path): Where `<lang>/<split>.spacy` and `<lang>/convert.json` go.
    label_map (LabelMap | None): Labels to rename (`{"LOCATION": "LOC"}`) or to drop (`{"MISC": None}`).
    nlp (Language | None): Whose tokenizer splits raw text of the target; that for any language if None, as for the
        source.
    RETURNS (ConvertReport): What was found, left out and written.
    RAISES (ProKDError): If anything required is missing or malformed. Earlier output then stays as it was.
    """
    _check_output(corpus_dir, output)
    check_languages(source_lang, languages_of(target_lang))
    source, *targets = _read_all(_find_all(corpus_dir, source_lang, target_lang), label_map, nlp)
    _write_language(source, output)
    is_joint = len(targets) > 1
    for target in targets:
        _write_language(target, output / target_lang if is_joint else output)
    if is_joint:
        mixed = {split: mix([target.splits[split] for target in targets]) for split in ("train", FEW_SHOT)}
        _write_files(output / target_lang, {f"{split}.spacy": docs.to_bytes() for split, docs in mixed.items()})
    return ConvertReport(source.report, [target.report for target in targets])


def check_languages(source_lang: str, target_langs: Sequence[str]) -> None:
    """See that the source is no target.

    RAISES (ProKDError): If it is one.
    """
    if source_lang in target_langs:
        raise ProKDError(f"Source and target language are both '{source_lang}'. Name two languages.")


def check_files(
    files: Mapping[str, Mapping[str, Path]], *, label_map: LabelMap | None = None, nlp: Language | None = None
) -> ConvertReport:
    """Read files as `convert_corpus` does, wherever they are, and write nothing.

    files (Mapping[str, Mapping[str, Path]]): Of the source language and then of each target, the file of each split.
    label_map (LabelMap | None): Labels to rename or (None) to drop.
    nlp (Language | None): Whose tokenizer splits raw text of the targets; that for any language if None.
    RETURNS (ConvertReport): What is in them.
    RAISES (ProKDError): If one is malformed, or the source has no labels.
    """
    source, *targets = _read_all(files, label_map, nlp)
    return ConvertReport(source.report, [target.report for target in targets])


def convert_language(
    corpus_dir: Path,
    lang: str,
    output: Path,
    *,
    unlabelled_train: bool,
    label_map: LabelMap | None = None,
    known_labels: Collection[str] | None = None,
    nlp: Language | None = None,
) -> LanguageReport:
    """Convert one language of a corpus folder, as `convert_corpus` does for two.

    corpus_dir (Path): The folder with a folder for each language.
    lang (str): The folder of the language.
    output (Path): Where `<lang>/<split>.spacy` and `<lang>/convert.json` go.
    unlabelled_train (bool): True for a target language: `train` loses its labels, and nothing is held out of it.
    label_map (LabelMap | None): Labels to rename or (None) to drop.
    known_labels (Collection[str] | None): The labels of the source's train; others in dev and test are warned
        about. If None, the labels of this language's own train, where it has any.
    nlp (Language | None): Whose tokenizer splits raw text; that of `tokenizer` if None.
    RETURNS (LanguageReport): What was found, left out and written.
    RAISES (ProKDError): If anything required is missing or malformed. Earlier output then stays as it was.
    """
    _check_output(corpus_dir, output)
    nlp = blank() if nlp is None else nlp
    files = _find_files(corpus_dir, lang, unlabelled_train)
    language = _read_language(lang, files, unlabelled_train, label_map, known_labels, nlp)
    _write_language(language, output)
    return language.report


def list_corpus(corpus_dir: Path, source_lang: str, target_lang: str, output: Path) -> dict[str, dict[str, object]]:
    """Find the files of a corpus folder, and write down which they are.

    output (Path): The JSON file to write.
    RETURNS (dict[str, dict[str, object]]): What it holds: `bytes` and `sha256` of each split, those of the source
        language first.
    RAISES (ProKDError): If a language or a required split is missing, with what there is instead.
    """
    files = _find_all(corpus_dir, source_lang, target_lang)
    found = {
        path.as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for of_language in files.values()
        for path in of_language.values()
    }
    with atomic_file(output) as temporary:
        temporary.write_text(to_json(found), encoding="utf8")
    return found


def _check_output(corpus_dir: Path, output: Path) -> None:
    if corpus_dir.resolve() == output.resolve():
        raise ProKDError(f"Corpus and output are the same folder, {output}. Choose another folder for the output.")


def _read_all(
    files: Mapping[str, Mapping[str, Path]], label_map: LabelMap | None, nlp: Language | None
) -> list[_Language]:
    """The source and then each target."""
    any_language = blank()
    (source_lang, source_files), *of_targets = files.items()
    try:
        languages = [_read_language(source_lang, source_files, False, label_map, None, any_language)]
    except _NoAnnotationError as error:
        labelled = [files["train"] for _lang, files in of_targets if has_annotation(read_file(files["train"]))]
        if not labelled:
            raise
        raise ProKDError(f"{error} {labelled[0]} has labels: maybe source and target are swapped.") from None
    known_labels = languages[0].report.splits["train"].entities
    for target_lang, target_files in of_targets:
        target = _read_language(target_lang, target_files, True, label_map, known_labels, nlp or any_language)
        for split, texts in target.texts.items():  # what is scored on may be the source's file, given by mistake
            for other in languages:
                target.report.splits[split].warnings += texts.warn_of_overlap(*other.texts.values())
        languages.append(target)
    languages[0].report.splits["train"].warnings += _warn_of_unused(label_map or {}, languages)
    return languages


def _read_language(
    lang: str,
    files: Mapping[str, Path],
    unlabelled_train: bool,
    label_map: LabelMap | None,
    known_labels: Collection[str] | None,
    nlp: Language,
) -> _Language:
    label_map = _check_label_map(label_map or {})
    contents = {split: read_file(path) for split, path in files.items()}
    is_held_out = not unlabelled_train and "dev" not in files
    if is_held_out:
        files = {**files, "dev": files["train"]}
        contents["train"], contents["dev"] = _hold_out(files["train"], contents["train"])
    language = _Language(LanguageReport(lang, licence=find_licence(files["train"])), {}, {}, set())
    for split in (split for split in (*SPLITS, FEW_SHOT) if split in files):
        path = files[split]
        drop_annotation = unlabelled_train and split == "train"
        report = SplitReport(file=f"{lang}/{path.name}", origin=find_origin(path))
        maker = DocMaker(
            nlp, path, contents[split], label_map=label_map, drop_annotation=drop_annotation, report=report
        )
        texts = language.texts[split] = Texts(report.file, is_held_out and split == "dev")
        language.splits[split] = _make_docs(maker, texts)
        language.labels.update(maker.labels)
        if offsets := maker.describe_offsets():
            report.warnings.append(offsets)
        report.warnings += maker.warn_of_repeated()
        report.median_words, report.longest = texts.median_length, max(texts.lengths)
        report.repeated = texts.repeated
        report.warnings += texts.warn_of_scripts(lang) + texts.warn_of_kana(lang) + texts.warn_of_spaces()
        if drop_annotation and report.docs < FEW_TEXTS:
            report.warnings.append(f"has only {counted(report.docs, 'text')}: a few thousand are worth having.")
        if split in ("dev", "test"):
            report.warnings += texts.warn_of_overlap(language.texts["train"])
        if split == FEW_SHOT:  # what is learned from must not be scored on
            for scored in (language.texts[other] for other in ("dev", "test") if other in files):
                report.warnings += texts.warn_of_overlap(scored)
        report.entities = dict(sorted(report.entities.items()))
        if split == "train":
            report.warnings += warn_of_case(report.entities) + warn_of_few(report.entities)
        language.report.splits[split] = report
        if not unlabelled_train and split != "test" and not report.entities:
            if not report.annotated:
                raise _NoAnnotationError(
                    f"{path} has no annotation, but the source language needs labels. Add a column of tags, or spans."
                )
            raise ProKDError(_describe_no_entities(path, report, label_map, maker.describe_offsets()))
        if not drop_annotation and not report.entities:
            report.warnings.append("has no entities: nothing can be scored on it or learned from it.")
    _warn_of_unknown_labels(language.report, known_labels)
    if unlabelled_train:
        language.splits.setdefault(FEW_SHOT, DocBin(attrs=_ATTRIBUTES))
    return language


def _check_label_map(label_map: Mapping[Any, Any]) -> LabelMap:
    for label, mapped in label_map.items():
        if not isinstance(label, str):
            raise ProKDError(
                f"The label map names {label!r}, which YAML reads as no text but as {type(label).__name__}. "
                "Put the label in quotes, as in '{\"1\": LOC}'."
            )
        if mapped is not None and (not isinstance(mapped, str) or mapped in ("", "O")):
            raise ProKDError(f"The label map sends {label!r} to {mapped!r}. Give a label, or null to drop it.")
    return label_map


def _hold_out(path: Path, contents: Contents) -> tuple[Contents, Contents]:
    """What is left to learn from, and every tenth text, to see by how training goes."""
    if len(contents.records) < HELD_OUT:
        raise ProKDError(
            f"{path} has fewer than {HELD_OUT} texts ({len(contents.records)}) and there is no dev file beside it. Add "
            "one, or more texts: every tenth is then held out."
        )
    held_out = contents.records[HELD_OUT - 1 :: HELD_OUT]
    rest = [record for i, record in enumerate(contents.records, start=1) if i % HELD_OUT]
    note = f"there is no dev file: every tenth of its {len(contents.records):,} texts is held out as one."
    return Contents(rest, [*contents.warnings, note]), Contents(held_out)


def _find_all(corpus_dir: Path, source_lang: str, target_lang: str) -> dict[str, dict[str, Path]]:
    return {
        source_lang: _find_files(corpus_dir, source_lang, False),
        **{lang: _find_files(corpus_dir, lang, True) for lang in languages_of(target_lang)},
    }


def _find_files(corpus_dir: Path, lang: str, is_target: bool) -> dict[str, Path]:
    if not lang or Path(lang).name != lang or lang == "..":
        raise ProKDError(f"'{lang}' is no language. Name its folder in {corpus_dir} without a path, like 'en'.")
    folder = corpus_dir / lang
    if not folder.is_dir():
        parent = corpus_dir if corpus_dir.is_dir() else corpus_dir.parent
        problem = f"no folder '{lang}'" if corpus_dir.is_dir() else f"no folder '{corpus_dir.name}'"
        there_is = describe_contents(parent, folders=True)
        raise ProKDError(f"{parent} has {problem}; {there_is}. A corpus is <lang>/train.<ext>, dev, test.")
    splits = (*SPLITS, FEW_SHOT) if is_target else SPLITS
    files = {split: path for split in splits if (path := find_split(folder, split)) is not None}
    if "train" not in files:
        raise ProKDError(
            f"{folder} has no file 'train.<ext>'; {describe_contents(folder)}. Put one there (.tsv, .jsonl, ...)."
        )
    return files


def _describe_no_entities(path: Path, report: SplitReport, label_map: LabelMap, offsets: str) -> str:
    dropped = sorted(label for label, mapped in label_map.items() if mapped is None)
    hint = f"The label map drops {', '.join(dropped)}; check it too. " if dropped else ""
    if report.examples:
        hint += f"{counted(report.misaligned, 'span')} had to be left out; the first is {report.examples[0]}. "
        hint += f"{offsets[0].upper()}{offsets[1:]} " if offsets else ""
    where = "that the tags are its last column" if report.scheme else "its spans"
    return (
        f"{path} has {report.docs:,} sentences and not one entity, so there is nothing to learn. {hint}Check {where}."
    )


def _warn_of_unknown_labels(language: LanguageReport, known_labels: Collection[str] | None) -> None:
    known = set(known_labels if known_labels is not None else language.splits["train"].entities)
    if not known:
        return
    for split in (FEW_SHOT, "dev", "test"):
        report = language.splits.get(split)
        if report and (unknown := sorted(set(report.entities) - known)):
            names = ", ".join(unknown)
            if split == FEW_SHOT:
                report.warnings.append(
                    f"has labels that the source has not: {names}. These few texts alone teach them."
                )
                known.update(unknown)
            else:
                report.warnings.append(
                    f"has labels that no training data has: {names}. They will never be found: map or drop them."
                    + describe_case(unknown, known)
                )


def _warn_of_unused(label_map: LabelMap, languages: Sequence[_Language]) -> list[str]:
    labels = set().union(*(language.labels for language in languages))
    unused = sorted(str(label) for label in label_map.keys() - labels)
    if not unused:
        return []
    return [f"the label map names {', '.join(unused)}, which no file has; there are {', '.join(sorted(labels))}."]


def _make_docs(maker: DocMaker, texts: Texts) -> DocBin:
    doc_bin = DocBin(attrs=_ATTRIBUTES)
    with progress_bar() as progress:
        for record in progress.track(maker.records, description=f"Converting {texts.file}"):
            doc = maker.make(record)
            texts.add(doc, record.lines[0])
            doc_bin.add(doc)
    return doc_bin


def _write_language(language: _Language, output: Path) -> None:
    folder = output / language.report.lang
    contents = {f"{split}.spacy": doc_bin.to_bytes() for split, doc_bin in language.splits.items()}
    contents[REPORT_FILE] = to_json(asdict(language.report)).encode("utf8")
    _write_files(folder, contents)
    for split in SPLITS:
        if split not in language.splits:  # what an earlier corpus left behind must not be scored
            (folder / f"{split}.spacy").unlink(missing_ok=True)


def _write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write all files, then give all their names: a full disk leaves the earlier ones."""
    try:
        with ExitStack() as stack:
            for name, content in contents.items():
                stack.enter_context(atomic_file(folder / name)).write_bytes(content)
    except OSError as error:
        raise ProKDError(
            f"Cannot write to {folder}: {error.strerror or error}. Make room or choose another output."
        ) from error
