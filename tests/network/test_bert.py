"""Our own BERT has Hugging Face's names, vectors and gradients."""

from __future__ import annotations

import json

import pytest
import torch
from test_packed import SIZES, make_transformer
from torch.testing import assert_close
from transformers import BertConfig, DistilBertConfig, XLMRobertaConfig

from spacy_prokd.network.bert import Bert, Settings, is_plain_bert
from spacy_prokd.network.encoder import build_transformer


def settings_of(config) -> Settings:
    return Settings(**json.loads(config.to_json_string(use_diff=False)))


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("padded", [False, True])
def test_it_computes_what_hugging_face_computes(kind, padded):
    theirs = make_transformer(kind).eval()
    ours = Bert(settings_of(theirs.config)).eval()
    ours.load_state_dict(theirs.state_dict())
    ids = torch.randint(4, 200, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = None
    if padded:
        mask = (torch.arange(9) < torch.tensor([[9], [5], [1]])).long()
        ids[mask == 0] = 1
    kept = torch.ones(3, 9, 1) if mask is None else mask[..., None]
    outputs = [model(input_ids=ids, attention_mask=mask).last_hidden_state * kept for model in (ours, theirs)]
    assert_close(*outputs, rtol=1e-4, atol=1e-5)
    for output in outputs:
        (output**2).sum().backward()
    for name, parameter in theirs.named_parameters():
        if "position_embeddings" in name:  # padding has a position of its own there, and nothing comes of it
            continue
        assert_close(ours.get_parameter(name).grad, parameter.grad, rtol=1e-3, atol=1e-4, msg=name)
    assert_close(ours.embeddings.position_embeddings.weight.grad, theirs.embeddings.position_embeddings.weight.grad)


def test_hidden_states_have_dropout():
    ours = Bert(Settings(**{**vars(settings_of(BertConfig(**SIZES))), "hidden_dropout_prob": 0.5}))
    ids = torch.full((1, 6), 7)
    torch.manual_seed(0)
    assert not torch.equal(ours.train()(ids).last_hidden_state, ours(ids).last_hidden_state)
    assert torch.equal(ours.eval()(ids).last_hidden_state, ours(ids).last_hidden_state)


@pytest.mark.parametrize("setting", [{"hidden_act": "relu"}, {"is_decoder": True}, {"position_embedding_type": "rel"}])
def test_variants_are_not_its_kind(setting):
    assert is_plain_bert(XLMRobertaConfig(**SIZES))
    assert not is_plain_bert(XLMRobertaConfig(**{**SIZES, **setting}))


def test_other_architectures_are_built_by_hugging_face():
    other = DistilBertConfig(vocab_size=20, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=16)
    built = build_transformer(vars(settings_of(other)))
    assert type(built).__name__ == "DistilBertModel" and built.config.attention_dropout == 0.0
    assert isinstance(build_transformer(vars(settings_of(BertConfig(**SIZES)))), Bert)
