"""Without padding and autocast, the encoder computes what Hugging Face's modules compute, gradients too."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, XLMRobertaConfig, XLMRobertaModel

from spacy_prokd.network import encoder as encoder_module
from spacy_prokd.network.encoder import WordEncoder
from spacy_prokd.network.linear import Linear
from spacy_prokd.network.packed import can_pack

SIZES = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "pad_token_id": 1,
    "initializer_range": 0.2,
}
TEXTS = [["Merkel", "in", "Paris"], [], ["Berlin"], ["Die", "Siemens", "AG"] * 30, ["Weber"], ["x" * 500]]


def make_transformer(kind: str) -> nn.Module:
    torch.manual_seed(0)
    makers = {"bert": (BertModel, BertConfig), "xlm-roberta": (XLMRobertaModel, XLMRobertaConfig)}
    model, config = makers[kind]
    transformer = model(config(**SIZES, type_vocab_size=2), add_pooling_layer=False)
    for module in transformer.modules():  # as they come, all layer norms are the identity and all biases zero
        if isinstance(module, nn.Linear | nn.LayerNorm):
            nn.init.normal_(module.bias, std=0.3)
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight, mean=1.0, std=0.2)
    return transformer


@pytest.fixture(params=["bert", "xlm-roberta"])
def make(request, tiny_tokenizer):
    """Makes an encoder in a precision."""

    def make_encoder(precision: str, frozen_layers: int = 1) -> WordEncoder:
        transformer = make_transformer(request.param)
        settings = {"max_length": 32, "frozen_layers": frozen_layers, "max_batch_pieces": 128, "precision": precision}
        return WordEncoder(transformer, tiny_tokenizer, pad_id=1, unk_id=3, **settings).eval()

    return make_encoder


def slowly(encoder: WordEncoder) -> torch.Tensor:
    """The vectors that Hugging Face's modules give, with padding and autocast."""
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(encoder_module, "can_pack", lambda transformer: False)
        return encoder(TEXTS)


@torch.no_grad()
def test_in_fp32_the_vectors_are_the_same(make):
    encoder = make("fp32")
    assert_close(encoder(TEXTS), slowly(encoder), atol=1e-4, rtol=0.0)


@torch.no_grad()
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_in_half_precision_they_are_close(make, precision):
    encoder = make(precision)
    fast, exact = encoder(TEXTS), slowly(make("fp32"))
    assert fast.dtype == torch.float32
    assert not torch.equal(fast, exact)
    assert torch.cosine_similarity(fast, exact, dim=-1).min() > 0.998
    # no farther from fp32 than autocast is, but for chance
    assert (fast - exact).abs().mean() < 1.5 * (slowly(encoder) - exact).abs().mean()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_with_and_without_a_gradient_the_vectors_are_the_same(make, precision):
    """In training windows are padded for attention, in inference they share bins."""
    encoder = make(precision)
    trained = encoder(TEXTS)
    assert trained.requires_grad
    with torch.no_grad():
        found = encoder(TEXTS)
    if precision == "fp32":
        assert_close(found, trained, atol=1e-4, rtol=0.0)
    else:
        assert torch.cosine_similarity(found, trained, dim=-1).min() > 0.998


def gradients(encoder: WordEncoder) -> dict[str, torch.Tensor]:
    encoder.zero_grad()
    encoder(TEXTS).pow(3).mean().backward()
    return {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("frozen_layers", [-1, 0, 1])
def test_the_gradients_are_the_same(make, frozen_layers):
    encoder = make("fp32", frozen_layers=frozen_layers)
    fast = gradients(encoder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_module, "can_pack", lambda transformer: False)
        slow = gradients(encoder)
    assert ("transformer.embeddings.word_embeddings.weight" in fast) == (frozen_layers == -1)
    assert set(fast) == set(slow)
    for name, gradient in slow.items():
        assert_close(fast[name], gradient, atol=1e-4 * float(gradient.abs().max()) + 1e-6, rtol=1e-3, msg=name)


def test_gradients_in_bf16_point_the_same_way(make):
    half, full = gradients(make("bf16")), gradients(make("fp32"))
    for name, gradient in full.items():
        if not name.endswith("key.bias"):  # it shifts all scores of a query alike: its gradient is rounding
            assert torch.cosine_similarity(half[name].flatten(), gradient.flatten(), dim=0) > 0.97, name


@torch.no_grad()
def test_weights_that_changed_are_read_again(make):
    encoder = make("fp32")
    before = encoder(TEXTS)
    encoder.transformer.encoder.layer[2].attention.self.value.weight.mul_(2.0)
    assert not torch.allclose(encoder(TEXTS), before, atol=1e-2)
    assert_close(encoder(TEXTS), slowly(encoder), atol=1e-4, rtol=0.0)
    encoder.load_state_dict(make("fp32").state_dict())
    assert_close(encoder(TEXTS), before, atol=1e-6, rtol=0.0)


def test_a_training_step_is_seen_by_the_next_prediction(make):
    encoder = make("bf16")
    with torch.no_grad():
        before = encoder(TEXTS)
    encoder.train()(TEXTS).pow(3).mean().backward()
    torch.optim.AdamW([p for p in encoder.parameters() if p.grad is not None], lr=0.1, fused=True).step()
    encoder.eval()
    with torch.no_grad():
        assert not torch.allclose(encoder(TEXTS), before, atol=1e-2)


@torch.no_grad()
def test_a_copy_reads_its_own_weights(make):
    encoder = make("bf16")
    before = encoder(TEXTS)
    twin = copy.deepcopy(encoder)
    twin.transformer.encoder.layer[0].output.dense.weight.mul_(2.0)
    assert torch.equal(encoder(TEXTS), before)
    assert not torch.allclose(twin(TEXTS), before, atol=1e-2)


def test_frozen_layers_are_computed_without_gradient(make):
    encoder = make("bf16", frozen_layers=2)
    before, after = encoder._packed()._products(), encoder._packed()._products()
    assert [layer.up.weight.requires_grad for layer in before] == [False, False, True]
    assert [first is second for first, second in zip(before, after)] == [True, True, False]


def test_above_a_layer_of_a_gradient_none_is_without(make):
    encoder = make("bf16", frozen_layers=0)
    encoder.transformer.encoder.layer[1].requires_grad_(False)
    assert {type(layer.up) for layer in encoder._packed()._products()} == {Linear}
    named = gradients(encoder)
    assert named["transformer.encoder.layer.0.output.dense.weight"].abs().max() > 0
    assert "transformer.encoder.layer.1.output.dense.weight" not in named


def test_dropout_is_that_of_the_modules(make):
    encoder = make("fp32", frozen_layers=2).train()
    torch.manual_seed(1)
    first, second = encoder(TEXTS), encoder(TEXTS)
    torch.manual_seed(1)
    assert torch.equal(encoder(TEXTS), first)
    assert not torch.equal(first, second)


@torch.no_grad()
def test_it_is_no_part_of_what_is_saved(make):
    encoder = make("bf16")
    names = set(encoder.state_dict())
    encoder(TEXTS)
    assert set(encoder.state_dict()) == names


@pytest.mark.parametrize(
    "setting", [{"hidden_act": "relu"}, {"position_embedding_type": "relative_key"}, {"is_decoder": True}]
)
def test_what_it_does_not_compute_is_left_to_the_modules(setting):
    assert can_pack(BertModel(BertConfig(**SIZES)))
    assert not can_pack(BertModel(BertConfig(**SIZES, **setting)))


def test_other_architectures_are_left_to_their_modules():
    config = DistilBertConfig(vocab_size=20, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=16)
    assert not can_pack(DistilBertModel(config))
