"""Where an encoder comes from, and what is said when it is not there."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys

import pytest
import spacy
import torch
from spacy.tokens import DocBin
from tokenizers import Tokenizer
from torch.testing import assert_close
from transformers import AutoModel, AutoTokenizer, XLMRobertaConfig, XLMRobertaModel

from spacy_prokd import bundled_encoder
from spacy_prokd.architectures import TransformerEncoder
from spacy_prokd.encoder_loading import describe, fetch_encoder, load_encoder, read_encoder
from spacy_prokd.errors import ProKDError

SETTINGS = {"max_length": 64, "frozen_layers": 1, "max_batch_pieces": 256, "precision": "fp32"}


@pytest.fixture
def folder(tiny_encoder, tmp_path):
    """A copy of the tiny encoder to damage."""
    return shutil.copytree(tiny_encoder, tmp_path / "encoder")


def test_settings_and_special_pieces_are_taken(tiny_encoder):
    encoder = read_encoder(str(tiny_encoder), **SETTINGS)
    assert (encoder.pad_id, encoder.pieces.unk_id, encoder.width) == (1, 3, 32)
    assert {name: encoder.config[name] for name in SETTINGS} == SETTINGS


def test_a_folder_without_a_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()
    with pytest.raises(ProKDError, match=r"has no tokenizer .*tokenizer\.json.*save_pretrained"):
        read_encoder(str(folder), **SETTINGS)


def test_a_folder_without_a_config(folder):
    (folder / "config.json").unlink()
    with pytest.raises(ProKDError, match=r"is no encoder: it has no config\.json.*spacy-prokd encoder"):
        read_encoder(str(folder), **SETTINGS)


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ProKDError, match="could not be read"):
        read_encoder(str(folder), **SETTINGS)


@pytest.mark.parametrize("name", ["{tmp}/absent", "./absent", "../absent", "a/b/c"])
def test_a_missing_folder_is_not_looked_for_on_the_hub(tmp_path, name):
    with pytest.raises(ProKDError, match=r"The encoder folder .* does not exist.*spacy-prokd encoder"):
        read_encoder(name.format(tmp=tmp_path), **SETTINGS)


def test_a_hub_name_is_read_as_the_hub_stores_it(tiny_encoder, tmp_path):
    """What is downloaded lies as a snapshot in a cache. This is such a cache, with the name of the paper's encoder."""
    model = tmp_path / "cache" / "models--bert-base-multilingual-cased"
    shutil.copytree(tiny_encoder, model / "snapshots" / "0a1b2c")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("0a1b2c")
    command = [sys.executable, "-m", "spacy_prokd", "encoder", "bert-base-multilingual-cased", str(tmp_path / "out")]
    subprocess.run(command, check=True, env={**os.environ, "HF_HUB_CACHE": str(model.parent), "HF_HUB_OFFLINE": "1"})
    encoders = [read_encoder(str(path), **SETTINGS) for path in (tmp_path / "out", tiny_encoder)]
    assert_close(*(encoder.state_dict() for encoder in encoders), rtol=0, atol=0)
    assert encoders[0].pieces.tokenizer.to_str() == encoders[1].pieces.tokenizer.to_str()


def test_a_hub_name_without_a_network():
    with pytest.raises(ProKDError, match=r"'nobody/no-such-model' could not be read.*hub model while"):
        read_encoder("nobody/no-such-model", **SETTINGS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00notjson!"),
        ("model.safetensors", b""),
        ("config.json", b"{"),
        ("config.json", b'{"model_type": "no-such-type"}'),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"not json"),
    ],
)
def test_damaged_files(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(ProKDError, match="could not be read"):
        read_encoder(str(folder), **SETTINGS)


class Malice:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_weights_in_a_pickle_are_refused_and_not_run(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Malice(str(tmp_path / "owned"))}))
    with pytest.raises(ProKDError, match="could not be read"):
        read_encoder(str(folder), **SETTINGS)
    assert not (tmp_path / "owned").exists()


def test_code_in_the_folder_is_not_run(folder, tmp_path):
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "mine.Model", "AutoConfig": "mine.Config"}
    (folder / "config.json").write_text(json.dumps(config))
    assert read_encoder(str(folder), **SETTINGS).width == 32
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("read", [lambda name, _: read_encoder(name, **SETTINGS), fetch_encoder])
def test_nobody_is_asked_whether_code_in_the_folder_may_run(folder, tmp_path, monkeypatch, read):
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="mine", auto_map={"AutoModel": "mine.Model", "AutoConfig": "mine.Config"})
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("builtins.input", lambda _question: "y")
    with pytest.raises(ProKDError, match="contains custom code"):
        read(str(folder), tmp_path / "fetched")
    assert not (tmp_path / "owned").exists()


def test_windows_longer_than_the_encoder_reads(tiny_encoder):
    with pytest.raises(ProKDError, match=r"max_length = 129, but the encoder '.*tiny-bert' reads 128 pieces at most"):
        read_encoder(str(tiny_encoder), **{**SETTINGS, "max_length": 129})
    assert read_encoder(str(tiny_encoder), **{**SETTINGS, "max_length": 128}).pieces.max_length == 128


def test_the_first_positions_of_roberta_are_not_for_pieces(folder):
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=130, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=34, pad_token_id=1,
    )  # fmt: skip
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    settings = {**SETTINGS, "frozen_layers": 0}
    with pytest.raises(ProKDError, match=r"max_length = 33, but the encoder .* reads 32 pieces"):
        read_encoder(str(folder), **{**settings, "max_length": 33})
    encoder = read_encoder(str(folder), **{**settings, "max_length": 32})
    assert encoder.eval()([["Berlin"] * 100]).shape == (100, 16)  # full windows


def test_padding_asked_for_in_the_folder_is_ignored(folder, tiny_encoder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=20, pad_id=1, pad_token="<pad>")
    tokenizer.enable_truncation(4)
    tokenizer.save(str(folder / "tokenizer.json"))
    words = ["Angela", "fliegt", "nach", "Xanten"]
    assert read_encoder(str(folder), **SETTINGS).pieces.of_words(words) == read_encoder(
        str(tiny_encoder), **SETTINGS
    ).pieces.of_words(words)


def test_the_callback_fills_the_encoders_of_a_model(nlp, tiny_encoder, tiny_transformer, source_examples):
    pipe = nlp.add_pipe("prokd_ner", config={"model": {"tok2vec": tiny_transformer}})
    pipe.initialize(lambda: source_examples, encoder=load_encoder(str(tiny_encoder)))
    tok2vec = pipe.model.get_ref("tok2vec")
    assert tok2vec.get_dim("nO") == 32
    expected = read_encoder(str(tiny_encoder), **SETTINGS).eval()
    docs = [example.predicted for example in source_examples]
    with torch.no_grad():
        vectors = expected([[word.text for word in doc] for doc in docs])
    assert_close(torch.cat([torch.from_numpy(v) for v in tok2vec.predict(docs)]), vectors, atol=1e-5, rtol=0.0)


def test_an_encoder_for_a_model_without_a_place_for_it(nlp, small_tok2vec, tiny_encoder, source_examples):
    pipe = nlp.add_pipe("prokd_ner", config={"model": {"tok2vec": small_tok2vec}})
    with pytest.raises(ProKDError, match=r"no spacy-prokd\.TransformerEncoder\.v1 to put it in"):
        pipe.initialize(lambda: source_examples, encoder=load_encoder(str(tiny_encoder)))


def test_an_encoder_that_was_never_named(nlp, tiny_transformer, source_examples):
    nlp.add_pipe("prokd_ner", config={"model": {"tok2vec": tiny_transformer}})
    with pytest.raises(ProKDError, match=r"(?i)encoder|width"):
        nlp.initialize(lambda: source_examples)


def test_callbacks_resolve_from_a_config(tiny_encoder):
    config = {"encoder": {"@callbacks": "spacy-prokd.load_encoder.v1", "name": str(tiny_encoder)}}
    assert callable(spacy.registry.resolve(config)["encoder"])


def test_the_meta_names_the_encoder_and_no_folder_of_this_machine(nlp, tiny_encoder):
    described = describe(str(tiny_encoder), "en", "de")(nlp)
    assert described.meta["spacy_prokd"] == {
        "encoder": "tiny-bert",
        "source_lang": "en",
        "target_lang": "de",
        "labelled_target_texts": 0,
    }
    hub = describe("bert-base-multilingual-cased", "en", "nl")(nlp)
    assert hub.meta["spacy_prokd"]["encoder"] == "bert-base-multilingual-cased"


@pytest.mark.parametrize("callback", ["describe", "load_encoder"])
def test_a_path_of_no_encoder_says_which_setting_is_missing(callback):
    facts = {"describe": {"encoder": None, "source_lang": "en", "target_lang": "de"}, "load_encoder": {"name": None}}
    block = {"@callbacks": f"spacy-prokd.{callback}.v1", **facts[callback]}
    with pytest.raises(ProKDError, match=r"The encoder has no path.*--paths\.encoder"):
        spacy.registry.resolve({"block": block})


def test_the_meta_says_how_many_labelled_target_texts_were_learned_from(nlp, tmp_path):
    DocBin(docs=[nlp.make_doc("eins"), nlp.make_doc("zwei")]).to_disk(tmp_path / "labelled.spacy")
    described = describe("any", "en", "de", few_shot=str(tmp_path / "labelled.spacy"))(nlp)
    assert described.meta["spacy_prokd"]["labelled_target_texts"] == 2


def test_fetching_writes_an_ordinary_folder(tiny_encoder, tmp_path):
    output = fetch_encoder(str(tiny_encoder), tmp_path / "fetched")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in output.iterdir()}
    assert AutoTokenizer.from_pretrained(output)("Berlin")["input_ids"] == [0, 6, 2]
    weights = AutoModel.from_pretrained(output, add_pooling_layer=False).state_dict()
    for name, value in AutoModel.from_pretrained(tiny_encoder, add_pooling_layer=False).state_dict().items():
        assert torch.equal(weights[name], value)


def test_fetching_what_is_not_there_leaves_nothing(folder, tmp_path):
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ProKDError):
        fetch_encoder(str(folder), tmp_path / "fetched")
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


def test_fetching_replaces_an_encoder_and_no_other_folder(tiny_encoder, tmp_path):
    mine = tmp_path / "documents" / "mine.txt"
    mine.parent.mkdir()
    mine.touch()
    for name in (str(tiny_encoder), bundled_encoder.NAME):
        with pytest.raises(ProKDError, match=r"documents has something in it that is no encoder"):
            fetch_encoder(name, mine.parent)
    assert mine.is_file()
    for _ in range(2):
        fetch_encoder(str(tiny_encoder), tmp_path / "fetched")


def test_fetching_the_bundled_encoder_reads_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled_encoder, "build_bundled_encoder", lambda output: output / "bundled")
    assert fetch_encoder("multilingual-e5-small", tmp_path) == tmp_path / "bundled"


@pytest.mark.parametrize("share", [-0.1, 1.0, 15])
def test_masked_words_are_a_share(share):
    with pytest.raises(ProKDError, match=f"masked_words = {share}, but it is a share"):
        TransformerEncoder(masked_words=share)
