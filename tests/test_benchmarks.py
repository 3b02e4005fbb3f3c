"""The benchmarks run, and their rival in training does the same work as the pipe."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from spacy.tokens import DocBin
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "assets" / "sample"
FP32 = {"precision": "fp32"}

pytestmark = [
    pytest.mark.usefixtures("benchmarks_folder"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of spacy-transformers and what it imports
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.mark.parametrize(("role", "lang"), [("teacher", "en"), ("student", "de")])
def test_hand_loop_does_the_same_work(tiny_encoder: Path, role: str, lang: str) -> None:
    from measure_training import HandSide, PipeSide, make_examples

    from spacy_prokd.architectures import get_head
    from spacy_prokd.network.dropout import ByteDropout

    overrides = {**FP32, "max_batch_pieces": 600, "frozen_layers": 1, "masked_words": 0.0}
    examples, labels = make_examples(role, tiny_encoder, SAMPLE, lang, sentences=40, max_length=128)
    pipe = PipeSide(role, tiny_encoder, examples, labels, overrides)
    hand = HandSide(role, tiny_encoder, pipe, overrides)
    get_head(pipe.pipe.model).dropout.p = hand.loop.dropout.p = 0.0
    ours = pipe.pipe.model.get_ref("tok2vec").shims[0].module.transformer
    for transformer in (ours, hand.loop.model):
        for module in transformer.modules():
            if isinstance(module, ByteDropout):
                module.p = 0.0
    assert len(hand.steps) > 1
    assert all(len(step.micro_batches) > 1 for step in hand.steps)
    for _ in range(2):
        pipe.run()
        hand.run()
        assert pipe.losses == pytest.approx(hand.losses, rel=1e-4)
    torch.testing.assert_close(
        dict(ours.named_parameters()), dict(hand.loop.model.named_parameters()), rtol=1e-3, atol=1e-4
    )


def test_training(tiny_encoder: Path) -> None:
    from measure_training import measure_training

    result = measure_training(tiny_encoder, SAMPLE, sentences=8, rounds=1, overrides=FP32)
    assert result["group"] == "training"
    for key in ("teacher", "hand_loop", "student", "student_hand_loop"):
        assert result[f"{key}_words_per_second"] > 0
        assert 0 < result[f"{key}_last_loss"] < 10
    assert result["half_student_words_per_second"] > 0 and result["half_student_vs_spacy_transformers"] > 0
    for role in ("teacher", "student"):
        assert result[f"{role}_words"] > 8
        assert result[f"{role}_padded_pieces_per_word"] > 1
        assert {len(timed) for timed in result[f"{role}_seconds"].values()} == {1}
        assert result[f"{role}_vs_spacy_transformers"] == pytest.approx(
            result[f"{role}_words_per_second"] / result[f"{role}_spacy_transformers_words_per_second"], rel=0.01
        )
        assert 0 < result[f"{role}_share_of_gemm"] < 1
    assert result["vs_hand_loop"] == max(result["teacher_vs_hand_loop"], result["student_vs_hand_loop"]) > 0


def test_tagging_as_json(tiny_encoder: Path) -> None:
    from run import app

    arguments = ["tagging", "--encoder", str(tiny_encoder), "--corpus", str(SAMPLE), "--sentences", "8"]
    outcome = CliRunner().invoke(app, [*arguments, "--rounds", "1", "--json"])
    assert outcome.exit_code == 0, outcome.output
    result = json.loads(outcome.stdout)
    assert result["words"] > 8
    assert result["words_per_second"] > 0
    assert result["vs_spacy_transformers"] == pytest.approx(
        result["words_per_second"] / result["spacy_transformers_words_per_second"], rel=0.01
    )
    assert result["entities"] == {"ours": 0, "half_the_layers": 0, "spacy_transformers": 0, "hf_pipeline": 0}
    assert result["half_the_layers_words_per_second"] > 0 and result["half_the_layers_vs_hf_pipeline"] > 0
    assert result["vs_hf_pipeline"] > 0 and result["vs_hand_loop"] > 0
    assert 0 < result["share_of_gemm"] < 1
    assert result["latency_vs_bare_forward"] == pytest.approx(
        result["latency_ms"] / result["bare_forward_ms"], rel=0.05
    )
    assert result["machine"]["torch_threads"] == torch.get_num_threads()
    assert result["machine"]["bf16_gemm_gflops"] > 0


def test_the_gpu_comparison_runs_on_the_cpu_too(tiny_encoder: Path) -> None:
    from measure_gpu import measure_gpu

    result = measure_gpu(tiny_encoder, SAMPLE, sentences=8, rounds=1, max_batch_pieces=500, gpu_id=-1, overrides=FP32)
    for side in ("tagging", "teacher", "student"):
        ours, theirs = result[f"{side}_words_per_second"], result[f"{side}_hand_loop_words_per_second"]
        assert result[f"{side}_vs_hand_loop"] == pytest.approx(ours / theirs, rel=0.01)
        assert 0 < result[f"{side}_share_of_peak"] < 1
    assert result["tagging_hand_loop_with_tokenizer_words_per_second"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_its_benchmark_says_so(tiny_encoder: Path) -> None:
    from run import app

    outcome = CliRunner().invoke(app, ["gpu", "--encoder", str(tiny_encoder), "--corpus", str(SAMPLE)])
    assert outcome.exit_code == 1
    assert "no GPU here: `--gpu-id -1`" in outcome.stderr


def test_profile(tiny_encoder: Path) -> None:
    from measure_profile import PARTS, measure_profile

    result = measure_profile(tiny_encoder, SAMPLE, sentences=8, overrides=FP32)
    for side in ("padded", "packed"):
        assert result[side]["words_per_second"] > 0
        assert set(result[side]["ms_a_step"]) == {*PARTS, "rest"}
        assert result[side]["ms_a_step"]["matrix products"] > 0
        assert result[side]["ms_a_step"]["optimizer and clipping"] > 0


def test_scaling(tiny_encoder: Path) -> None:
    from measure_scaling import measure_scaling

    result = measure_scaling(tiny_encoder, SAMPLE, sentences=8, longest=1000, largest=1000, rounds=1, overrides=FP32)
    speeds = result["words_per_second"]
    assert list(speeds["document_length"]) == ["10", "100", "1000"]
    assert list(speeds["corpus_size"]) == ["1000"]
    assert list(speeds["processes"]) == ["1", "2"] and list(speeds["empty_pipeline_processes"]) == ["2"]
    assert len(speeds["threads"]) == torch.get_num_threads()
    assert all(speed > 0 for group in speeds.values() for speed in group.values())


def test_memory_of_a_process_is_read_from_outside() -> None:
    from measure_memory import run

    ballast = bytearray(400_000_000)  # of this process, and not of that one
    memory = run([sys.executable, "-c", "x = bytearray(200_000_000); del x; print(12.5); print('other words')"])
    assert len(ballast) / 1e6 > memory.peak > 200
    assert memory.reported == [12.5]
    with pytest.raises(subprocess.CalledProcessError):
        run([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_sides_of_memory(saved: tuple[Path, Path], tiny_encoder: Path, tmp_path: Path, capsys) -> None:
    import memory_sides
    from measure_training import loop_settings

    texts = tmp_path / "texts.txt"
    texts.write_text("Weber in Paris .\nEr .\n", encoding="utf8")
    for zone in (False, True):
        memory_sides.tag(str(saved[0]), str(texts), sentences=20, reports=10, zone=zone)
    memory_sides.document(str(saved[0]), str(texts), characters=500)
    words = [["Weber", "in", "Paris", str(i), "."] for i in range(20)]  # prototypes need words that differ
    (tmp_path / "words.json").write_text(json.dumps(words), encoding="utf8")
    torch.manual_seed(0)
    settings = asdict(loop_settings("student", 7, {**FP32, "frozen_layers": 1}))
    memory_sides.hand_loop(str(tiny_encoder), str(tmp_path / "words.json"), settings, steps=3)
    reported = [float(line) for line in capsys.readouterr().out.splitlines()]
    assert len(reported) == 10 + 10 + 1 + 1
    assert min(reported) > 50


def test_memory(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import measure_memory

    commands = []

    def canned(command: list[str]) -> measure_memory.Memory:
        commands.append(command)
        return measure_memory.Memory(1000.0 + 100 * len(commands), [900.0] * 20 + [909.0] * 20)

    monkeypatch.setattr(measure_memory, "run", canned)
    overrides = {**FP32, "frozen_layers": 1}
    result = measure_memory.measure_memory(tiny_encoder, SAMPLE, training_sentences=40, overrides=overrides)
    sides = [command[2] for command in commands]
    assert sides == ["tag", "tag", "document", "hand_loop", "spacy", "spacy", "spacy"]
    assert result["last_tenth_vs_second"] == result["zone_last_tenth_vs_second"] == 1.01
    assert result["document_megabytes_above_loaded"] == 400
    assert result["training_vs_hand_loop"] == pytest.approx(1500 / 1400, abs=1e-3)
    assert result["ten_times_vs_once"] == pytest.approx(1700 / 1600, abs=1e-3)
    streaming = [command for command in commands if "--training.max_epochs" in command]
    assert len(streaming) == 2 and streaming == commands[-2:]


def test_a_corpus_that_is_too_small(tiny_encoder: Path) -> None:
    from run import app

    arguments = ["tagging", "--encoder", str(tiny_encoder), "--corpus", str(SAMPLE), "--sentences", "1000000"]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 1
    assert "use fewer with --sentences" in outcome.stderr


def test_a_corpus_that_is_not_there(tiny_encoder: Path, tmp_path: Path) -> None:
    from run import app

    outcome = CliRunner().invoke(app, ["training", "--encoder", str(tiny_encoder), "--corpus", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "has no train file" in outcome.stderr


@pytest.fixture
def saved(tmp_path: Path, nlp, source_examples, tiny_encoder: Path, tiny_transformer: dict) -> tuple[Path, Path]:
    """A pipeline, and labelled text."""
    model = {"@architectures": "spacy-prokd.PrototypeTagger.v1", "dropout": 0.0, "tok2vec": tiny_transformer}
    nlp.add_pipe("prokd_ner", config={"model": model})
    load = {"@callbacks": "spacy-prokd.load_encoder.v1", "name": str(tiny_encoder)}
    nlp.config["initialize"]["components"]["prokd_ner"] = {"encoder": load}
    nlp.initialize(lambda: source_examples)
    nlp.to_disk(tmp_path / "pipeline")
    DocBin(docs=[example.reference for example in source_examples]).to_disk(tmp_path / "dev.spacy")
    return tmp_path / "pipeline", tmp_path / "dev.spacy"


def test_size(saved: tuple[Path, Path]) -> None:
    from measure_size import measure_size

    pipeline, data = saved
    result = measure_size(pipeline, data, [data], vocabulary_size=100, rounds=1)
    assert result["pieces"] == {"all": 122, "kept": 100}
    assert result["megabytes"]["small"] < result["megabytes"]["whole"]
    assert result["load_seconds_beyond_torch"]["small"] > 0
    f1 = result["f1"][str(data)]
    assert result["f1_lost"][str(data)] == pytest.approx(f1["whole"] - f1["small"], abs=0.01)


def test_layers(saved: tuple[Path, Path]) -> None:
    from run import app

    pipeline, data = map(str, saved)
    outcome = CliRunner().invoke(app, ["layers", pipeline, pipeline, "--data", data, "--rounds", "1", "--json"])
    assert outcome.exit_code == 0, outcome.output
    (student,) = json.loads(outcome.stdout)["students"]
    assert student["layers"] == 3
    assert student["words_per_second"] > 0 and student["times_as_fast"] == 1.0
    assert student["f1_lost"] == 0.0 and student["f1_fp32"] >= 0.0


def test_startup() -> None:
    from measure_startup import measure_startup

    result = measure_startup(rounds=1)
    assert 0 < result["import_ms_beyond_spacy"] < result["component_import_ms_beyond_spacy"]
    assert result["help_seconds"] > 0


def test_hand_tagger_tags_each_word_as_the_pipe_does(tiny_encoder: Path) -> None:
    from hand_tagging import HandTagger
    from measure_tagging import make_ours

    from spacy_prokd.architectures import get_head

    nlp = make_ours(tiny_encoder, {"precision": "bf16", "frozen_layers": 1})
    pipe = nlp.get_pipe("prokd_ner")
    with torch.no_grad():
        get_head(pipe.model).classifier.bias[0] = 0.0
    docs = [nlp.make_doc(text) for text in ("Weber in Paris .", "Angela Merkel und Weber in Berlin .", "Er .")]
    hand = HandTagger(tiny_encoder, len(pipe.tags), 64, 25)
    hand.head.load_state_dict(get_head(pipe.model).classifier.state_dict())
    micro_batches = hand.prepare([[token.text for token in doc] for doc in docs])
    assert len(micro_batches) > 1
    found = torch.cat(hand.run(micro_batches))
    expected = torch.cat([torch.from_numpy(p).argmax(dim=-1) for p in pipe.predict([docs[1], docs[0], docs[2]])])
    assert len(found) == len(expected)
    assert (found == expected).float().mean() > 0.8, "but for rounding in bf16"


def test_the_curve_of_target_texts_has_students_that_differ_in_nothing_else() -> None:
    from plots import STUDENT, TEACHER, texts_read

    def result(variant: str, student: object) -> dict:
        return {"variant": variant, "target_texts": 5000, "settings": {"student": student}}

    assert texts_read(result(TEACHER, False)) == 0
    assert texts_read(result(STUDENT, {"paths.source": "null"})) == 5000
    assert texts_read(result("250 texts", {"corpora.train.limit": 250})) == 250
    assert texts_read(result("zero-shot", False)) is None
    assert texts_read(result("another", {"training.seed": 1})) is None


def test_the_plot_of_readings_shows_each_students_gain_in_one_language() -> None:
    import numpy as np
    from experiment_tables import pack
    from matplotlib.figure import Figure
    from plots import BASELINE, draw_readings

    def result(variant: str, right: int, student: object, target: str = "de", seed: int = 0) -> dict:
        counts = np.array([[right, 10, 10]] * 4)
        return {
            **{"corpus": "c", "source": "en", "target": target, "encoder": "e", "variant": variant, "seed": seed},
            **{"settings": {"student": student}, "counts": pack(counts), "entity_f1": right / 10},
        }

    figure = Figure()
    student = {"corpora.train.limit": 3000}
    results = [
        result("teacher", 1, False),
        result(BASELINE, 5, student),
        result(BASELINE, 7, student, seed=1),
        result("better", 8, student),
        result("better", 1, student, target="ar"),
    ]
    draw_readings(results, figure)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["better"]
    (gain,) = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert gain == pytest.approx(30.0)
    assert axes.patches[0].get_width() == pytest.approx(2 * 14.14, abs=0.02), "one deviation of 50 and 70 to each side"
