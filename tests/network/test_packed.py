"""Without padding and autocast, the encoder computes what Hugging Face's modules compute, gradients too."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, XLMRobertaConfig, XLMRobertaModel

from spacy_prokd.network import encoder as encoder_module
from spacy_prokd.network.encoder import WordEncoder
from spacy_prokd.network.linear import Linear
from spacy_prokd.network.packed import can_pack, group_windows, round_up

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


def test_windows_of_similar_length_are_grouped():
    groups = group_windows([10, 10, 9, 8, 6, 6, 2])
    assert [(group.start, group.end, group.n_windows, group.length) for group in groups] == [
        (0, 37, 4, 10),
        (37, 49, 2, 6),
        (49, 51, 1, 2),
    ]
    assert groups[0].places.tolist() == [*range(29), *range(30, 38)]
    assert groups[0].pieces[groups[0].places].tolist() == list(range(37))
    assert groups[0].mask[:, 0, 0].isinf().sum(dim=1).tolist() == [0, 0, 1, 2]
    assert all(group.pieces is None and group.places is None and group.mask is None for group in groups[1:])


def test_groups_stay_small():
    groups = group_windows([2000] + [128] * 20)
    assert [(group.start, group.end, group.n_windows, group.length) for group in groups] == [
        (0, 2000, 1, 2048),
        (2000, 3024, 8, 128),
        (3024, 4048, 8, 128),
        (4048, 4560, 4, 128),
    ]


def test_the_shapes_of_groups_recur():
    """Memory grows with each new shape: of all the lengths and numbers of windows there are, few may remain."""
    lengths = [sorted(np.random.default_rng(i).integers(3, 129, size=40).tolist(), reverse=True) for i in range(50)]
    groups = [group for each in lengths for group in group_windows(each)]
    assert len({group.end - group.start for group in groups}) > 200
    assert len({(group.n_windows, group.length) for group in groups}) < 100
    padding = sum(group.n_windows * group.length for group in groups) / sum(map(sum, lengths))
    assert padding < 1.35


def test_a_group_is_filled_up_with_windows_that_are_none():
    (group,) = group_windows([7, 6, 6, 6, 6])
    assert (group.n_windows, group.length) == (8, 7)
    assert group.pieces.shape == (56,) and group.pieces.max() == 30
    assert group.places.tolist() == [*range(7), *(7 * i + j for i in range(1, 5) for j in range(6))]
    assert group.mask[:, 0, 0].isinf().sum(dim=1).tolist() == [0, 1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "n, steps, expected",
    [(0, 16, 0), (1, 16, 1), (31, 16, 31), (33, 16, 34), (2047, 16, 2048), (2048, 16, 2048), (2049, 16, 2176),
     (9, 4, 10), (100, 4, 112), (5, 2, 6), (9, 2, 12)],
)  # fmt: skip
def test_sizes_are_rounded_up_by_a_share_of_them(n, steps, expected):
    assert round_up(n, steps) == expected


@pytest.mark.parametrize(
    "setting", [{"hidden_act": "relu"}, {"position_embedding_type": "relative_key"}, {"is_decoder": True}]
)
def test_what_it_does_not_compute_is_left_to_the_modules(setting):
    assert can_pack(BertModel(BertConfig(**SIZES)))
    assert not can_pack(BertModel(BertConfig(**SIZES, **setting)))


def test_other_architectures_are_left_to_their_modules():
    config = DistilBertConfig(vocab_size=20, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=16)
    assert not can_pack(DistilBertModel(config))
