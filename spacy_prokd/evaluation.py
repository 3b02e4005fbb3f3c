"""A saved pipeline's scores on labelled text: a metrics file, and the table of several of them."""

from __future__ import annotations

import platform
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from .calibration import calibration, collect_scores
from .corpus.docbins import read_docs, read_labelled
from .corpus.joined import folders_of
from .corpus.readers import copy_words
from .errors import ProKDError
from .files import atomic_file, describe_contents, to_json
from .info import find_version
from .labels import spans_to_tags
from .loading import entity_labels, load_pipeline
from .mistakes import keep_gold
from .progress import progress_bar
from .prototype_tags import tag_by_prototypes
from .scoring import gold_spans, predicted_spans, score_entities
from .wording import say_if_few

_PACKAGES = ("spacy-prokd", "spacy", "torch", "transformers")
_TOLERANCE = 1e-6
_MOST_UNLABELLED = 1000  # texts: enough to find disagreements in, tagged in seconds


def evaluate(
    pipeline_path: str | Path,
    data: Path | Sequence[Path],
    output_path: Path,
    tagged_path: Path | None = None,
    prototypes_path: Path | None = None,
    unlabelled: Path | None = None,
) -> dict[str, Any]:
    """Score a saved pipeline on a .spacy file, with the file's own words, and write the metrics.

    pipeline_path (str | Path): A saved pipeline's folder, or the name of an installed one.
    data (Path | Sequence[Path]): A .spacy file of labelled documents, or one of each of several languages. Documents
        without labels are not scored.
    output_path (Path): The JSON file to write; it appears whole or not at all.
    tagged_path (Path | None): A .spacy file to write, too: the documents as the pipeline tagged them, with the
        labels as the span group "gold".
    prototypes_path (Path | None): Such a file of what the pipeline's own prototypes say, see `tag_by_prototypes`;
        without a document where it has none.
    unlabelled (Path | None): A .spacy file whose first texts are tagged too, for these two files alone and without
        that span group: text of the target, where its labels are not what is scored.
    RETURNS (dict[str, Any]): What the JSON file holds: spaCy's `ents_p`, `ents_r`, `ents_f` and `ents_per_type`
        (with `support`, the number of gold entities), `token_f`, `seqeval_f`; `calibration` of the scores
        (`ece` and its `bins`, None where there are no scores); `data` (language and split), `sentences`, `words` and
        `entities` of the data; of several files `parts`, such scores of each by its language and split;
        `labels_only_in_data` and `labels_only_in_pipeline`; `encoder`,
        `labelled_target_texts` that were learned from, `seed`, `versions`; `seconds` that tagging took and
        `words_per_second`. Scores are 0 to 1.
    RAISES (ProKDError): If pipeline or data cannot be read, there is nothing to score, or spaCy and seqeval
        do not agree.
    """
    nlp = load_pipeline(pipeline_path)
    paths = [data] if isinstance(data, Path) else data
    files, names = ", ".join(map(str, paths)), [f"{path.parent.name} {path.stem}" for path in paths]
    parts = [read_labelled(path, nlp.vocab) for path in paths]
    references = [doc for docs in parts for doc in docs]
    examples, seconds = _tag(nlp, references)
    scores = _score(examples)
    seqeval_f = get_seqeval_f(examples)
    if abs(scores["ents_f"] - seqeval_f) > _TOLERANCE:
        raise ProKDError(
            f"{files}: spaCy's F1 is {scores['ents_f']:.6f}, seqeval's {seqeval_f:.6f}. Both count exact "
            f"spans, so one of them is wrong: please report this with the versions of both."
        )
    about = nlp.meta.get("spacy_prokd", {})
    metrics = {
        **scores,
        "seqeval_f": seqeval_f,
        "calibration": calibration(*collect_scores(examples)),
        "data": ", ".join(names),
        **_compare_labels(nlp, {label for label, each in scores["ents_per_type"].items() if each["support"]}, files),
        "encoder": about.get("encoder", "unknown"),
        "labelled_target_texts": about.get("labelled_target_texts", 0),
        "seed": nlp.config.interpolate()["training"]["seed"],
        "versions": {"python": platform.python_version(), **{name: find_version(name) for name in _PACKAGES}},
        "seconds": round(seconds, 3),
        "words_per_second": round(scores["words"] / seconds),
    }
    if len(paths) > 1:
        rest = iter(examples)
        metrics["parts"] = {name: _score(list(islice(rest, len(docs)))) for name, docs in zip(names, parts)}
    is_kept = tagged_path is not None or prototypes_path is not None
    also = _read_unlabelled(nlp, unlabelled) if unlabelled is not None and is_kept else []
    if tagged_path is not None:
        _save_tagged(tagged_path, [*examples, *_tag(nlp, also)[0]])
    if prototypes_path is not None:
        _save_tagged(prototypes_path, tag_by_prototypes(nlp, [*references, *also]))
    with atomic_file(output_path) as temporary:
        temporary.write_text(to_json(metrics), encoding="utf8")
    return metrics


def choose_data(corpus: Path, source_lang: str, target_lang: str) -> list[Path]:
    """Choose what to score on: the target's test or dev split, of each of its languages; else the source's dev.

    Who has plain target text alone still wants to know that training went well; the metrics say what was scored.

    corpus (Path): The folder of a converted corpus, with a folder for each language.
    target_lang (str): The target, such as `nl` or `nl+sv`.
    RETURNS (list[Path]): .spacy files, of different languages.
    RAISES (ProKDError): If there is none, or the corpus is of another target.
    """
    if not (corpus / target_lang).is_dir():
        there_is = describe_contents(corpus, folders=True)
        raise ProKDError(
            f"{corpus} has no folder '{target_lang}'; {there_is}. Name its target language: --target-lang."
        )
    splits = [[folder / f"{split}.spacy" for split in ("test", "dev")] for folder in folders_of(corpus / target_lang)]
    for candidates in (splits, [[corpus / source_lang / "dev.spacy"]]):
        found = [next(filter(Path.is_file, of_language), None) for of_language in candidates]
        if any(found):
            return [path for path in found if path is not None]
    raise ProKDError(f"{corpus} has nothing to score on: run `spacy-prokd convert` first.")


def get_seqeval_f(examples: list[Example]) -> float:
    """seqeval's entity-level F1 (strict, IOB2), of the same entities that spaCy counts.

    examples (list[Example]): Predicted and reference documents.
    RETURNS (float): Micro F1, 0 to 1.
    RAISES (ProKDError): If seqeval is not installed.
    """
    try:
        from seqeval.metrics import f1_score
        from seqeval.scheme import IOB2
    except ImportError:
        raise ProKDError(
            'Scores are cross-checked with seqeval, which is not installed. Run `pip install "spacy-prokd[train]"`.'
        ) from None
    gold = [spans_to_tags(gold_spans(example), len(example.reference)) for example in examples]
    predicted = [spans_to_tags(predicted_spans(example), len(example.reference)) for example in examples]
    return float(f1_score(gold, predicted, mode="strict", scheme=IOB2, zero_division=0))


def compare(metrics: dict[str, dict[str, Any]]) -> Table:
    """Lay metrics side by side, with the F1 that the last gained over the first.

    metrics (dict[str, dict[str, Any]]): What `evaluate` returned, by name ("teacher", "student").
    RETURNS (Table): Per cent; a row for each label, for all entities, and for words; below it, if entities are few.
    RAISES (ProKDError): If they were not measured on the same data.
    """
    data = {name: tuple(one[key] for key in ("sentences", "words", "entities")) for name, one in metrics.items()}
    if len(set(data.values())) > 1:
        described = "; ".join(f"{name}: {s} sentences, {w} words, {e} entities" for name, (s, w, e) in data.items())
        raise ProKDError(f"These metrics are of different data ({described}). Evaluate them on the same file.")
    # without lines between columns and space around them, two pipelines fit in 80 characters even at 100.00
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    headers = ["\ngold", *(header for name in metrics for header in (f"{name}\nP", "\nR", "\nF1"))]
    if len(metrics) > 1:
        headers.append("change\nF1")
    table.add_column("\n%", overflow="fold")  # where there is little room, labels are broken and numbers are not
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    labels = sorted({label for one in metrics.values() for label in one["ents_per_type"]})
    for label in labels:
        scores = [one["ents_per_type"].get(label, {"p": 0.0, "r": 0.0, "f": 0.0}) for one in metrics.values()]
        support = max(score.get("support", 0) for score in scores)
        table.add_row(label, str(support), *_format_row([(s["p"], s["r"], s["f"]) for s in scores]))
    table.add_section()
    totals = [(one["ents_p"], one["ents_r"], one["ents_f"]) for one in metrics.values()]
    n_entities = max((one["entities"] for one in metrics.values()), default=0)
    table.add_row("all", str(n_entities), *_format_row(totals), style="bold")
    table.add_row("words", "", *_format_row([(None, None, one["token_f"]) for one in metrics.values()]))
    table.caption, table.caption_justify = say_if_few(n_entities), "left"
    return table


def _save_tagged(path: Path, examples: Iterable[Example]) -> None:
    with atomic_file(path) as temporary:
        DocBin(docs=map(keep_gold, examples)).to_disk(temporary)


def _format_row(scores: list[tuple[float | None, float | None, float]]) -> list[str]:
    cells = ["" if value is None else f"{100 * value:.2f}" for prf in scores for value in prf]
    if len(scores) > 1:
        cells.append(f"{100 * (scores[-1][2] - scores[0][2]):+.2f}")
    return cells


def _read_unlabelled(nlp: Language, path: Path) -> list[Doc]:
    """Read the first texts, and none of the labels that they may have."""
    return [copy_words(doc) for doc in islice(read_docs(path, nlp.vocab), _MOST_UNLABELLED)]


def _tag(nlp: Language, references: list[Doc]) -> tuple[list[Example], float]:
    """Tag the words of the references. Gives the seconds it took, too."""
    examples = []
    with progress_bar() as progress:
        task = progress.add_task("Tagging words", total=sum(map(len, references)))
        start = time.perf_counter()
        for reference, doc in zip(references, nlp.pipe(map(copy_words, references))):
            examples.append(Example(doc, reference))
            progress.advance(task, len(doc))
        seconds = time.perf_counter() - start
    return examples, seconds


def _score(examples: Sequence[Example]) -> dict[str, Any]:
    """Scores of all entities and of each label, and how much there is of what was scored."""
    scores = score_entities(examples)
    support = Counter(ent.label_ for example in examples for ent in example.reference.ents)
    return {
        "ents_p": scores["ents_p"],
        "ents_r": scores["ents_r"],
        "ents_f": scores["ents_f"],
        "ents_per_type": {
            label: {**prf, "support": support[label]} for label, prf in sorted(scores["ents_per_type"].items())
        },
        "token_f": scores["token_f"],
        "sentences": len(examples),
        "words": sum(len(example.reference) for example in examples),
        "entities": support.total(),
    }


def _compare_labels(nlp: Language, in_data: set[str], files: str) -> dict[str, list[str]]:
    """Labels that only one side knows: no entity of these can be right."""
    in_pipeline = entity_labels(nlp)
    found = {
        "labels_only_in_data": sorted(in_data - in_pipeline),
        "labels_only_in_pipeline": sorted(in_pipeline - in_data),
    }
    if any(found.values()):
        warnings.warn(
            f"{files} and the pipeline do not have the same labels. Only in the data: "
            f"{found['labels_only_in_data']}; only in the pipeline: {found['labels_only_in_pipeline']}. They count "
            f"as errors; `corpus_labels` of `convert` renames or drops labels.",
            stacklevel=3,
        )
    return found
