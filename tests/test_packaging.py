import json
import pickle
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import spacy
import srsly
from spacy.language import DEFAULT_CONFIG
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Config, PyTorchWrapper
from torch import nn

import spacy_prokd
from spacy_prokd import bundled_encoder
from spacy_prokd.errors import ProKDError
from spacy_prokd.packaging import assert_no_pickle, package, portable_config

# spaCy leaves the files it writes for the garbage collector to close
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TEXT = "Ada Lovelace wrote."
SCORES = {
    "ents_p": 0.7,
    "ents_r": 0.6,
    "ents_f": 0.6462,
    "token_f": 0.68,
    "ents_per_type": {"PER": {"p": 0.7, "r": 0.6, "f": 0.6462, "support": 131}},
    "sentences": 150,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The arguments of `package` for a small trained pipeline whose config names folders of this machine."""
    root = tmp_path_factory.mktemp("run")
    nlp = spacy.blank("xx")
    tok2vec = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 8,
        "depth": 1,
        "embed_size": 100,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
        "pretrained_vectors": None,
    }
    nlp.add_pipe("ner", config={"model": {"tok2vec": tok2vec}})
    nlp.add_pipe("sentencizer", config={"punct_chars": [".", "/", "!"]})
    nlp.meta["spacy_prokd"] = {"calibrated_on": "en dev"}
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc(TEXT), {"entities": [(0, 12, "PER")]})])
    nlp.config["paths"].update({"train": str(root / "corpus"), "encoder": str(root / "encoder")})
    nlp.config["training"]["logger"] = {
        "@loggers": "spacy.ConsoleLogger.v3",
        "output_file": str(root / "student" / "log.jsonl"),
    }
    nlp.config["initialize"]["vocab_data"] = "${paths.encoder}"
    nlp.to_disk(root / "student")
    for lang, docs in {"en": 640, "de": 800}.items():
        (root / "corpus" / lang).mkdir(parents=True)
        report = {"lang": lang, "splits": {"train": {"docs": docs, "words": 9999, "origin": f"my|{lang}.txt"}}}
        srsly.write_json(root / "corpus" / lang / "convert.json", report)
    names = ["Ada|Lovelace", "Ada|Lovelace", "Alan", "Grace", "Kurt"]
    labelled = [Doc(nlp.vocab, words=[name, "wrote"], ents=["B-PER", "O"]) for name in names]
    DocBin(docs=labelled).to_disk(root / "corpus" / "en" / "train.spacy")
    for role, f in {"teacher": 0.5432, "student": SCORES["ents_f"]}.items():
        srsly.write_json(root / f"{role}.json", {**SCORES, "ents_f": f})
    return {
        "pipeline": root / "student",
        "output": root / "packages",
        "name": "prokd_de",
        "version": "0.2.0",
        "encoder": str(root / bundled_encoder.NAME),
        "source": root / "corpus" / "en",
        "target": root / "corpus" / "de",
        "metrics": {role: root / f"{role}.json" for role in ("teacher", "student")},
        "vocabulary_size": 0,
    }


@pytest.fixture(scope="module")
def wheel(run):
    return package(**run)


def _read(wheel: Path, ending: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name, *_) = [name for name in archive.namelist() if name.endswith(ending)]
        return archive.read(name).decode("utf8")


def _zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_the_output_is_one_folder_with_the_wheel_in_dist(run, wheel):
    folder = run["output"] / "xx_prokd_de-0.2.0"
    assert wheel == folder / "dist" / "xx_prokd_de-0.2.0-py3-none-any.whl"
    assert [path.name for path in run["output"].iterdir()] == [folder.name]
    assert sorted(path.name for path in folder.iterdir()) == [
        "MANIFEST.in",
        "README.md",
        "dist",
        "meta.json",
        "setup.py",
        "xx_prokd_de",
    ]


def test_the_wheel_loads_and_tags_as_the_pipeline_did(run, wheel, tmp_path):
    expected = [(ent.text, ent.label_) for ent in spacy.load(run["pipeline"])(TEXT).ents]
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import sys, xx_prokd_de; nlp = xx_prokd_de.load(); "
        "print([(e.text, e.label_) for e in nlp(sys.argv[1]).ents], nlp.meta['version'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, TEXT], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == f"{expected} 0.2.0"


def test_pipes_of_a_package_are_removed_renamed_replaced_and_initialized_anew(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    nlp = spacy.load(tmp_path / "xx_prokd_de" / "xx_prokd_de-0.2.0")
    nlp.add_pipe("entity_ruler", before="ner")
    nlp.remove_pipe("entity_ruler")
    nlp.rename_pipe("ner", "names")
    nlp.replace_pipe("sentencizer", "sentencizer")
    nlp.to_disk(tmp_path / "again")
    nlp = spacy.load(tmp_path / "again")
    nlp.initialize()
    assert nlp.pipe_names == ["names", "sentencizer"]


def test_no_file_of_the_wheel_names_a_folder_of_this_machine(run, wheel):
    root = str(run["pipeline"].parent).encode()
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if root in archive.read(name)] == []
    config = Config().from_str(_read(wheel, "config.cfg"))
    assert config["components"]["sentencizer"]["punct_chars"] == [".", "/", "!"]
    assert config["training"]["optimizer"]["@optimizers"] == "Adam.v1"


def test_meta_says_what_it_was_made_of(wheel):
    meta = json.loads(_read(wheel, "meta.json"))
    major, minor, *_ = spacy_prokd.__version__.split(".")
    assert meta["requirements"] == [f"spacy-prokd>={spacy_prokd.__version__},<{major}.{int(minor) + 1}.0"]
    assert meta["labels"]["ner"] == ["PER"]
    assert meta["performance"] == {key: value for key, value in SCORES.items() if key != "sentences"}
    notes = meta["spacy_prokd"]
    assert notes["encoder"] == bundled_encoder.NAME
    assert notes["encoder_licence"] == bundled_encoder.LICENCE_NOTE
    assert notes["sentences"] == {"en train": 640, "de train": 800}
    assert notes["origins"] == {"en train": "my|en.txt", "de train": "my|de.txt"}
    assert (notes["source_lang"], notes["target_lang"]) == ("en", "de")


def test_the_readme_is_a_model_card(run, wheel):
    card = (run["output"] / "xx_prokd_de-0.2.0" / "README.md").read_text(encoding="utf8")
    assert card.startswith("# xx_prokd_de\n")
    assert "in **German** text" in card and "without any label in German" in " ".join(card.split())
    assert 'spacy.load("xx_prokd_de")' in card and "ent._.score" in card
    assert "| PER | 131 | 70.0 | 60.0 | 64.6 | Ada\\|Lovelace, Alan, Grace |" in card, "the most frequent names"
    assert "| teacher | 70.0 | 60.0 | 54.3 | 68.0 |" in card
    assert "| de train | 800 | my\\|de.txt |" in card
    assert "ask whoever built this package" in card
    assert bundled_encoder.LICENCE_NOTE in card
    assert "between 0 and 1, calibrated on labelled text: en dev. Loading" in card
    assert "pieces" not in card and "labels to score on" not in card
    requirements = srsly.read_json(run["output"] / "xx_prokd_de-0.2.0" / "meta.json")["requirements"]
    assert requirements and f"It needs `{requirements[0]}`" in card
    (line,) = re.findall("^doc = nlp.*$", card, flags=re.MULTILINE)
    assert line.startswith('doc = nlp("Die ganze Stadt'), "it can be pasted as it is"


def test_a_card_with_scores_of_the_source_says_so(run, tmp_path):
    for role in run["metrics"]:
        srsly.write_json(tmp_path / f"{role}.json", {**SCORES, "data": "en dev"})
    metrics = {role: tmp_path / f"{role}.json" for role in run["metrics"]}
    package(**{**run, "output": tmp_path / "packages", "metrics": metrics})
    card = (tmp_path / "packages" / "xx_prokd_de-0.2.0" / "README.md").read_text(encoding="utf8")
    assert "**No text in German had labels to score on.** All scores here are of text in English" in card
    assert "Training data" not in card and "ask whoever built this package" in card


def test_a_card_names_the_licence_of_the_corpora_once(run, tmp_path):
    for lang in ("en", "de"):
        (tmp_path / lang).mkdir()
        report = {"lang": lang, "splits": {"train": {"docs": 640}}, "licence": "CC0 1.0"}
        srsly.write_json(tmp_path / lang / "convert.json", report)
    package(**{**run, "output": tmp_path / "packages", "source": tmp_path / "en", "target": tmp_path / "de"})
    card = (tmp_path / "packages" / "xx_prokd_de-0.2.0" / "README.md").read_text(encoding="utf8")
    assert card.count("- Training data: CC0 1.0\n") == 1 and "ask whoever" not in card


def test_a_package_of_two_languages_names_both(run, tmp_path):
    both = tmp_path / "corpus" / "de+nl"
    for lang in ("de", "nl"):
        (both / lang).mkdir(parents=True)
        srsly.write_json(both / lang / "convert.json", {"splits": {"train": {"docs": len(lang) * 400}}})
    for role in run["metrics"]:
        parts = {f"{lang} test": {**SCORES, "ents_f": f} for lang, f in {"de": 0.5, "nl": 0.25}.items()}
        srsly.write_json(tmp_path / f"{role}.json", {**SCORES, "data": "de test, nl test", "parts": parts})
    metrics = {role: tmp_path / f"{role}.json" for role in run["metrics"]}
    package(**{**run, "output": tmp_path / "packages", "name": "prokd_de_nl", "target": both, "metrics": metrics})
    folder = tmp_path / "packages" / "xx_prokd_de_nl-0.2.0"
    meta, card = srsly.read_json(folder / "meta.json"), (folder / "README.md").read_text(encoding="utf8")
    assert meta["description"].startswith("Named entities in German and Dutch,")
    assert meta["spacy_prokd"]["sentences"] == {"en train": 640, "de train": 800, "nl train": 800}
    assert "named entities in **German and Dutch** text" in card
    rows = ["| entity F1 on | teacher | student |", "|---|---:|---:|", "| de test | 50.0 | 50.0 |"]
    assert "\n".join([*rows, "| nl test | 25.0 | 25.0 |", "", "## How"]) in card


def test_variables_and_paths_leave_the_config_and_hub_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("assets/encoder").mkdir(parents=True)
    text = f"""
    [paths]
    encoder = "{tmp_path}/encoder"
    [nlp]
    lang = "xx"
    [components]
    [components.prokd_ner]
    absolute = ${{paths.encoder}}
    relative = "assets/encoder"
    missing = "./gone"
    hub = "jhu-clsp/mmBERT-base"
    sign = "/"
    [corpora]
    [corpora.source]
    path = "corpus/en"
    [training]
    seed = 3
    train_corpus = "corpora.source"
    [training.before_to_disk]
    @callbacks = "spacy-prokd.describe.v1"
    encoder = ${{paths.encoder}}
    [initialize]
    [initialize.components]
    """
    config = portable_config(Config().from_str(text.replace("\n    ", "\n")))
    assert config["components"]["prokd_ner"] == {
        "absolute": None,
        "relative": None,
        "missing": None,
        "hub": "jhu-clsp/mmBERT-base",
        "sign": "/",
    }
    assert config["training"]["seed"] == 3
    assert config["training"]["before_to_disk"] is None
    assert set(config) == set(DEFAULT_CONFIG) and set(config["corpora"]) == {"train", "dev"}
    assert not any(config["paths"].values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "prokd-de"}, "'prokd-de' cannot be a package's name"),
        ({"version": "first"}, "'first' is no version"),
        ({"pipeline": Path("nowhere")}, "nowhere is no saved pipeline"),
        ({"metrics": {"student": Path("nowhere.json")}}, "nowhere.json is missing.*project run evaluate"),
    ],
)
def test_bad_input_is_explained_and_leaves_nothing(run, tmp_path, change, message):
    with pytest.raises(ProKDError, match=message):
        package(**{**run, "output": tmp_path / "packages", **change})
    assert not (tmp_path / "packages").exists()


def test_a_pipeline_that_does_not_load_is_no_package(run, tmp_path):
    shutil.copytree(run["pipeline"], tmp_path / "damaged")
    (tmp_path / "damaged" / "ner" / "model").write_bytes(b"half")
    with pytest.raises(ProKDError, match="damaged cannot be loaded as a pipeline"):
        package(**{**run, "pipeline": tmp_path / "damaged", "output": tmp_path / "packages"})
    assert not (tmp_path / "packages").exists()


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"{}", b'{"splits": []}', b'{"splits": {"train": {}}}'])
def test_a_damaged_report_of_convert_is_named(run, tmp_path, content):
    shutil.copytree(run["target"], tmp_path / "de")
    (tmp_path / "de" / "convert.json").write_bytes(content)
    with pytest.raises(ProKDError, match=r"de.convert\.json is damaged\. .*project run convert --force.*delete it"):
        package(**{**run, "target": tmp_path / "de", "output": tmp_path / "packages"})
    assert not (tmp_path / "packages").exists()


def test_a_link_brings_nothing_of_this_machine_into_the_package(run, tmp_path):
    (tmp_path / "secret").write_text("secret", encoding="utf8")
    shutil.copytree(run["pipeline"], tmp_path / "linked")
    (tmp_path / "linked" / "notes.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(ProKDError, match=r"notes\.txt leads out of .*linked, to .*secret"):
        package(**{**run, "pipeline": tmp_path / "linked", "output": tmp_path / "packages"})
    assert not (tmp_path / "packages").exists()


def test_without_text_there_is_no_telling_which_pieces_to_keep(run, tmp_path):
    with pytest.raises(ProKDError, match="de.train.spacy is not there.*--vocabulary-size 0"):
        package(**{**run, "output": tmp_path / "packages", "vocabulary_size": 100})
    assert list((tmp_path / "packages").iterdir()) == []


def test_a_failed_build_leaves_nothing_and_keeps_the_package_before(run, wheel, monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(ProKDError, match="The wheel was not built"):
        package(**run)
    assert wheel.is_file()
    assert len(list(run["output"].iterdir())) == 1


class _Unknown:
    """Not an array, not JSON: only pickle can write it."""


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_refused(tmp_path, protocol):
    wheel = _zip(tmp_path / "a.whl", {"p/ok.json": b"{}", "p/weights": pickle.dumps(_Unknown(), protocol)})
    with pytest.raises(ProKDError, match=r"a.whl: p/weights has a pickle in it"):
        assert_no_pickle(wheel)


def test_a_torch_archive_inside_a_model_file_is_refused(tmp_path):
    model = PyTorchWrapper(nn.Linear(2, 2))
    with pytest.raises(ProKDError, match=r"p/model has a pickle in it"):
        assert_no_pickle(_zip(tmp_path / "a.whl", {"p/model": model.to_bytes()}))


def test_a_pickled_attribute_inside_a_model_file_is_refused(tmp_path):
    model = {"nodes": [], "attrs": [{"cache": pickle.dumps(_Unknown())}], "params": [], "shims": []}
    with pytest.raises(ProKDError, match=r"p/model has a pickle in it"):
        assert_no_pickle(_zip(tmp_path / "a.whl", {"p/model": srsly.msgpack_dumps(model)}))


def test_an_array_of_objects_is_refused(tmp_path):
    np.save(tmp_path / "vectors.npy", np.array([_Unknown()]), allow_pickle=True)
    with pytest.raises(ProKDError, match=r"array of pickled objects"):
        assert_no_pickle(_zip(tmp_path / "a.whl", {"p/vectors": (tmp_path / "vectors.npy").read_bytes()}))


def test_what_only_begins_like_a_pickle_is_accepted(tmp_path):
    header = b'{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'.ljust(0x280)
    safetensors = struct.pack("<Q", len(header)) + header
    assert safetensors.startswith(pickle.dumps(None, 2)[:2])
    model = {"nodes": [], "attrs": [], "params": [{"W": np.zeros((2, 2), dtype="f")}], "shims": [safetensors]}
    files = {"p/weights": safetensors, "p/model": srsly.msgpack_dumps(model), "p/empty": b"", "p/map": b"\x80"}
    assert_no_pickle(_zip(tmp_path / "a.whl", files))
