"""PyTorch modules inside Thinc models: stepped by a fused torch optimizer, saved as safetensors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import safetensors.torch
import srsly
import torch
from thinc.api import Model, Optimizer, get_torch_default_device
from thinc.shims import Shim
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .errors import ProKDError
from .files import atomic_file
from .network.compact import compact, restore

WEIGHTS = "weights.safetensors"
_WEIGHTS_APART = ContextVar("weights_apart", default=False)  # `to_bytes` leaves the weights to `save_weights`


class TorchShim(Shim):
    """Holds a module that has a `config` (JSON types) and can be built from one.

    The module is absent until the model is initialised or loaded. spaCy's optimizer settings (learning
    rate and its schedule, betas, eps, L2, grad_clip) drive torch's fused AdamW; grad_clip bounds the norm
    over all parameters of the module, where Thinc's bounds each parameter's own. With use_averages, evaluations and
    checkpoints have the mean of the parameters after all steps, where the t-th has a weight of t; Thinc's own mean, of
    t ** 8, is little but the last. In fp16 the loss is scaled, or small gradients would vanish.

    build (Callable): Makes the module, without its weights, from its config.
    """

    def __init__(self, build: Callable[[dict[str, Any]], nn.Module]) -> None:
        super().__init__(None)
        self._build = build
        self._parameters: list[nn.Parameter] = []  # of the module: to walk through it takes a GPU longer than a product
        self._is_finite: bool | None = None  # the gradients of this step; not looked at yet
        self._is_clipped = False  # they are, together with those of other modules

    @property
    def module(self) -> nn.Module | None:
        """The torch module; None before the model is initialised or loaded."""
        return self._model

    @module.setter
    def module(self, module: nn.Module) -> None:
        device = get_torch_default_device()
        self._model = module.to(device)
        self._parameters = list(module.parameters())
        self._optimizer = None
        self._scaler = torch.amp.GradScaler(device.type, enabled=getattr(module, "precision", None) == "fp16")

    def predict(self, *args: Any) -> Any:
        """Call the module without dropout and without gradients."""
        self._model.eval()
        with torch.no_grad():
            return self._model(*args)

    def begin_update(self, *args: Any) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Call the module for training.

        RETURNS (tuple): Its output and a function that takes the output's gradient and adds to those of
            the parameters (and of tensors among the arguments).
        """
        self._model.train()
        with torch.enable_grad():
            output = self._model(*args)

        def backprop(gradient: Tensor) -> None:
            if output.requires_grad:
                torch.autograd.backward(output, self._scaler.scale(gradient.to(output)))

        return output, backprop

    def parameters_with_gradient(self) -> list[nn.Parameter]:
        """The parameters that the next step will move."""
        return [p for p in self._parameters if p.grad is not None]

    def unscale(self) -> bool:
        """Take fp16's loss scale off the gradients, once a step.

        RETURNS (bool): Whether they are numbers; if not, the step is left out, and the next scale is smaller.
        """
        if self._is_finite is None:
            before = self._scaler.get_scale()
            if self._scaler.is_enabled():
                self._scaler.unscale_(self._get_optimizer())
                self._scaler.update()
            self._is_finite = self._scaler.get_scale() >= before
        return self._is_finite

    def drop_gradients(self) -> None:
        """Forget the gradients of this step."""
        self._is_finite, self._is_clipped = None, False
        for p in self._parameters:
            p.grad = None

    def finish_update(self, optimizer: Optimizer) -> None:
        """Step the parameters that have a gradient."""
        if self.parameters_with_gradient() and self.unscale():
            if optimizer.grad_clip and not self._is_clipped:
                _clip([self], optimizer.grad_clip)
            self._step(optimizer)
        self.drop_gradients()

    def _get_optimizer(self) -> torch.optim.Optimizer:
        if self._optimizer is None:
            self._optimizer = torch.optim.AdamW(parameter_groups(self._model), fused=True)
        return self._optimizer

    def _step(self, optimizer: Optimizer) -> None:
        torch_optimizer = self._get_optimizer()
        for group in torch_optimizer.param_groups:
            group["lr"] = optimizer.learn_rate
            group["betas"] = (optimizer.b1, optimizer.b2)
            group["eps"] = optimizer.eps
            group["weight_decay"] = optimizer.L2 if group["decays"] else 0.0
        torch_optimizer.step()
        for p in self.parameters_with_gradient():  # the fused kernel does not count, and cast copies go by the count
            torch.autograd.graph.increment_version(p)
        if optimizer.averages is not None:
            self._average(optimizer)

    def _average(self, optimizer: Optimizer) -> None:
        """Add the parameters to their mean: polynomial-decay averaging (Shamir and Zhang 2013) with η = 1."""
        parameters, steps = self._trainable(), (f"torch{self.id}", "steps")
        optimizer.nr_update[steps] += 1
        if optimizer.nr_update[steps] == 1:
            optimizer.averages.update({key: p.clone() for key, p in parameters.items()})
        means = [optimizer.averages[key] for key in parameters]
        torch._foreach_lerp_(means, list(parameters.values()), 2 / (optimizer.nr_update[steps] + 1))

    def _trainable(self) -> dict[tuple[str, str], Tensor]:
        """The module's trainable parameters, by their keys in an optimizer."""
        if self._model is None:
            return {}
        return {(f"torch{self.id}", n): p.detach() for n, p in self._model.named_parameters() if p.requires_grad}

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """While this lasts, the parameters have the values of an optimizer's `averages`."""
        own = {key: p for key, p in self._trainable().items() if key in params}
        before = {key: p.clone() for key, p in own.items()}
        try:
            for key, p in own.items():
                p.copy_(params[key])
            yield
        finally:
            for key, p in own.items():
                p.copy_(before[key])

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the module; part of Thinc's interface."""
        if self._model is not None:
            self._model.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")

    def weights(self) -> dict[str, Tensor]:
        """The module's parameters and buffers, on the CPU; none before the model is initialised or loaded."""
        if self._model is None:
            return {}
        return {name: value.detach().cpu().contiguous() for name, value in self._model.state_dict().items()}

    def set_weights(self, weights: dict[str, Tensor]) -> None:
        """Make these tensors the module's own; they are not copied."""
        self._model.load_state_dict(weights, assign=True)
        self.module = self._model  # goes to its device

    def to_bytes(self) -> bytes:
        """Config and weights; the weights are safetensors, so loading them runs no code."""
        if self._model is None:
            return srsly.msgpack_dumps(None)
        weights = None if _WEIGHTS_APART.get() else safetensors.torch.save(self.weights())
        return srsly.msgpack_dumps({"config": self._model.config, "weights": weights})

    def from_bytes(self, data: bytes) -> TorchShim:
        """Rebuild the module from `to_bytes`."""
        message = srsly.msgpack_loads(data)
        if message is not None:
            with _NoRandomValues():
                self.module = self._build(message["config"])
            if message["weights"] is not None:
                self.set_weights(safetensors.torch.load(message["weights"]))
        return self


class _NoRandomValues(TorchFunctionMode):
    """Leave new weights as the memory was: saved ones take their place, and drawing 100 million takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def weights_apart() -> Iterator[None]:
    """While this lasts, the bytes of models have no weights of torch modules; those made in other threads have all."""
    token = _WEIGHTS_APART.set(True)
    try:
        yield
    finally:
        _WEIGHTS_APART.reset(token)


def save_weights(model: Model, folder: Path, *, small: bool = False) -> None:
    """Write the weights of all torch modules of a model as one safetensors file, whole or not at all.

    A file that is being read (`load_weights`) keeps its content for the reader.

    small (bool): Store matrices in fewer bytes, see `compact`; matrix products in bf16 do not notice.
    """
    shims = enumerate(_torch_shims(model))
    weights = {f"{i}.{name}": value for i, shim in shims for name, value in shim.weights().items()}
    if small:
        weights = compact(weights)
    with atomic_file(folder / WEIGHTS) as temporary:
        safetensors.torch.save_file(weights, temporary)


def load_weights(model: Model, folder: Path) -> None:
    """Give the torch modules of a model the weights of `save_weights`.

    The file is mapped into memory, so that only what is used of it is read, once for all processes; what was
    made small is computed anew.

    RAISES (ProKDError): If the file is missing, damaged, or of another model.
    """
    try:
        weights = restore(safetensors.torch.load_file(folder / WEIGHTS))
        for i, shim in enumerate(_torch_shims(model)):
            own = {name: value for name, value in weights.items() if name.startswith(f"{i}.")}
            if shim.module is not None:
                shim.set_weights({name.removeprefix(f"{i}."): value for name, value in own.items()})
    except (OSError, RuntimeError, KeyError, safetensors.SafetensorError) as error:
        raise ProKDError(
            f"{folder / WEIGHTS} does not hold the weights of this pipeline: {str(error).splitlines()[0]} "
            "Copy its folder again, or train it again."
        ) from error


def _torch_shims(model: Model) -> list[TorchShim]:
    return [shim for node in model.walk() for shim in node.shims if isinstance(shim, TorchShim)]


def clip_together(model: Model, max_norm: float) -> None:
    """Bound the norm of the gradients of all torch modules of a model, encoder and head as one.

    model (Model): Has TorchShims; what else has parameters is Thinc's own business.
    max_norm (float): Of all gradients taken together; 0 for no bound.
    """
    stepped = [shim for shim in _torch_shims(model) if shim.parameters_with_gradient()]
    if not all([shim.unscale() for shim in stepped]):
        for shim in stepped:
            shim.drop_gradients()
    elif max_norm:
        _clip(stepped, max_norm)


def _clip(shims: list[TorchShim], max_norm: float) -> None:
    nn.utils.clip_grad_norm_([p for shim in shims for p in shim.parameters_with_gradient()], max_norm)
    for shim in shims:
        shim._is_clipped = True


def _use_one_thread() -> None:
    """A forked process (`nlp.pipe(n_process=2)`) has none of its parent's threads and would wait for them forever."""
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: matrices decay, biases and layer norms do not."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "decays": True},
        {"params": [p for p in trainable if p.ndim <= 1], "decays": False},
    ]
    return [group for group in groups if group["params"]]
