"""Where an encoder's weights come from: a Hugging Face folder or a hub name, read once at initialize."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Optional

import spacy
from spacy.language import Language
from thinc.api import Model
from torch import nn

from . import bundled_encoder
from .architectures import encoder_nodes
from .corpus.docbins import count_docs
from .errors import ProKDError
from .files import atomic_folder

_NO_CODE = {"trust_remote_code": False}  # transformers asks at the terminal otherwise, and runs it after a "y"
_DATA_ALONE = {**_NO_CODE, "use_safetensors": True}  # a pickle could run code, too


@spacy.registry.callbacks("spacy-prokd.load_encoder.v1")
def load_encoder(name: Optional[str]) -> Callable[[Model], Model]:
    """A callback that fills every TransformerEncoder of a model with pretrained weights.

    name (Optional[str]): A local folder (config.json, model.safetensors, tokenizer.json) or a hub name.
    RETURNS (Callable): Called with the model by `prokd_ner.initialize`.
    RAISES (ProKDError): If there is none.
    """
    name = _check_given(name)

    def load(model: Model) -> Model:
        encoders = encoder_nodes(model)
        if not encoders:
            raise ProKDError(
                f"An encoder is named ('{name}') but the model has no spacy-prokd.TransformerEncoder.v1 to put it in: "
                "remove [initialize.components.prokd_ner.encoder] or change the tok2vec."
            )
        for node in encoders:
            encoder = read_encoder(name, **node.attrs["settings"])
            node.shims[0].module = encoder
            node.set_dim("nO", encoder.width, force=True)
        return model

    return load


def read_encoder(name: str, **settings: object):
    """Read an encoder and its tokenizer.

    name (str): A local folder or a hub name.
    settings: Of `WordEncoder`: frozen_layers, max_length, max_batch_pieces, masked_words, precision.
    RETURNS (WordEncoder): On the CPU.
    RAISES (ProKDError): If it is not there, has no fast tokenizer, or has no safetensors.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from .network.encoder import WordEncoder, model_options, prepare_config

    if not is_on_hub(name):
        _check_folder(Path(name))
    with _readable(name):
        config = AutoConfig.from_pretrained(name, **_NO_CODE)
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, add_prefix_space=True, **_NO_CODE)
        prepare_config(config)
        transformer = AutoModel.from_pretrained(name, config=config, **_DATA_ALONE, **model_options(config))
        transformer.float()  # weights published as fp16 are trained as fp32
    if not tokenizer.is_fast:
        raise ProKDError(f"The encoder '{name}' has no fast tokenizer (tokenizer.json); choose one that has.")
    positions = _positions(transformer)
    if positions and settings["max_length"] > positions:
        raise ProKDError(
            f"max_length = {settings['max_length']}, but the encoder '{name}' reads {positions} pieces at most."
        )
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    unk = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else pad
    return WordEncoder(transformer, tokenizer.backend_tokenizer, pad_id=pad, unk_id=unk, **settings)


def _positions(transformer: nn.Module) -> int | None:
    """The most pieces that an encoder reads; RoBERTa's first positions are for padding."""
    positions = getattr(transformer.config, "max_position_embeddings", None)
    for name, module in transformer.named_modules():
        if positions and name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return positions - module.padding_idx - 1
    return positions


def is_on_hub(name: str) -> bool:
    """Whether an encoder is asked of the hub: it is neither a folder nor the bundled one.

    name (str): As `fetch_encoder` takes it.
    RAISES (ProKDError): If it is the path of no folder, or nearly the name of the bundled encoder.
    """
    folder = Path(name)
    if folder.is_dir() or name == bundled_encoder.NAME:
        return False
    if folder.is_absolute() or name.startswith((".", "~")) or len(folder.parts) > 2:
        raise ProKDError(
            f"The encoder folder {name} does not exist. "
            f"`spacy-prokd encoder {bundled_encoder.NAME} {name}` makes the bundled one."
        )
    if get_close_matches(name.lower(), [bundled_encoder.NAME], cutoff=0.8):
        raise ProKDError(
            f"There is no encoder '{name}'. The bundled one is {bundled_encoder.NAME}; one of the hub with a name like "
            "this has its owner before it: OWNER/NAME."
        )
    return True


def _check_given(name: Optional[str]) -> str:
    """See that `paths.encoder` was set: our configs leave it open."""
    if name is None:
        raise ProKDError(
            "The encoder has no path. Set it in the config, or on the command line: "
            f"`--paths.encoder encoders/{bundled_encoder.NAME}`."
        )
    return name


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ProKDError(
            f"{folder} is no encoder: it has no config.json. "
            f"`spacy-prokd encoder {bundled_encoder.NAME} {folder}` makes the bundled one."
        )
    files = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model", "tokenizer.model", "vocab.json")
    if not any((folder / name).is_file() for name in files):
        raise ProKDError(
            f"{folder} has no tokenizer (looked for {', '.join(files)}). Save it beside the weights with "
            "tokenizer.save_pretrained(folder)."
        )


@spacy.registry.callbacks("spacy-prokd.describe.v1")
def describe(
    encoder: Optional[str], source_lang: str, target_lang: str, few_shot: Optional[str] = None
) -> Callable[[Language], Language]:
    """A callback for `training.before_to_disk` that says in the pipeline's meta where its knowledge comes from.

    encoder (Optional[str]): The hub name or folder; of a folder only its name is kept, no path of this machine.
    few_shot (Optional[str]): A .spacy file of labelled texts of the target, of which the meta has the number.
    RAISES (ProKDError): If there is no encoder.
    """
    encoder = _check_given(encoder)
    about = {
        "encoder": Path(encoder).name if Path(encoder).is_dir() else encoder,
        "source_lang": source_lang,
        "target_lang": target_lang,
        "labelled_target_texts": count_docs(Path(few_shot)) if few_shot else 0,
    }

    def write(nlp: Language) -> Language:
        nlp.meta["spacy_prokd"] = about
        return nlp

    return write


def fetch_encoder(name: str, output: Path) -> Path:
    """Write an encoder as an ordinary Hugging Face folder; nothing downstream knows where it came from.

    name (str): `multilingual-e5-small` for the bundled one, else a local folder or a hub name.
    output (Path): The folder; it appears whole or not at all.
    RETURNS (Path): `output`.
    RAISES (ProKDError): If it cannot be read, or the output is a folder with something else in it.
    """
    if output.is_dir() and any(output.iterdir()) and not _is_encoder(output):
        raise ProKDError(f"{output} has something in it that is no encoder, and would be lost. Name a new folder.")
    if name == bundled_encoder.NAME:
        return bundled_encoder.build_bundled_encoder(output)
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    if not is_on_hub(name):
        _check_folder(Path(name))
    with _readable(name):
        config = AutoConfig.from_pretrained(name, **_NO_CODE)
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, **_NO_CODE)
        transformer = AutoModel.from_pretrained(name, config=config, **_DATA_ALONE)
    with atomic_folder(output) as temporary:
        tokenizer.save_pretrained(temporary)
        transformer.save_pretrained(temporary, safe_serialization=True)
    return output


def _is_encoder(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("config.json", "tokenizer.json"))


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of a damaged file, safetensors and tokenizers say so with errors of no other class
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ProKDError(
            f"The encoder '{name}' could not be read: {reason} Name a folder with config.json, "
            f"model.safetensors and tokenizer.json, or a hub model while there is a network; "
            f"`spacy-prokd encoder {bundled_encoder.NAME} FOLDER` makes a folder without either."
        ) from error
