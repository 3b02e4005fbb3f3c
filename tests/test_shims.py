"""The shim: bytes without pickle, and the optimizer step that spaCy's settings ask for."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import safetensors.torch
import srsly
import torch
from thinc.api import Adam, Model
from torch import nn
from torch.testing import assert_close
from transformers import AutoModel

from spacy_prokd.encoder_loading import read_encoder
from spacy_prokd.errors import ProKDError
from spacy_prokd.network.encoder import WordEncoder
from spacy_prokd.network.head import TagHead
from spacy_prokd.shims import (
    WEIGHTS,
    TorchShim,
    clip_together,
    load_weights,
    parameter_groups,
    save_weights,
    weights_apart,
)


class Small(nn.Module):
    """A matrix, a bias, and a parameter that is frozen."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.config = {"width": width}
        self.linear = nn.Linear(width, 2)
        self.frozen = nn.Parameter(torch.ones(width), requires_grad=False)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.dropout(x * self.frozen))


def build(config: dict) -> Small:
    return Small(**config)


@pytest.fixture
def shim():
    torch.manual_seed(0)
    shim = TorchShim(build)
    shim.module = Small(3)
    return shim


X = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])


def take_gradient(shim: TorchShim, upstream: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of a pass without the randomness of dropout."""
    shim.module.dropout.p = 0.0
    _, backprop = shim.begin_update(X)
    backprop(upstream)
    return {name: p.grad.clone() for name, p in shim.module.named_parameters() if p.grad is not None}


def test_a_step_is_adamw_with_decay_on_matrices_and_one_clip(shim):
    rate, decay, clip, b1, b2, eps = 0.1, 0.5, 1.0, 0.8, 0.9, 1e-6
    optimizer = Adam(rate, L2=decay, grad_clip=clip, beta1=b1, beta2=b2, eps=eps, use_averages=False)
    expected = {name: p.detach().clone() for name, p in shim.module.named_parameters()}
    mean = {name: torch.zeros_like(p) for name, p in expected.items()}
    square = {name: torch.zeros_like(p) for name, p in expected.items()}
    upstreams = [torch.tensor([[3.0, -1.0], [2.0, 5.0]]), torch.tensor([[0.01, 0.0], [0.0, 0.02]])]
    for t, upstream in enumerate(upstreams, 1):
        gradients = take_gradient(shim, upstream)
        norm = sum(g.square().sum() for g in gradients.values()).sqrt()
        assert (norm > clip) == (t == 1)  # the first step is clipped, the second is not
        for name, g in gradients.items():
            g = g * min(1.0, clip / (float(norm) + 1e-6))
            mean[name] = b1 * mean[name] + (1 - b1) * g
            square[name] = b2 * square[name] + (1 - b2) * g.square()
            if name == "linear.weight":
                expected[name] -= rate * decay * expected[name]
            step = mean[name] / (1 - b1**t) / ((square[name] / (1 - b2**t)).sqrt() + eps)
            expected[name] -= rate * step
        shim.finish_update(optimizer)
        for name, p in shim.module.named_parameters():
            assert_close(p.detach(), expected[name], atol=1e-6, rtol=1e-5, msg=f"{name} in step {t}")
    assert torch.equal(shim.module.frozen, torch.ones(3))


def test_gradients_are_gone_after_a_step_and_no_gradient_is_no_step(shim):
    optimizer = Adam(0.1, L2=0.5)
    take_gradient(shim, torch.ones(2, 2))
    shim.finish_update(optimizer)
    before = shim.module.linear.weight.detach().clone()
    shim.finish_update(optimizer)  # not even weight decay
    assert torch.equal(shim.module.linear.weight, before)


def test_gradients_of_several_passes_add_up(shim):
    once = take_gradient(shim, torch.ones(2, 2))
    twice = take_gradient(shim, torch.ones(2, 2))
    assert_close(twice["linear.weight"], 2 * once["linear.weight"])


def test_the_rate_follows_the_thinc_optimizer(shim):
    optimizer = Adam(iter([0.5, 0.25, 0.0]), L2=0.0, grad_clip=0.0, eps=1e-12)
    moved = []
    for _ in range(3):
        before = shim.module.linear.bias.detach().clone()
        take_gradient(shim, torch.ones(2, 2))
        shim.finish_update(optimizer)
        optimizer.step_schedules()
        moved.append(float((before - shim.module.linear.bias.detach()).abs().max()))
    # Adam moves by its rate while the gradient stays the same
    assert moved == pytest.approx([0.5, 0.25, 0.0], abs=1e-4)


def test_a_step_counts_as_a_change_of_each_weight(shim):
    """torch's fused kernel does not count, and the encoder keeps cast weights by these counts."""
    before = {name: p._version for name, p in shim.module.named_parameters()}
    take_gradient(shim, torch.ones(2, 2))
    shim.finish_update(Adam(0.1))
    changed = {name for name, p in shim.module.named_parameters() if p._version > before[name]}
    assert changed == {"linear.weight", "linear.bias"}


def test_parameter_groups_leave_out_what_is_frozen():
    module = Small(3)
    groups = {group["decays"]: group["params"] for group in parameter_groups(module)}
    assert [id(p) for p in groups[True]] == [id(module.linear.weight)]
    assert [id(p) for p in groups[False]] == [id(module.linear.bias)]
    module.linear.bias.requires_grad_(False)
    assert [group["decays"] for group in parameter_groups(module)] == [True]


def test_dropout_is_on_in_training_and_off_in_prediction(shim):
    assert torch.equal(shim.predict(X), shim.predict(X))
    torch.manual_seed(0)
    outputs = [shim.begin_update(X)[0] for _ in range(8)]
    assert any(not torch.equal(outputs[0], output) for output in outputs)
    assert not shim.predict(X).requires_grad
    assert outputs[0].requires_grad


def test_bytes_come_back_as_the_same_module(shim):
    other = TorchShim(build).from_bytes(shim.to_bytes())
    assert other.module.config == {"width": 3}
    for name, value in shim.module.state_dict().items():
        assert torch.equal(other.module.state_dict()[name], value)
    assert torch.equal(other.predict(X), shim.predict(X))


def test_a_shim_without_a_module_stays_without(shim):
    assert TorchShim(build).module is None
    assert TorchShim(build).from_bytes(TorchShim(build).to_bytes()).module is None


def test_prototypes_are_saved_and_loaded():
    shim = TorchShim(TagHead.from_config)
    shim.module = TagHead(4, 3, 0.5)
    shim.module.target.vectors.fill_(0.5)
    shim.module.target.mass.copy_(torch.tensor([0.5, 0.25, 0.25]))
    other = TorchShim(TagHead.from_config).from_bytes(shim.to_bytes())
    assert_close(other.module.target.prototypes()[:, 0], torch.tensor([1.0, 2.0, 2.0]))
    assert not other.module.source.present().any()


def test_an_encoder_comes_back_from_bytes_alone(tiny_encoder):
    settings = {"max_length": 32, "frozen_layers": 1, "max_batch_pieces": 128, "precision": "fp32"}
    shim = TorchShim(WordEncoder.from_config)
    shim.module = read_encoder(str(tiny_encoder), **settings)
    data = shim.to_bytes()
    assert str(tiny_encoder).encode() not in data
    other = TorchShim(WordEncoder.from_config).from_bytes(data)
    texts = [["Angela", "Merkel"], [], ["Berlin"]]
    assert_close(other.predict(texts), shim.predict(texts), atol=1e-6, rtol=0.0)


def test_weights_published_in_half_precision_come_back_in_full(tiny_encoder, tmp_path):
    folder = tmp_path / "half"
    AutoModel.from_pretrained(tiny_encoder, torch_dtype=torch.float16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_encoder / name).read_bytes())
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "float16"
    shim = TorchShim(WordEncoder.from_config)
    shim.module = read_encoder(str(folder), max_length=32)
    other = TorchShim(WordEncoder.from_config).from_bytes(shim.to_bytes())
    for module in (shim.module, other.module):
        assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_loading_runs_no_pickle(shim, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a pickle was read")

    data = shim.to_bytes()
    for name in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    assert TorchShim(build).from_bytes(data).module is not None


def test_bytes_are_a_json_config_and_safetensors(shim):
    message = srsly.msgpack_loads(shim.to_bytes())
    assert set(message) == {"config", "weights"}
    assert json.loads(json.dumps(message["config"])) == {"width": 3}
    assert set(safetensors.torch.load(message["weights"])) == {"linear.weight", "linear.bias", "frozen"}


def test_damaged_bytes_are_an_error(shim):
    message = srsly.msgpack_loads(shim.to_bytes())
    message["weights"] = message["weights"][:-4]
    with pytest.raises(Exception, match=r"(?i)metadata|incomplete|header"):
        TorchShim(build).from_bytes(srsly.msgpack_dumps(message))


def test_loading_draws_no_random_values(shim):
    data = shim.to_bytes()
    before = torch.get_rng_state()
    TorchShim(build).from_bytes(data)
    assert torch.equal(torch.get_rng_state(), before)


def make_pair(width: int = 3) -> Model:
    """A model of two modules of the same kind."""
    layers = []
    for _ in range(2):
        shim = TorchShim(build)
        shim.module = Small(width)
        layers.append(Model("small", lambda model, X, is_train: (X, lambda d: d), shims=[shim]))
    return Model("pair", lambda model, X, is_train: (X, lambda d: d), layers=layers)


def predictions(model: Model) -> list[torch.Tensor]:
    return [layer.shims[0].predict(X) for layer in model.layers]


@pytest.fixture
def pair(tmp_path):
    """A model, its bytes without weights, and the folder where these are."""
    model = make_pair()
    with weights_apart():
        data = model.to_bytes()
    save_weights(model, tmp_path)
    return model, data, tmp_path


def test_bytes_have_weights_while_another_thread_saves_them_apart(pair):
    model, data, _folder = pair
    with weights_apart(), ThreadPoolExecutor() as pool:
        assert len(pool.submit(model.to_bytes).result()) > len(data) + 100
        assert len(model.to_bytes()) == len(data)


def test_weights_come_back_from_a_file_of_their_own(pair):
    model, data, folder = pair
    assert len(data) < len(model.to_bytes()) - 100
    names = {f"{i}.{name}" for i in range(2) for name in ("linear.weight", "linear.bias", "frozen")}
    assert set(safetensors.torch.load_file(folder / WEIGHTS)) == names
    assert [path.name for path in folder.iterdir()] == [WEIGHTS]
    assert (folder / WEIGHTS).stat().st_mode & 0o777 == 0o644
    other = make_pair().from_bytes(data)
    load_weights(other, folder)
    assert all(torch.equal(one, two) for one, two in zip(predictions(model), predictions(other), strict=True))
    assert not other.layers[0].shims[0].module.frozen.requires_grad


def test_a_model_may_be_saved_over_the_file_it_was_loaded_from_and_training_leaves_the_file(pair):
    _model, data, folder = pair
    other = make_pair().from_bytes(data)
    load_weights(other, folder)
    written = (folder / WEIGHTS).read_bytes()
    take_gradient(other.layers[0].shims[0], torch.ones(2, 2))
    other.finish_update(Adam(0.1))
    assert (folder / WEIGHTS).read_bytes() == written
    expected = predictions(other)
    save_weights(other, folder)
    assert (folder / WEIGHTS).read_bytes() != written
    assert all(torch.equal(one, two) for one, two in zip(predictions(other), expected, strict=True))


def damage(path):
    path.write_bytes(path.read_bytes()[:-4])


def of_another(path):
    save_weights(make_pair(width=4), path.parent)


def of_less(path):
    weights = safetensors.torch.load_file(path)
    safetensors.torch.save_file({name: value for name, value in weights.items() if name[0] == "0"}, path)


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), damage, of_another, of_less])
def test_missing_or_wrong_weights_are_one_error_that_names_the_file(pair, spoil):
    _model, data, folder = pair
    spoil(folder / WEIGHTS)
    with pytest.raises(ProKDError, match=WEIGHTS):
        load_weights(make_pair().from_bytes(data), folder)


def test_a_model_without_modules_has_a_file_without_weights(tmp_path):
    model: Model = Model("none", lambda model, X, is_train: (X, lambda d: d), shims=[TorchShim(build)])
    save_weights(model, tmp_path)
    load_weights(model, tmp_path)
    assert model.shims[0].module is None


def test_a_copy_of_a_model_is_stepped_by_itself(shim):
    model: Model = Model("small", lambda model, X, is_train: (X, lambda d: d), shims=[shim])
    twin = model.copy().shims[0]
    before = copy.deepcopy(twin.module.state_dict())
    take_gradient(shim, torch.ones(2, 2))
    shim.finish_update(Adam(0.1))
    assert all(torch.equal(value, before[name]) for name, value in twin.module.state_dict().items())
    take_gradient(twin, torch.ones(2, 2))
    twin.finish_update(Adam(0.1))
    assert_close(twin.module.linear.weight, shim.module.linear.weight)


def test_the_mean_over_steps_has_a_weight_of_t_for_the_tth(shim):
    optimizer, weights = Adam(0.1, use_averages=True), []
    for _ in range(3):
        take_gradient(shim, torch.ones(2, 2))
        shim.finish_update(optimizer)
        weights.append(shim.module.linear.weight.detach().clone())
    with shim.use_params(optimizer.averages):
        assert_close(shim.module.linear.weight.detach(), (weights[0] + 2 * weights[1] + 3 * weights[2]) / 6)
        assert torch.equal(shim.module.frozen, torch.ones(3))
        assert_close(shim.predict(X), shim.module.linear(X).detach())
    assert torch.equal(shim.module.linear.weight, weights[2])


def test_each_module_has_means_of_its_own(two_modules):
    model, _ = two_modules
    optimizer = Adam(0.1, use_averages=True)
    model.finish_update(optimizer)
    last = [layer.shims[0].module.linear.weight.detach().clone() for layer in model.layers]
    for _ in range(2):
        take_gradient(model.layers[1].shims[0], torch.ones(2, 2))
        model.finish_update(optimizer)
    with model.use_params(optimizer.averages):
        first, second = (layer.shims[0].module.linear.weight.detach().clone() for layer in model.layers)
    assert torch.equal(first, last[0])
    assert not torch.equal(second, last[1])


def test_parameters_come_back_after_an_error_while_means_are_in_use(shim):
    optimizer = Adam(0.1, use_averages=True)
    for _ in range(2):
        take_gradient(shim, torch.ones(2, 2))
        shim.finish_update(optimizer)
    before = shim.module.linear.weight.detach().clone()
    with pytest.raises(KeyboardInterrupt), shim.use_params(optimizer.averages):
        assert not torch.equal(shim.module.linear.weight, before)
        raise KeyboardInterrupt
    assert torch.equal(shim.module.linear.weight, before)


def test_without_means_parameters_stay(shim):
    before = shim.module.linear.weight.detach().clone()
    with shim.use_params({}):
        assert torch.equal(shim.module.linear.weight, before)


@pytest.fixture
def two_modules(shim):
    """A model of two modules with a gradient each, and these gradients."""
    other = TorchShim(build)
    other.module = Small(3)
    layers = [Model("small", lambda model, X, is_train: (X, lambda d: d), shims=[each]) for each in (shim, other)]
    both: Model = Model("both", lambda model, X, is_train: (X, lambda d: d), layers=layers)
    gradients = [take_gradient(shim, torch.full((2, 2), 3.0)), take_gradient(other, torch.full((2, 2), 4.0))]
    return both, gradients


def test_gradients_of_two_modules_are_clipped_by_one_norm(two_modules):
    model, before = two_modules
    norm = float(sum(g.square().sum() for gradients in before for g in gradients.values()).sqrt())
    clip_together(model, norm / 2)
    for layer, gradients in zip(model.layers, before):
        for name, gradient in gradients.items():
            after = layer.shims[0].module.get_parameter(name).grad
            assert_close(after, gradient / 2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("max_norm", [0.0, 1e6])
def test_gradients_below_the_bound_or_without_one_stay(two_modules, max_norm):
    model, before = two_modules
    clip_together(model, max_norm)
    for layer, gradients in zip(model.layers, before):
        for name, gradient in gradients.items():
            assert torch.equal(layer.shims[0].module.get_parameter(name).grad, gradient)


class Half(Small):
    precision = "fp16"


@pytest.fixture
def half():
    """A shim whose module asks for fp16, and its twin that does not; dropout is off."""
    pair = []
    for kind in (Half, Small):
        torch.manual_seed(0)
        shim = TorchShim(lambda config, kind=kind: kind(**config))
        shim.module = kind(3)
        shim.module.dropout.p = 0.0
        pair.append(shim)
    return pair


def test_in_fp16_gradients_are_scaled_on_the_way_and_not_in_the_step(half):
    optimizer = Adam(0.1, L2=0.0, grad_clip=1.0, eps=1e-3)
    gradients = [take_gradient(shim, torch.full((2, 2), 1e-3))["linear.weight"] for shim in half]
    assert_close(gradients[0], gradients[1] * 65536.0)  # torch's first scale
    for shim in half:
        shim.finish_update(optimizer)
    assert_close(half[0].module.linear.weight, half[1].module.linear.weight)


def test_an_overflow_costs_the_step_of_all_modules_and_lowers_the_scale(half):
    scaled, plain = half
    layers = [Model("small", lambda model, X, is_train: (X, lambda d: d), shims=[each]) for each in half]
    model: Model = Model("both", lambda model, X, is_train: (X, lambda d: d), layers=layers)
    optimizer = Adam(0.1, grad_clip=1.0)
    before = copy.deepcopy(plain.module.state_dict())
    take_gradient(scaled, torch.full((2, 2), 3e38))
    take_gradient(plain, torch.ones(2, 2))
    clip_together(model, 1.0)
    model.finish_update(optimizer)
    for shim in half:
        assert all(torch.equal(value, before[name]) for name, value in shim.module.state_dict().items())
    scaled_gradient, gradient = (take_gradient(shim, torch.ones(2, 2))["linear.bias"] for shim in half)
    assert_close(scaled_gradient / gradient, torch.full((2,), 32768.0))
    clip_together(model, 1.0)
    model.finish_update(optimizer)
    assert not torch.equal(scaled.module.linear.weight, before["linear.weight"])
