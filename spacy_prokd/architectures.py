"""Registered Thinc wiring: an encoder of our own for spaCy's tok2vec slot, and the tagger on top of any tok2vec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import spacy
import torch
from spacy.tokens import Doc
from thinc.api import Config, Model, torch2xp, xp2torch
from thinc.types import Floats2d
from torch import Tensor

from .errors import ProKDError
from .network.encoder import WordEncoder
from .network.head import TagHead
from .paragraphs import split_paragraphs
from .shims import TorchShim

# of `nlp.add_pipe("prokd_ner")`
DEFAULT_MODEL = Config().from_str(
    """
[model]
@architectures = "spacy-prokd.PrototypeTagger.v1"
dropout = 0.1

[model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
pretrained_vectors = null
width = 96
depth = 4
embed_size = 2000
window_size = 1
maxout_pieces = 3
subword_features = true
"""
)["model"]


class TaggerOutput(NamedTuple):
    """What the tagger says of a batch of docs, or the gradient of it; all words one after the other.

    vectors (Tensor): float32 [n_words, width], h before dropout.
    logits (Tensor): float32 [n_words, n_classes].
    lengths (list[int]): Words of each doc.
    """

    vectors: Tensor
    logits: Tensor
    lengths: list[int]


def probabilities(output: TaggerOutput) -> list[np.ndarray]:
    """The probabilities of the tags, float32 [n_words, n_classes] for each doc."""
    return split_by_doc(torch.softmax(output.logits, dim=-1), output.lengths)


def split_by_doc(rows: Tensor, lengths: Sequence[int]) -> list[np.ndarray]:
    """What is known of words, [n_words, ...], as one array for each doc."""
    return np.split(rows.cpu().numpy(), np.cumsum(lengths)[:-1]) if lengths else []


@spacy.registry.architectures("spacy-prokd.TransformerEncoder.v1")
def TransformerEncoder(
    frozen_layers: int = 3,
    max_length: int = 128,
    max_batch_pieces: int = 2048,
    masked_words: float = 0.0,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
) -> Model[list[Doc], list[Floats2d]]:
    """A Hugging Face encoder as spaCy's tok2vec: the last layer at each word's first piece.

    Its weights come in at initialize, through the callback `spacy-prokd.load_encoder.v1`, and are saved
    with the pipeline; so a trained pipeline needs neither network nor folder.

    frozen_layers (int): Embeddings and this many bottom layers are not trained; -1 trains everything.
    max_length (int): Pieces in a window; longer docs are read in overlapping windows.
    max_batch_pieces (int): Pieces in a micro-batch, padding included where there is any.
    masked_words (float): The share of words that are hidden in training, so that others have to tell what they are
        (masked consistency, MIC: Hoyer et al., 2023).
    precision (str): Of matrix products: auto, fp32, bf16 or fp16; auto is bf16 where the device has it.
    RETURNS (Model): Takes docs, gives one array [n_words, width] a doc.
    RAISES (ProKDError): If masked_words is no share.
    """
    if not 0 <= masked_words < 1:
        raise ProKDError(f"masked_words = {masked_words}, but it is a share of the words, from 0 to below 1.")
    settings = {
        "frozen_layers": frozen_layers,
        "max_length": max_length,
        "max_batch_pieces": max_batch_pieces,
        "masked_words": masked_words,
        "precision": precision,
    }

    return Model(
        "transformer_encoder",
        _encode,
        dims={"nO": None},
        attrs={"settings": settings},
        shims=[TorchShim(partial(_build_encoder, settings))],
    )


def _build_encoder(settings: dict[str, Any], config: dict[str, Any]) -> WordEncoder:
    # what the config says of speed and memory holds, whatever was saved
    return WordEncoder.from_config({**config, **settings})


def encoder_nodes(model: Model) -> list[Model]:
    """The TransformerEncoders inside a model."""
    return [node for node in model.walk() if node.name == "transformer_encoder"]


def keep_layers(model: Model, layers_left: float) -> None:
    """Drop layers of our encoder inside a model, see `WordEncoder.keep_layers`.

    RAISES (ProKDError): If it has no such encoder, or not that many layers.
    """
    nodes = encoder_nodes(model)
    if not nodes:
        raise ProKDError(
            f"layers = {layers_left:g}, but the model has no spacy-prokd.TransformerEncoder.v1 to drop layers of: "
            "set layers = null under [initialize.components.prokd_ner] or change the tok2vec."
        )
    for shim in (node.shims[0] for node in nodes):
        try:
            shim.module.keep_layers(layers_left)
        except ValueError as error:
            raise ProKDError(f"[initialize.components.prokd_ner] {error}") from None
        shim.module = shim.module  # which has fewer parameters now


def _encode(model: Model, docs: list[Doc], is_train: bool) -> tuple[list[Floats2d], Callable]:
    shim: TorchShim = model.shims[0]
    if shim.module is None:
        raise ProKDError(
            "The encoder has no weights yet. Name a folder or a hub model in the config, under "
            "[initialize.components.prokd_ner.encoder], and call nlp.initialize() or `spacy train`; "
            "`spacy-prokd encoder multilingual-e5-small FOLDER` makes a folder without the hub."
        )
    paragraphs = [paragraph for doc in docs for paragraph in split_paragraphs(doc)]
    if is_train:
        vectors, torch_backprop = shim.begin_update(paragraphs)
    else:
        vectors, torch_backprop = shim.predict(paragraphs), None

    def backprop(d_vectors: list[Floats2d]) -> list[Doc]:
        assert torch_backprop is not None
        torch_backprop(xp2torch(model.ops.flatten(d_vectors)))
        return []

    return model.ops.unflatten(torch2xp(vectors.detach()), [len(doc) for doc in docs]), backprop


@spacy.registry.architectures("spacy-prokd.PrototypeTagger.v1")
def PrototypeTagger(tok2vec: Model[list[Doc], list[Floats2d]], dropout: float = 0.5) -> Model[list[Doc], TaggerOutput]:
    """A linear classifier over BIO tags, with class prototypes, on any tok2vec.

    tok2vec (Model): Gives one array [n_words, width] a doc.
    dropout (float): On the classifier's input, in training.
    RETURNS (Model): Takes docs, gives a TaggerOutput; its gradient is a TaggerOutput too.
    """
    head: Model = Model(
        "prototype_head", _no_forward, dims={"nI": None, "nO": None}, shims=[TorchShim(partial(_build_head, dropout))]
    )
    model: Model = Model(
        "prototype_tagger",
        _tag,
        init=_initialize_tagger,
        layers=[tok2vec, head],
        dims={"nO": None},
        refs={"tok2vec": tok2vec, "head": head},
        attrs={"dropout": dropout},
    )
    return model


def _build_head(dropout: float, config: dict[str, Any]) -> TagHead:
    return TagHead.from_config({**config, "dropout": dropout})  # the config's, whatever was saved


def get_head(model: Model) -> TagHead:
    """The torch module on top of a tagger.

    RAISES (ProKDError): If the model has been neither initialised nor loaded.
    """
    module = model.get_ref("head").shims[0].module
    if module is None:
        raise ProKDError(
            "This prokd_ner has not been trained: call nlp.initialize() with examples, or load a trained one."
        )
    return module


def _no_forward(model: Model, X: object, is_train: bool) -> tuple:
    raise NotImplementedError("The head is called by the tagger.")


def _tag(model: Model, docs: list[Doc], is_train: bool) -> tuple[TaggerOutput, Callable]:
    tok2vec, head = model.get_ref("tok2vec"), model.get_ref("head")
    get_head(model)
    lengths = [len(doc) for doc in docs]
    # without a word there is nothing to ask a tok2vec for: a listener would fail
    arrays, backprop_tok2vec = tok2vec(docs, is_train) if sum(lengths) else ([], lambda d: docs)
    if len(arrays) == 1:
        flat = arrays[0]  # not copied: of a very long text, word vectors are what takes memory
    else:
        flat = model.ops.flatten(arrays) if arrays else model.ops.alloc2f(0, head.get_dim("nI"))
    vectors = xp2torch(flat, device=head.shims[0].module.classifier.weight.device)
    if not is_train:
        return TaggerOutput(vectors, head.shims[0].predict(vectors), lengths), lambda d: []
    vectors.requires_grad_()
    logits, backprop_head = head.shims[0].begin_update(vectors)

    def backprop(gradient: TaggerOutput) -> list[Doc]:
        vectors.grad = None
        backprop_head(gradient.logits)
        d_vectors = gradient.vectors if vectors.grad is None else gradient.vectors + vectors.grad
        return backprop_tok2vec(model.ops.unflatten(torch2xp(d_vectors.contiguous()), lengths))

    return TaggerOutput(vectors.detach(), logits.detach(), lengths), backprop


def _initialize_tagger(model: Model, X: list[Doc] | None = None, Y: object = None) -> Model:
    tok2vec, head = model.get_ref("tok2vec"), model.get_ref("head")
    tok2vec.initialize(X=X)
    if not tok2vec.has_dim("nO"):  # a listener learns its width from the pipe it listens to
        raise ProKDError(
            "The tok2vec of prokd_ner has no width (nO): TransformerEncoder.v1 needs an encoder named under "
            "[initialize.components.prokd_ner.encoder], a listener its transformer earlier in the pipeline."
        )
    width = tok2vec.get_dim("nO")
    head.set_dim("nI", width, force=True)
    head.set_dim("nO", model.get_dim("nO"), force=True)
    head.shims[0].module = TagHead(width, model.get_dim("nO"), model.attrs["dropout"])
    return model


def leaf(output: TaggerOutput) -> TaggerOutput:
    """The same output as the leaves of a new autograd graph, so that a loss gives the gradient of both parts."""
    return TaggerOutput(
        output.vectors.detach().requires_grad_(), output.logits.detach().requires_grad_(), output.lengths
    )


def gradient_of(loss: Tensor, output: TaggerOutput) -> TaggerOutput:
    """The gradient of a loss with respect to a `leaf` output; zero where the loss does not depend on it."""
    if not loss.requires_grad:
        return TaggerOutput(torch.zeros_like(output.vectors), torch.zeros_like(output.logits), output.lengths)
    d_vectors, d_logits = torch.autograd.grad(
        loss, (output.vectors, output.logits), allow_unused=True, materialize_grads=True
    )
    return TaggerOutput(d_vectors, d_logits, output.lengths)
