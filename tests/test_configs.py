"""Each config trains on its own, and says nothing that spaCy does not understand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spacy
from conftest import LABELS, to_examples, weights
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin
from spacy.util import load_config, load_model_from_config
from thinc.api import Config

from spacy_prokd.packaging import portable_config
from spacy_prokd.reporting.inputs import dotted
from spacy_prokd.soft_labels import set_soft_labels

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of spacy-transformers and what it imports
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.filterwarnings("ignore:Scores are not calibrated"),  # by a dev set of a few sentences
]
CONFIGS = Path(__file__).parents[1] / "configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.cfg"))
TEXT = "Angela Merkel visited Paris yesterday ."


def write_soft(docs: list[Doc], folder: Path) -> Path:
    """Target text with the opinion of a teacher that is sure of little."""
    folder.mkdir()
    for doc in docs:
        p = np.full((len(doc), 1 + 2 * len(LABELS)), 0.05, dtype=np.float32)
        p[:, 5] = 0.7
        set_soft_labels(doc, p)
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "00000.spacy")
    (folder / "labels.json").write_text('["LOC", "ORG", "PER"]', encoding="utf8")
    return folder


@pytest.fixture
def soft_corpus(corpus, target_docs):
    return write_soft(target_docs, corpus / "soft")


def overrides(corpus: Path, encoder: Path) -> dict:
    return {
        "paths.train": str(corpus / "source.spacy"),
        "paths.dev": str(corpus / "source.spacy"),
        "paths.log": str(corpus / "log.jsonl"),
        "paths.encoder": str(encoder),
        "training.max_steps": 3,
        "training.eval_frequency": 2,
        "corpora.train.min_examples": 0,
        "corpora.dev.limit": 0,
    }


def train_and_reload(name: str, output: Path, settings: dict) -> spacy.Language:
    train(CONFIGS / f"{name}.cfg", output, overrides=settings)
    for model in ("model-best", "model-last"):
        nlp = spacy.load(output / model)
    doc = nlp(TEXT)
    assert len(doc.spans["prokd"].attrs["scores"]) == len(doc.spans["prokd"])
    assert nlp.get_pipe("prokd_ner").labels == tuple(LABELS)
    return nlp


def test_there_are_the_configs_that_the_docs_name():
    assert {"teacher", "student", "hash_embed", "shared_transformer"} <= set(NAMES)


def test_teacher_trains(corpus, tiny_encoder, tmp_path):
    nlp = train_and_reload("teacher", tmp_path / "out", overrides(corpus, tiny_encoder))
    assert nlp.meta["spacy_prokd"] == {
        "encoder": "tiny-bert",
        "source_lang": "en",
        "target_lang": "de",
        "labelled_target_texts": 0,
    }
    assert str(tiny_encoder) not in nlp.get_pipe("prokd_ner").model.to_bytes().decode("latin1")


def test_teacher_trains_with_alignment(corpus, tiny_encoder, tmp_path):
    settings = overrides(corpus, tiny_encoder)
    settings["components.prokd_ner.objective.alignment_weight"] = 0.1
    settings["paths.target"] = str(corpus / "target.spacy")
    nlp = train_and_reload("teacher", tmp_path / "out", settings)
    head = nlp.get_pipe("prokd_ner").model.get_ref("head").shims[0].module
    assert int(head.source.updates) > 0 and int(head.target.updates) > 0, "the banks are saved with the pipeline"


def test_student_trains(corpus, soft_corpus, tiny_encoder, tmp_path):
    train_and_reload("teacher", tmp_path / "teacher", overrides(corpus, tiny_encoder))
    settings = overrides(corpus, tiny_encoder)
    settings["paths.train"] = str(soft_corpus)
    settings["paths.labels"] = str(soft_corpus / "labels.json")
    settings["paths.teacher"] = str(tmp_path / "teacher" / "model-best")
    settings["components.prokd_ner.objective.beta"] = 0.1  # three steps make no prototypes worth more
    nlp = train_and_reload("student", tmp_path / "student", settings)
    teacher = spacy.load(tmp_path / "teacher" / "model-best")
    assert nlp.get_pipe("prokd_ner").model.to_bytes() != teacher.get_pipe("prokd_ner").model.to_bytes()


def test_a_streamed_corpus_of_more_texts_than_spacy_initializes_with(tiny_encoder, corpus, tmp_path):
    """spaCy gives `initialize` 100 examples of a streamed corpus; self-training needs a label for each text."""
    vocab = spacy.blank("xx").vocab
    soft = write_soft([Doc(vocab, words=["Er", "fuhr", "nach", str(i)]) for i in range(150)], tmp_path / "soft")
    settings = overrides(corpus, tiny_encoder)
    settings |= {
        "paths.train": str(soft),
        "paths.labels": str(soft / "labels.json"),
        "components.prokd_ner.model.tok2vec.frozen_layers": 1,
        "components.prokd_ner.objective.alpha": 0.5,
        "components.prokd_ner.objective.beta": 0.0,  # the raw encoder makes no prototypes worth more
        "initialize.components.prokd_ner.start_from": None,
        "initialize.components.prokd_ner.epochs": 2,
        "training.optimizer.learn_rate.epochs": 2,
        "training.batcher.largest": 16,
        "training.max_epochs": -1,
        "training.max_steps": 18,  # into the second epoch
        "corpora.train.shuffle": 50,
    }
    train_and_reload("student", tmp_path / "student", settings)


def test_a_student_can_start_from_the_raw_encoder(corpus, soft_corpus, tiny_encoder, tmp_path):
    settings = overrides(corpus, tiny_encoder)
    settings["paths.train"] = str(soft_corpus)  # and so paths.labels
    settings["initialize.components.prokd_ner.start_from"] = None
    settings["components.prokd_ner.objective.self_training"] = False
    settings["components.prokd_ner.model.tok2vec.frozen_layers"] = 1
    nlp = train_and_reload("student", tmp_path / "student", settings)
    from transformers import AutoModel

    trained = nlp.get_pipe("prokd_ner").model.get_ref("tok2vec").shims[0].module.transformer.state_dict()
    raw = AutoModel.from_pretrained(tiny_encoder).state_dict()
    assert trained["embeddings.word_embeddings.weight"].equal(raw["embeddings.word_embeddings.weight"])
    assert not trained["encoder.layer.2.output.dense.weight"].equal(raw["encoder.layer.2.output.dense.weight"])


def test_hash_embed_trains(corpus, tmp_path):
    settings = overrides(corpus, tmp_path)
    del settings["paths.encoder"]
    settings["training.max_steps"] = 12
    nlp = train_and_reload("hash_embed", tmp_path / "out", settings)
    assert nlp.get_pipe("prokd_ner").model.get_dim("nO") == 7


def test_shared_transformer_trains_both_pipes(corpus, tiny_encoder, tmp_path):
    settings = overrides(corpus, tiny_encoder)
    settings["training.optimizer.learn_rate.initial_rate"] = 0.01
    settings["training.optimizer.learn_rate.warmup"] = 0.0
    nlp = train_and_reload("shared_transformer", tmp_path / "out", settings)
    trained = {name: value.detach() for name, value in transformer_weights(nlp).items()}
    from transformers import AutoModel

    fresh = AutoModel.from_pretrained(tiny_encoder).state_dict()
    moved = [name for name, value in trained.items() if "encoder.layer" in name and not value.equal(fresh[name])]
    assert moved, "no gradient reached the shared transformer"
    nothing = nlp.get_pipe("prokd_ner").model.predict([Doc(nlp.vocab), Doc(nlp.vocab)])  # as the label step asks
    assert nothing.lengths == [0, 0] and len(nothing.vectors) == len(nothing.logits) == 0


def transformer_weights(nlp: spacy.Language) -> dict:
    shims = [shim for node in nlp.get_pipe("transformer").model.walk() for shim in node.shims]
    return shims[0]._model.state_dict()


def test_a_shared_transformer_can_be_packaged(corpus, tiny_encoder, tmp_path):
    """Its config names the encoder's folder, which is no more needed, and which a package must not name."""
    nlp = train_and_reload("shared_transformer", tmp_path / "out", overrides(corpus, tiny_encoder))
    folder = tmp_path / "out" / "model-last"
    expected = [(ent.text, ent.label_) for ent in nlp(TEXT).ents]
    portable_config(Config().from_disk(folder / "config.cfg")).to_disk(folder / "config.cfg")
    assert str(tiny_encoder) not in (folder / "config.cfg").read_text(encoding="utf8")
    assert [(ent.text, ent.label_) for ent in spacy.load(folder)(TEXT).ents] == expected


def test_who_listens_to_a_transformer_can_get_one_of_its_own(corpus, tiny_encoder, tmp_path):
    nlp = train_and_reload("shared_transformer", tmp_path / "out", overrides(corpus, tiny_encoder))
    expected = [(ent.text, ent.label_) for ent in nlp(TEXT).ents]
    nlp.replace_listeners("transformer", "prokd_ner", ["model.tok2vec"])
    other = spacy.blank("xx")
    other.add_pipe("prokd_ner", source=nlp)
    other.to_disk(tmp_path / "other")
    assert [(ent.text, ent.label_) for ent in spacy.load(tmp_path / "other")(TEXT).ents] == expected


def test_a_packaged_pipeline_can_learn_on(corpus, source_docs, tmp_path):
    """`nlp.resume_training()` makes the optimizer of its config, whose corpus is not there any more."""
    settings = overrides(corpus, tmp_path)
    del settings["paths.encoder"]
    train_and_reload("hash_embed", tmp_path / "out", settings)
    folder = tmp_path / "out" / "model-last"
    portable_config(Config().from_disk(folder / "config.cfg")).to_disk(folder / "config.cfg")
    nlp = spacy.load(folder)
    before = weights(nlp)
    optimizer = nlp.resume_training()
    nlp.update(to_examples(source_docs), sgd=optimizer)
    assert weights(nlp) != before and optimizer.learn_rate == 0.001


@pytest.mark.parametrize("name", NAMES)
def test_filling_a_config_changes_nothing_that_it_says(name, tiny_encoder):
    paths = {"paths.encoder": str(tiny_encoder)}
    if name == "student":
        paths["paths.labels"] = "labels.json"
    config = load_config(CONFIGS / f"{name}.cfg", overrides=paths)
    nlp = load_model_from_config(config, auto_fill=True)
    said, filled = dotted(config), dotted(nlp.config)
    assert not set(said) - set(filled), "spaCy dropped these"
    assert {key: filled[key] for key in said} == said
    again = load_model_from_config(nlp.config, auto_fill=False, validate=True)
    assert dotted(again.config) == filled


@pytest.mark.parametrize("name", NAMES)
def test_no_config_names_a_place_of_this_machine(name):
    text = (CONFIGS / f"{name}.cfg").read_text(encoding="utf8")
    assert "/work" not in text and "/home" not in text and "\t" not in text


def test_the_configs_differ_only_where_they_must():
    """hash_embed and shared_transformer are the teacher's config with another tok2vec and its learning rate.

    Means of weights, for which the rate does not fall, are TorchShim's: Thinc's layers keep others, spacy-transformers'
    none.
    """
    teacher = dotted(Config().from_disk(CONFIGS / "teacher.cfg", interpolate=False))
    for name in ("hash_embed", "shared_transformer"):
        other = dotted(Config().from_disk(CONFIGS / f"{name}.cfg", interpolate=False))
        differ = {key for key in {*teacher, *other} if teacher.get(key) != other.get(key)}
        allowed = (
            "components.prokd_ner.model.",
            "components.transformer.",
            "initialize.components.prokd_ner.encoder.",
            "training.optimizer.learn_rate.initial_rate",
            "training.optimizer.learn_rate.last",
            "training.optimizer.use_averages",
            "training.max_epochs",
            "training.dropout",
            "training.before_to_disk.encoder",
            "paths.encoder",
            "nlp.pipeline",
        )
        assert not {key for key in differ if not key.startswith(allowed)}, name
