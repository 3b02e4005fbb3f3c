"""The encoder: the right vectors in the right order, and frozen layers that stay as they are."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from conftest import read_pre_split
from torch.testing import assert_close
from transformers import AlbertConfig, AlbertModel, AutoModel, AutoTokenizer, DistilBertConfig, DistilBertModel

from spacy_prokd.encoder_loading import read_encoder
from spacy_prokd.network import encoder as encoder_module
from spacy_prokd.network.dropout import ByteDropout
from spacy_prokd.network.encoder import (
    WordEncoder,
    autocast,
    bottom_modules,
    find_layers,
    has_bf16,
)

TEXTS = [
    ["Merkel", "und", "Weber"],
    [],
    ["Die", "Siemens", "AG", "baut", "in", "München", "ein", "neues", "Werk", "."],
    ["Berlin"],
    ["Angela", "Merkel", "besuchte", "gestern", "Paris", "."] * 8,  # longer than a window
    ["", "\u200b", "x" * 10_000],
]


@pytest.fixture
def make(tiny_encoder):
    """Makes the tiny encoder with some settings."""

    def make_encoder(**settings) -> WordEncoder:
        defaults = {"max_length": 32, "frozen_layers": 1, "max_batch_pieces": 128, "precision": "fp32"}
        return read_encoder(str(tiny_encoder), **{**defaults, **settings})

    return make_encoder


@pytest.fixture
def encoder(make):
    return make().eval()


@pytest.fixture
def padded(monkeypatch):
    """Every architecture takes the way through Hugging Face's modules, as those do that `packed` does not know."""
    monkeypatch.setattr(encoder_module, "can_pack", lambda transformer: False)


def step(encoder: WordEncoder) -> None:
    """One large training step on everything that has a gradient."""
    vectors = encoder.train()(TEXTS)
    goal = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    (vectors - goal).square().mean().backward()
    torch.optim.SGD([p for p in encoder.parameters() if p.grad is not None], lr=1.0).step()


def test_vectors_are_those_of_the_first_pieces_of_pre_split_words(encoder, tiny_encoder):
    words = ["Die", "Siemens", "AG", "baut", "in", "München", "."]
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    ids, of_word = read_pre_split(tokenizer, words)
    first = [of_word.index(i) for i in range(len(words))]
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(tiny_encoder).eval()(torch.tensor([ids])).last_hidden_state
        reference = hidden[0, first]
        assert_close(encoder([words]), reference, atol=1e-5, rtol=0.0)


@torch.no_grad()
@pytest.mark.parametrize("way", ["packed", "padded"])
def test_a_batch_equals_its_texts_one_at_a_time(encoder, way, request):
    if way == "padded":
        request.getfixturevalue("padded")
    alone = torch.cat([encoder([text]) for text in TEXTS])
    assert len(alone) == sum(map(len, TEXTS))
    assert alone.std(dim=0).min() > 0.05  # the words do differ
    assert_close(encoder(TEXTS), alone, atol=1e-5, rtol=0.0)


@torch.no_grad()
@pytest.mark.parametrize("max_batch_pieces", [1, 64, 10_000])
def test_the_size_of_micro_batches_changes_nothing(make, encoder, max_batch_pieces):
    other = make(max_batch_pieces=max_batch_pieces).eval()
    assert_close(other(TEXTS), encoder(TEXTS), atol=1e-5, rtol=0.0)


@torch.no_grad()
@pytest.mark.parametrize("way", ["packed", "padded"])
def test_words_come_back_in_order_though_texts_are_sorted_by_length(encoder, way, request):
    if way == "padded":
        request.getfixturevalue("padded")
    texts = [["Berlin"] * n for n in (1, 7, 3, 5, 2)]
    vectors = encoder(texts).split([1, 7, 3, 5, 2])
    backwards = encoder(texts[::-1]).split([2, 5, 3, 7, 1])
    for one, other in zip(vectors, backwards[::-1]):
        assert_close(one, other, atol=1e-5, rtol=0.0)


@torch.no_grad()
def test_context_matters_and_other_texts_do_not(encoder):
    one, two = encoder([["Paris", "Hilton"], ["Paris", "baut"]]).split(2)
    assert not torch.allclose(one[0], two[0], atol=1e-2)
    assert_close(encoder([["Paris", "Hilton"], ["Wetter"] * 9])[:2], one, atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("texts", [[], [[]], [[], [], []]])
def test_nothing_to_encode(encoder, texts):
    vectors = encoder(texts)
    assert vectors.shape == (0, 32)
    assert vectors.dtype == torch.float32


def test_frozen_layers_get_no_gradient_and_none_is_computed(make, padded):
    encoder = make(frozen_layers=2)
    layers = encoder.transformer.encoder.layer
    seen = {}
    for i, layer in enumerate(layers):
        layer.register_forward_hook(
            lambda module, _args, output, i=i: seen.__setitem__(
                i, (output[0] if isinstance(output, tuple) else output).requires_grad
            )
        )
    encoder.train()(TEXTS).square().mean().backward()
    assert seen == {0: False, 1: False, 2: True}
    with_gradient = {name for name, p in encoder.transformer.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in encoder.transformer.named_parameters() if ".layer.2." in name}


def test_frozen_layers_are_byte_identical_after_a_step(make):
    encoder = make(frozen_layers=1)
    before = {name: p.detach().clone() for name, p in encoder.transformer.named_parameters()}
    step(encoder)
    changed = {name for name, p in encoder.transformer.named_parameters() if not torch.equal(p, before[name])}
    frozen = {name for name in before if name.startswith("embeddings.") or ".layer.0." in name}
    assert len(frozen) > 10
    # a key's bias shifts all attention scores of a query alike: its gradient is rounding
    assert {n for n in set(before) - frozen - changed if not n.endswith("key.bias")} == set()
    assert not changed & frozen


@pytest.mark.parametrize(("frozen_layers", "parts"), [(-1, 0), (0, 1), (1, 2), (3, 4)])
def test_how_much_is_frozen(make, frozen_layers, parts):
    encoder = make(frozen_layers=frozen_layers)
    frozen = {name.split(".")[2] if ".layer." in name else "embeddings"
              for name, p in encoder.transformer.named_parameters() if not p.requires_grad}  # fmt: skip
    assert len(frozen) == parts
    assert ("embeddings" in frozen) == (frozen_layers >= 0)


def test_more_frozen_layers_than_there_are_is_an_error(make):
    with pytest.raises(ValueError, match="frozen_layers = 4, but the encoder has 3"):
        make(frozen_layers=4)


def test_frozen_layers_have_no_dropout_in_training(make, padded):
    encoder = make(frozen_layers=2).train()
    outputs = {1: [], 2: []}
    for i, kept in outputs.items():
        encoder.transformer.encoder.layer[i].register_forward_hook(
            lambda _module, _args, output, kept=kept: kept.append(output[0].detach())
        )
    for _ in range(2):
        encoder(TEXTS[:1])
    assert torch.equal(*outputs[1])
    assert not torch.equal(*outputs[2])
    encoder.eval()
    assert torch.equal(encoder(TEXTS[:1]), encoder(TEXTS[:1]))


def test_layers_are_found_in_other_architectures():
    config = DistilBertConfig(vocab_size=20, dim=16, n_layers=4, n_heads=2, hidden_dim=32, max_position_embeddings=16)
    frozen = bottom_modules(DistilBertModel(config), 2)
    assert [type(module).__name__ for module in frozen] == ["Embeddings", "TransformerBlock", "TransformerBlock"]


def test_from_config_with_the_weights_gives_the_same_vectors(make):
    encoder = make().eval()
    config = json.loads(json.dumps(encoder.config))  # JSON types only
    other = WordEncoder.from_config(config)
    other.load_state_dict(encoder.state_dict())
    assert other.config == encoder.config
    with torch.no_grad():
        assert_close(other.eval()(TEXTS), encoder(TEXTS), atol=1e-6, rtol=0.0)
    trainable = [name for name, p in other.named_parameters() if p.requires_grad]
    assert trainable == [name for name, p in encoder.named_parameters() if p.requires_grad]


def test_the_config_names_no_folder_of_this_machine(encoder, tiny_encoder):
    assert str(tiny_encoder) not in json.dumps(encoder.config)


def test_bf16_is_close_to_fp32(make, encoder):
    with torch.no_grad():
        half, full = make(precision="bf16").eval()(TEXTS), encoder(TEXTS)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert torch.cosine_similarity(half, full, dim=-1).min() > 0.995


def test_training_in_bf16_gives_close_gradients_in_fp32(make):
    gradients = []
    for precision in ("fp32", "bf16"):
        encoder = make(precision=precision, max_batch_pieces=10_000)
        encoder.eval()(TEXTS).pow(3).mean().backward()
        weight = encoder.transformer.encoder.layer[1].output.dense.weight
        assert weight.dtype == weight.grad.dtype == torch.float32
        gradients.append(weight.grad.flatten())
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_runs_matrix_products_in_the_precision(precision, dtype):
    with autocast(torch.device("cpu"), precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(("has_it", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bf16_where_the_device_has_it(monkeypatch, has_it, dtype):
    monkeypatch.setattr("spacy_prokd.network.encoder.has_bf16", lambda device: has_it)
    with autocast(torch.device("cpu"), "auto"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_that_only_emulates_bf16_does_not_have_it(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert has_bf16(torch.device("cuda")) is expected


def test_words_are_masked_in_training_alone(make, encoder):
    masking = make(masked_words=0.5)
    for module in masking.transformer.modules():
        if isinstance(module, ByteDropout):
            module.p = 0.0
    with torch.no_grad():
        assert torch.equal(masking.eval()(TEXTS), encoder(TEXTS))
        torch.manual_seed(0)
        changed = masking.train()(TEXTS) - encoder(TEXTS)
    # words of one text that is masked in part change, each by itself or by its neighbours
    assert (changed.abs().amax(dim=1) > 1e-3).float().mean() > 0.9
    assert WordEncoder.from_config(masking.config).masked_words == 0.5


def test_every_dropout_is_the_fast_one(encoder):
    kinds = [type(m) for m in encoder.transformer.modules() if "Dropout" in type(m).__name__]
    assert set(kinds) == {ByteDropout}


def test_attention_weights_have_no_dropout(encoder):
    assert encoder.transformer.config.attention_probs_dropout_prob == 0.0
    assert encoder.transformer.config.hidden_dropout_prob == 0.1


@pytest.mark.parametrize(("layers_left", "n_layers"), [(3, 3), (2, 2), (1, 1), (0.7, 2), (0.1, 1)])
@torch.no_grad()
def test_the_top_layers_are_dropped(encoder, layers_left, n_layers):
    small = copy.deepcopy(encoder)
    small.keep_layers(layers_left)
    before, after = (find_layers(each.transformer) for each in (encoder, small))
    assert len(after) == n_layers
    for mine, theirs in zip(after, before):
        assert torch.equal(mine.intermediate.dense.weight, theirs.intermediate.dense.weight)
    again = WordEncoder.from_config({**small.config, "frozen_layers": 3})
    again.load_state_dict(small.state_dict())
    assert torch.equal(again.eval()([["Weber"]]), small.eval()([["Weber"]]))
    assert torch.equal(small([["Weber"]]), encoder.eval()([["Weber"]])) == (n_layers == 3)


@pytest.mark.parametrize(("n_layers", "frozen"), [(3, 1), (2, 1), (1, 0)])
def test_of_the_layers_that_are_left_at_least_half_are_trained(make, n_layers, frozen):
    encoder = make(frozen_layers=1)
    encoder.keep_layers(n_layers)
    layers = find_layers(encoder.transformer)
    assert [any(p.requires_grad for p in layer.parameters()) for layer in layers] == [
        i >= frozen for i in range(n_layers)
    ]
    assert not any(p.requires_grad for p in encoder.transformer.embeddings.parameters())


def test_where_nothing_is_frozen_all_that_is_left_is_trained(make):
    encoder = make(frozen_layers=-1)
    encoder.keep_layers(2)
    assert all(p.requires_grad for p in encoder.parameters())


@pytest.mark.parametrize("n_layers", [0, 4, -0.5])
def test_layers_that_are_not_there(encoder, n_layers):
    with pytest.raises(ValueError, match=f"layers = {n_layers}, but the encoder has 3"):
        encoder.keep_layers(n_layers)


def test_an_encoder_without_a_list_of_layers_comes_back(tiny_tokenizer):
    """ALBERT has one layer, which it calls many times."""
    config = AlbertConfig(
        vocab_size=130, embedding_size=8, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=64, pad_token_id=1,
    )  # fmt: skip
    settings = {"pad_id": 1, "unk_id": 3, "frozen_layers": 0, "max_length": 32, "precision": "fp32"}
    encoder = WordEncoder(AlbertModel(config), tiny_tokenizer, **settings).eval()
    again = WordEncoder.from_config(encoder.config).eval()
    again.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        assert_close(again([["Weber"]]), encoder([["Weber"]]))


def test_a_config_that_names_code_of_its_own_is_refused_and_nobody_is_asked(monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _question: pytest.fail("asked whether code may run"))
    with pytest.raises(ValueError, match="custom code"):
        encoder_module.build_transformer({"model_type": "trocr", "auto_map": {"AutoModel": "mine--mine.Model"}})
