"""What the tests share: an encoder small enough to build here, and a corpus small enough to read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import fix_random_seed
from spacy.vocab import Vocab
from thinc.api import Adam
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from spacy_prokd.architectures import get_head
from spacy_prokd.decoding import ScoredSpan
from spacy_prokd.network.prototypes import Moments, measuring_unit
from spacy_prokd.span_scores import set_entities

torch.set_num_threads(1)

LABELS = ["LOC", "ORG", "PER"]

SOURCE = [  # labelled English: word/tag, words without a tag are O
    "Angela/B-PER Merkel/I-PER visited Paris/B-LOC yesterday .",
    "Siemens/B-ORG AG/I-ORG opened an office in Munich/B-LOC .",
    "The weather was cold .",
    "Paris/B-PER Hilton/I-PER flew to New/B-LOC York/I-LOC .",
    "Deutsche/B-ORG Bank/I-ORG pays Peter/B-PER Weber/I-PER .",
    "Munich/B-LOC lies south of Berlin/B-LOC .",
    "He sold the company to Siemens/B-ORG .",
    "Merkel/B-PER and Weber/B-PER met in Berlin/B-LOC .",
]
TARGET = [  # unlabelled German
    "Angela Merkel besuchte gestern Paris .",
    "Die Siemens AG baut in München .",
    "Das Wetter war kalt .",
    "Peter Weber fliegt nach Berlin .",
    "Die Deutsche Bank zahlt Weber nicht .",
    "München liegt südlich von Berlin .",
    "Er kauft die Firma .",
    "Merkel und Weber in Berlin .",
]
_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZäöüÄÖÜß0123456789.,;:!?-'\"()/"
_SPECIAL = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
}


def read_tagged(text: str) -> tuple[list[str], list[str]]:
    """Words and tags of one line of SOURCE."""
    pairs = [word.rpartition("/")[::2] if "/" in word else (word, "O") for word in text.split()]
    return [word for word, _tag in pairs], [tag for _word, tag in pairs]


def make_docs(vocab: Vocab, texts: Sequence[str]) -> list[Doc]:
    """Labelled Docs of words with tags."""
    return [Doc(vocab, words=words, ents=tags) for words, tags in map(read_tagged, texts)]


TEXTS = [" ".join(read_tagged(text)[0]) for text in SOURCE]


def make_tokenizer(more: Sequence[str] = ()) -> Tokenizer:
    """A Unigram tokenizer with `▁` before each word, as XLM-R's: frequent words whole, others in characters.

    more (Sequence[str]): Pieces to add.
    """
    words = sorted({word for text in SOURCE for word in read_tagged(text)[0]} | {w for t in TARGET for w in t.split()})
    whole = ["▁" + word for word in words[::2]]
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    vocab += [(piece, -5.0) for piece in whole if piece not in ("▁.",)]
    vocab += [(piece, -6.0) for piece in ("en", "er", "ch", "in", "el", "te", "th", "an")]
    vocab += [(character, -8.0) for character in _CHARACTERS]
    vocab += [(piece, -7.0) for piece in more]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return tokenizer


def read_pre_split(tokenizer, words: list[str]) -> tuple[list[int], list[int | None]]:
    """A Hugging Face tokenizer's ids of pre-split words and their word numbers, without spaces that stand alone."""
    encoding = tokenizer(words, is_split_into_words=True)
    ids, of_word = encoding["input_ids"], encoding.word_ids()
    space = tokenizer.convert_tokens_to_ids("▁")
    alone = [
        ids[i] == space and of_word[i] is not None and of_word[i - 1] != of_word[i] == of_word[i + 1]
        for i in range(len(ids))
    ]
    kept = [i for i in range(len(ids)) if not alone[i]]
    return [ids[i] for i in kept], [of_word[i] for i in kept]


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Tokenizer:
    """The tokenizer of `tiny_encoder`: <s> 0, <pad> 1, </s> 2, <unk> 3."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Tokenizer):
    """A Hugging Face folder with a random BERT of 3 layers and width 32 that reads 128 pieces. Do not write to it."""
    folder = tmp_path_factory.mktemp("encoder") / "tiny-bert"
    make_encoder(folder, tiny_tokenizer)
    return folder


def make_encoder(folder: Path, tokenizer: Tokenizer, width: int = 32) -> None:
    """Write a Hugging Face folder, see `tiny_encoder`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=width,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=128,
            type_vocab_size=1,
            pad_token_id=1,
            initializer_range=0.2,  # the usual 0.02 leaves so small an encoder with nearly the same vector everywhere
        )
        BertModel(config, add_pooling_layer=False).save_pretrained(folder, safe_serialization=True)
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer.to_str()), model_max_length=128, **_SPECIAL
    ).save_pretrained(folder)


@pytest.fixture
def nlp():
    """An empty pipeline."""
    return spacy.blank("xx")


@pytest.fixture
def source_docs(nlp) -> list[Doc]:
    """Eight labelled English sentences."""
    return make_docs(nlp.vocab, SOURCE)


@pytest.fixture
def target_docs(nlp) -> list[Doc]:
    """Eight German sentences without entity annotation."""
    return [Doc(nlp.vocab, words=text.split()) for text in TARGET]


def to_examples(docs: list[Doc]) -> list[Example]:
    """Examples whose predicted side has the words alone."""
    return [Example(Doc(doc.vocab, words=[word.text for word in doc]), doc) for doc in docs]


def make_nlp(tok2vec: dict, **settings: object) -> Language:
    """A blank pipeline with a small prokd_ner without dropout."""
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-prokd.PrototypeTagger.v1", "dropout": 0.0, "tok2vec": tok2vec}
    nlp.add_pipe("prokd_ner", config={"model": model, **settings})
    return nlp


def initialize(nlp: Language, examples: list[Example], encoder: Path | None = None, **arguments: object) -> Language:
    """Initialize as `nlp.config` would with these arguments.

    encoder (Path | None): Hugging Face folder.
    """
    fix_random_seed(0)
    if encoder is not None:
        arguments["encoder"] = {"@callbacks": "spacy-prokd.load_encoder.v1", "name": str(encoder)}
    nlp.config["initialize"]["components"]["prokd_ner"] = arguments
    nlp.initialize(lambda: examples)
    return nlp


def learn(nlp: Language, examples: list[Example], steps: int = 30, rate: float = 0.01, **options: object) -> dict:
    """Take steps on all examples at once; the losses of the last one."""
    sgd = Adam(rate, L2=0.0, grad_clip=1.0)
    for _ in range(steps):
        losses: dict[str, float] = {}
        nlp.update(examples, sgd=sgd, losses=losses, **options)
    return losses


def found(doc: Doc) -> list[tuple[int, int, str]]:
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


def scored(doc: Doc) -> list[tuple]:
    """Spans of the group with their scores; these compare as equal in any batch (padding moves the last digits)."""
    group = doc.spans["prokd"]
    spans = [(span.start, span.end, span.label_) for span in group]
    return [(*span, pytest.approx(score, abs=1e-4)) for span, score in zip(spans, group.attrs["scores"], strict=True)]


def scored_doc(vocab: Vocab, words: Sequence[str], tags: Sequence[str], scores: Sequence[float]) -> Doc:
    """A Doc whose entities, as the tags say, were found with these scores."""
    doc, gold = Doc(vocab, words=words), Doc(vocab, words=words, ents=tags)
    set_entities(doc, [ScoredSpan(*span, score) for span, score in zip(found(gold), scores, strict=True)])
    return doc


def set_sure(nlp: Language, words: Sequence[str], tags: Sequence[str]) -> Doc:
    """A Doc as a pipe annotates it that is sure of these tags."""
    doc, pipe = Doc(nlp.vocab, words=words), nlp.get_pipe("prokd_ner")
    p = np.zeros((len(doc), len(pipe.tags)), dtype=np.float32)
    p[range(len(doc)), [pipe.tags.index(tag) for tag in tags]] = 1.0
    pipe.set_annotations([doc], [p])
    return doc


def weights(nlp: Language) -> bytes:
    return nlp.get_pipe("prokd_ner").model.to_bytes()


@pytest.fixture
def source_examples(source_docs) -> list[Example]:
    """`source_docs` for training."""
    return to_examples(source_docs)


@pytest.fixture
def target_examples(target_docs) -> list[Example]:
    """`target_docs` for training."""
    return to_examples(target_docs)


@pytest.fixture
def corpus(tmp_path, source_docs, target_docs):
    """A folder with `source.spacy` (labelled) and `target.spacy` (not)."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    DocBin(docs=source_docs).to_disk(folder / "source.spacy")
    DocBin(docs=target_docs).to_disk(folder / "target.spacy")
    return folder


@pytest.fixture(scope="session")
def small_tok2vec() -> dict:
    """Config of a tok2vec that needs no encoder."""
    return {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 16,
        "depth": 1,
        "embed_size": 200,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
        "pretrained_vectors": None,
    }


@pytest.fixture(scope="session")
def tiny_transformer() -> dict:
    """Config of our own encoder; its weights come from `tiny_encoder`."""
    return {
        "@architectures": "spacy-prokd.TransformerEncoder.v1",
        "frozen_layers": 1,
        "max_length": 64,
        "max_batch_pieces": 256,
        "precision": "fp32",
    }


@pytest.fixture(scope="module")
def trained_bytes(small_tok2vec) -> bytes:
    nlp = make_nlp(small_tok2vec)
    docs = make_docs(nlp.vocab, SOURCE)
    initialize(nlp, to_examples(docs))
    learn(nlp, to_examples(docs), steps=40)
    return nlp.to_bytes()


@pytest.fixture
def trained(trained_bytes, small_tok2vec) -> Language:
    """A pipeline that knows the eight sentences by heart."""
    nlp = make_nlp(small_tok2vec).from_bytes(trained_bytes)
    assert sum(len(nlp(text).ents) for text in TEXTS) >= 10
    return nlp


def make_student(trained: Language, tok2vec: dict) -> Language:
    """A trained pipeline as a student that has prototypes: those of its own words."""
    nlp = make_nlp(tok2vec, objective={"@misc": "spacy-prokd.Student.v1"})
    pipe = nlp.get_pipe("prokd_ner").from_bytes(trained.get_pipe("prokd_ner").to_bytes())
    output = pipe.read(make_docs(nlp.vocab, SOURCE))
    moments = Moments(len(pipe.tags), output.vectors.shape[1], output.vectors.device)
    moments.add(output.vectors, torch.softmax(output.logits, dim=-1))
    unit = measuring_unit(moments.within_class_covariance(), pipe.objective.distance)
    get_head(pipe.model).target.reset(moments.sums, unit)
    return nlp


@pytest.fixture
def student_nlp(trained, small_tok2vec) -> Language:
    """`trained` as a student."""
    return make_student(trained, small_tok2vec)


@pytest.fixture
def benchmarks_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Whose modules can be imported, and are forgotten after the test."""
    folder = Path(__file__).parents[1] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)
