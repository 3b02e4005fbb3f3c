"""Metrics files: known scores, agreement with seqeval, and what is said when there is nothing to score."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import spacy
from conftest import SOURCE, found, make_docs
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_prokd import evaluation
from spacy_prokd.errors import ProKDError
from spacy_prokd.evaluation import choose_data, compare, evaluate, get_seqeval_f
from spacy_prokd.scoring import score_entities

VOCAB = Vocab()
LABELS = ["LOC", "PER"]
GOLD = [
    (["Anna", "kam", "aus", "Bonn"], ["B-PER", "O", "O", "B-LOC"]),
    (["Paris", "lacht", "."], ["B-PER", "O", "O"]),  # tagged LOC
    ([], []),
    (["Ein", "Tag"], ["O", "O"]),
]


def save_docs(path: Path, sentences: list[tuple[list[str], list[str] | None]]) -> Path:
    DocBin(docs=[Doc(VOCAB, words=words, ents=tags) for words, tags in sentences]).to_disk(path)
    return path


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    nlp = spacy.blank("xx")
    patterns = [("Anna", "PER"), ("Bonn", "LOC"), ("Paris", "LOC")]
    nlp.add_pipe("entity_ruler").add_patterns([{"label": label, "pattern": word} for word, label in patterns])
    nlp.meta["spacy_prokd"] = {"encoder": "tiny"}
    nlp.config["system"]["seed"] = 7
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def test_known_scores_are_written_and_returned(pipeline: Path, tmp_path: Path) -> None:
    output = tmp_path / "metrics" / "de" / "teacher.json"
    metrics = evaluate(pipeline, save_docs(tmp_path / "dev.spacy", GOLD), output)
    assert json.loads(output.read_text(encoding="utf8")) == metrics
    assert list(output.parent.iterdir()) == [output]
    for key in ("ents_p", "ents_r", "ents_f", "token_f", "seqeval_f"):
        assert metrics[key] == pytest.approx(2 / 3)
    assert metrics["ents_per_type"] == {
        "LOC": {"p": 0.5, "r": 1.0, "f": pytest.approx(2 / 3), "support": 1},
        "PER": {"p": 1.0, "r": 0.5, "f": pytest.approx(2 / 3), "support": 2},
    }
    assert (metrics["sentences"], metrics["words"], metrics["entities"]) == (4, 9, 3)
    assert metrics["labels_only_in_data"] == metrics["labels_only_in_pipeline"] == []
    assert (metrics["encoder"], metrics["seed"]) == ("tiny", 7)
    assert metrics["versions"]["spacy"] == spacy.__version__
    assert set(metrics["versions"]) == {"python", "spacy-prokd", "spacy", "torch", "transformers"}
    assert metrics["seconds"] >= 0
    assert metrics["words_per_second"] > 0


def test_the_tagged_texts_are_written_where_they_are_asked_for(pipeline: Path, tmp_path: Path) -> None:
    tagged = tmp_path / "tagged.spacy"
    evaluate(pipeline, save_docs(tmp_path / "dev.spacy", GOLD), tmp_path / "m.json", tagged)
    nlp = spacy.load(pipeline)
    docs = list(DocBin().from_disk(tagged).get_docs(nlp.vocab))
    gold = list(DocBin().from_disk(tmp_path / "dev.spacy").get_docs(nlp.vocab))
    assert [doc.text for doc in docs] == [doc.text for doc in gold]
    again = nlp.pipe(Doc(nlp.vocab, words=[word.text for word in doc]) for doc in docs)
    assert [[(ent.text, ent.label_) for ent in doc.ents] for doc in docs] == [
        [(ent.text, ent.label_) for ent in doc.ents] for doc in again
    ]
    assert [[(ent.text, ent.label_) for ent in doc.spans["gold"]] for doc in docs] == [
        [(ent.text, ent.label_) for ent in doc.ents] for doc in gold
    ]


def test_what_prototypes_say_is_written_beside_the_tagged_texts(student_nlp: Language, tmp_path: Path) -> None:
    student_nlp.to_disk(tmp_path / "student")
    data, said = tmp_path / "dev.spacy", tmp_path / "prototypes.spacy"
    DocBin(docs=make_docs(student_nlp.vocab, SOURCE)).to_disk(data)
    evaluate(tmp_path / "student", data, tmp_path / "m.json", prototypes_path=said)
    doc = next(DocBin().from_disk(said).get_docs(student_nlp.vocab))
    assert (
        found(doc) == [(ent.start, ent.end, ent.label_) for ent in doc.spans["gold"]] == [(0, 2, "PER"), (3, 4, "LOC")]
    )
    assert all(ent._.score > 0 for ent in doc.ents)


def test_without_prototypes_the_file_has_no_texts(pipeline: Path, tmp_path: Path) -> None:
    said = tmp_path / "prototypes.spacy"
    evaluate(pipeline, save_docs(tmp_path / "dev.spacy", GOLD), tmp_path / "m.json", prototypes_path=said)
    assert len(DocBin().from_disk(said)) == 0


def test_texts_without_labels_are_tagged_beside_those_that_are_scored(
    student_nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own labels, if they have any, are not looked at."""
    monkeypatch.setattr(evaluation, "_MOST_UNLABELLED", 2)
    student_nlp.to_disk(tmp_path / "student")
    docs = make_docs(student_nlp.vocab, SOURCE)
    for name, some in {"dev": docs[:1], "plain": docs[1:]}.items():
        DocBin(docs=some).to_disk(tmp_path / f"{name}.spacy")
    files = tmp_path / "tagged.spacy", tmp_path / "prototypes.spacy"
    arguments = (tmp_path / "student", tmp_path / "dev.spacy", tmp_path / "m.json", *files)
    with pytest.warns(UserWarning, match="only in the pipeline"):
        metrics = evaluate(*arguments, unlabelled=tmp_path / "plain.spacy")
    assert metrics["sentences"] == 1
    for file in files:
        read = list(DocBin().from_disk(file).get_docs(student_nlp.vocab))
        assert [doc.text for doc in read] == [doc.text for doc in docs[:3]]
        assert [("gold" in doc.spans, bool(doc.ents)) for doc in read] == [(True, True), (False, True), (False, False)]


def test_words_are_those_of_the_file(pipeline: Path, tmp_path: Path) -> None:
    """The pipeline's own tokenizer would make three words of these two."""
    data = save_docs(tmp_path / "dev.spacy", [(["Anna", "Bonn-Süd,"], ["B-PER", "O"])])
    with pytest.warns(UserWarning):  # no LOC in the data
        metrics = evaluate(pipeline, data, tmp_path / "student.json")
    assert (metrics["words"], metrics["ents_f"]) == (2, 1.0)


def test_labels_of_one_side_are_named(pipeline: Path, tmp_path: Path) -> None:
    data = save_docs(tmp_path / "dev.spacy", [(["Anna", "trinkt", "Cola"], ["B-PER", "O", "B-MISC"])])
    with pytest.warns(UserWarning, match=r"Only in the data: \['MISC'\]; only in the pipeline: \['LOC'\]"):
        metrics = evaluate(pipeline, data, tmp_path / "student.json")
    assert (metrics["labels_only_in_data"], metrics["labels_only_in_pipeline"]) == (["MISC"], ["LOC"])
    assert metrics["ents_per_type"]["MISC"] == {"p": 0.0, "r": 0.0, "f": 0.0, "support": 1}


def test_of_several_files_each_has_scores_of_its_own(pipeline: Path, tmp_path: Path) -> None:
    for lang in ("de", "nl"):
        (tmp_path / "corpus" / "de+nl" / lang).mkdir(parents=True)
    save_docs(tmp_path / "corpus/de+nl/de/dev.spacy", GOLD[:1])
    save_docs(tmp_path / "corpus/de+nl/nl/test.spacy", GOLD[1:])
    data = choose_data(tmp_path / "corpus", "en", "de+nl")
    metrics = evaluate(pipeline, data, tmp_path / "student.json")
    assert metrics["data"] == "de dev, nl test"
    assert (metrics["sentences"], metrics["ents_f"]) == (4, pytest.approx(2 / 3))
    assert {name: (part["sentences"], part["ents_f"]) for name, part in metrics["parts"].items()} == {
        "de dev": (1, 1.0),
        "nl test": (3, 0.0),
    }


def test_what_is_scored_is_the_targets_or_else_the_sources(tmp_path: Path) -> None:
    for name in ("en/dev", "de/train", "de+nl/de/train", "de+nl/nl/train"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        save_docs(tmp_path / f"{name}.spacy", GOLD)
    for target in ("de", "de+nl"):
        assert choose_data(tmp_path, "en", target) == [tmp_path / "en/dev.spacy"]
    save_docs(tmp_path / "de+nl/nl/dev.spacy", GOLD)
    assert choose_data(tmp_path, "en", "de+nl") == [tmp_path / "de+nl/nl/dev.spacy"]
    with pytest.raises(ProKDError, match="has nothing to score on"):
        choose_data(tmp_path, "sv", "de")
    with pytest.raises(ProKDError, match="has no folder 'nl'; there is de, de[+]nl, en[.].*--target-lang"):
        choose_data(tmp_path, "en", "nl")


def test_documents_without_labels_are_counted_out(pipeline: Path, tmp_path: Path) -> None:
    data = save_docs(tmp_path / "dev.spacy", [*GOLD, (["Anna"], None)])
    with pytest.warns(UserWarning, match="1 of 5 documents have no labels"):
        metrics = evaluate(pipeline, data, tmp_path / "student.json")
    assert (metrics["sentences"], metrics["words"]) == (4, 9)


@pytest.mark.parametrize("tags", [None, ["O", "O"]], ids=["unlabelled", "no entity"])
def test_nothing_to_score(pipeline: Path, tmp_path: Path, tags: list[str] | None) -> None:
    data = save_docs(tmp_path / "train.spacy", [(["Anna", "kam"], tags)])
    with pytest.raises(ProKDError, match="train.spacy has no labels, nothing to score"):
        evaluate(pipeline, data, tmp_path / "metrics" / "student.json")
    assert not (tmp_path / "metrics").exists()


def test_unreadable_data_is_named(pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(ProKDError, match="dev.spacy is missing"):
        evaluate(pipeline, tmp_path / "dev.spacy", tmp_path / "student.json")
    (tmp_path / "dev.spacy").write_text("Anna\tB-PER\n", encoding="utf8")
    with pytest.raises(ProKDError, match="dev.spacy is not a readable .spacy file"):
        evaluate(pipeline, tmp_path / "dev.spacy", tmp_path / "student.json")


def test_unusable_pipelines_are_named(tmp_path: Path) -> None:
    data = save_docs(tmp_path / "dev.spacy", GOLD)
    with pytest.raises(ProKDError, match="model-best cannot be loaded as a pipeline"):
        evaluate(tmp_path / "model-best", data, tmp_path / "student.json")
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "model-best")
    with pytest.raises(ProKDError, match=r"no component that sets entities, only \['sentencizer'\]"):
        evaluate(tmp_path / "model-best", data, tmp_path / "student.json")


def test_disagreement_with_seqeval_stops(pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "get_seqeval_f", lambda examples: 0.5)
    with pytest.raises(ProKDError, match="spaCy's F1 is 0.666667, seqeval's 0.500000"):
        evaluate(pipeline, save_docs(tmp_path / "dev.spacy", GOLD), tmp_path / "student.json")
    assert not (tmp_path / "student.json").exists()


def test_missing_seqeval_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seqeval.metrics", None)
    with pytest.raises(ProKDError, match=r"spacy-prokd\[train\]"):
        get_seqeval_f([])


@st.composite
def tag_sequences(draw: st.DrawFn, n_words: int) -> list[str]:
    tags: list[str] = []
    while len(tags) < n_words:
        label = draw(st.sampled_from(["", *LABELS]))
        tags += [f"B-{label}", *[f"I-{label}"] * draw(st.integers(0, 2))] if label else ["O"]
    return tags[:n_words]


@st.composite
def examples(draw: st.DrawFn) -> list[Example]:
    """Up to five sentences; in some, the annotation of one word is missing."""
    found = []
    for n_words in draw(st.lists(st.integers(1, 8), min_size=1, max_size=5)):
        words = [f"w{i}" for i in range(n_words)]
        predicted, gold = (Doc(VOCAB, words=words, ents=draw(tag_sequences(n_words))) for _ in range(2))
        missing = draw(st.none() | st.integers(0, n_words - 1))
        if missing is not None:
            kept: list[Span] = [ent for ent in gold.ents if not ent.start <= missing < ent.end]
            gold.set_ents(kept, missing=[gold[missing : missing + 1]], default="outside")
        found.append(Example(predicted, gold))
    return found


@settings(deadline=None)
@given(examples())
def test_seqeval_and_spacy_agree(given_examples: list[Example]) -> None:
    ents_f = score_entities(given_examples)["ents_f"]
    assert get_seqeval_f(given_examples) == pytest.approx(ents_f or 0.0, abs=1e-9)


def make_metrics(per_type: dict[str, tuple[float, int]], total: float, **changes: Any) -> dict[str, Any]:
    return {
        "ents_per_type": {k: {"p": f, "r": f, "f": f, "support": n} for k, (f, n) in per_type.items()},
        **{"ents_p": total, "ents_r": total, "ents_f": total, "token_f": total + 0.03},
        **{"sentences": 9, "words": 99, "entities": 5},
        **changes,
    }


def render(metrics: dict[str, dict[str, Any]]) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(compare(metrics))
    return [line.split() for line in console.export_text().splitlines()]


def test_table_shows_both_and_the_difference() -> None:
    teacher = make_metrics({"LOC": (0.5, 5)}, 0.5)
    student = make_metrics({"LOC": (0.75, 5), "PER": (0.0, 0)}, 0.625)
    rows = render({"teacher": teacher, "student": student})
    assert ["teacher", "student", "change"] in rows
    assert ["%", "gold", *["P", "R", "F1"] * 2, "F1"] in rows
    assert ["LOC", "5", *["50.00"] * 3, *["75.00"] * 3, "+25.00"] in rows
    assert ["PER", "0", *["0.00"] * 6, "+0.00"] in rows
    assert ["all", "5", *["50.00"] * 3, *["62.50"] * 3, "+12.50"] in rows
    assert ["words", "53.00", "65.50", "+12.50"] in rows


@pytest.mark.parametrize(
    ("n_entities", "said"),
    [
        (27, "27 entities: one of them is 3.7 points."),
        (1, "1 entity: one of them is 100.0 points."),
        (100, ""),
        (0, ""),
    ],
)
def test_the_table_says_if_entities_are_few(n_entities: int, said: str) -> None:
    scores = make_metrics({"LOC": (0.5, n_entities)}, 0.5, entities=n_entities)
    rows = render({"teacher": scores, "student": scores})
    assert [row for row in rows if "points." in row] == ([said.split()] if said else [])


@pytest.mark.parametrize("label", ["ORGANISATION", "A" * 40])
def test_labels_and_numbers_are_whole_where_labels_are_long(label: str) -> None:
    teacher, student = make_metrics({label: (1.0, 5)}, 1.0), make_metrics({label: (0.0, 5)}, 0.0)
    rows = render({"teacher": teacher, "student": student})
    assert ["teacher", "student", "change"] in rows
    assert label == "".join(row[0] for row in rows if row and set(row[0]) <= set(label))
    assert ["5", *["100.00"] * 3, *["0.00"] * 3, "-100.00"] in [row[1:] for row in rows]


def test_one_pipeline_has_no_difference() -> None:
    rows = render({"teacher": make_metrics({"LOC": (0.5, 5)}, 0.5)})
    assert ["LOC", "5", *["50.00"] * 3] in rows


def test_metrics_of_different_data_are_not_compared() -> None:
    teacher, student = make_metrics({}, 0.5), make_metrics({}, 0.5, words=98)
    with pytest.raises(ProKDError, match="teacher: 9 sentences, 99 words.*student: 9 sentences, 98 words"):
        compare({"teacher": teacher, "student": student})
