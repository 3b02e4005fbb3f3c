"""`nlp` takes any text, and reads all of it."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
from conftest import SOURCE, read_tagged, to_examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_prokd.tokenizer import blank

TEXTS = {
    "empty": "",
    "a space": " ",
    "spaces": "     ",
    "new lines": "\n\n\r\n\n",
    "tabs and spaces": " \t \n \t ",
    "white space that is none to ASCII": "\u00a0\u2003\u3000\u2028\u2029\u0085",
    "emoji": "🎉🎉 Angela 👩🏽‍🚀 Merkel 🇩🇪!",
    "one zero-width-joiner sequence": "👩‍👩‍👧‍👦" * 50,
    "control characters": "Angela\x00 Mer\x01kel\x7f \x1b[31m visited\x08 Paris",
    "only control characters": "\x00\x01\x02\x03",
    "zero-width characters": "Angela\u200b Mer\u200ckel\u200d vis\ufeffited \u2060 Paris",
    "only zero-width characters": "\u200b \u200b\u200d \ufeff",
    "right to left": "אנגלה מרקל ביקרה בפריז אתמול. زارت أنغيلا ميركل باريس",
    "direction marks": "\u202eAngela Merkel\u202c visited \u2067Paris\u2069",
    "no spaces": "安格拉·默克尔昨天访问了巴黎。",
    "combining marks": "Z̸̧̘͍͔̃̓a̴͖̓l̷̰̈́g̷̱̈́o̸͇͝" * 20,
    "beyond the basic plane": "𝕬𝖓𝖌𝖊𝖑𝖆 𐍈𐌰𐌹𐍂𐌻𐌹𐌽",
    "private use and unassigned": "\ue000 \U000f0000 \uffff \u0378",
    "special pieces of the tokenizer": "<s> </s> <pad> <unk> ▁ ▁▁ [CLS] [MASK]",
    "a long word": "A" * 10_000,
    "a long word of punctuation": "." * 10_000,
    "long words between short ones": f"Angela {'x' * 10_000} Merkel {'é' * 10_000} visited Paris",
}


@pytest.fixture(scope="module")
def nlp(tiny_encoder, tiny_transformer) -> Language:
    """A pipeline of our own encoder that knows some sentences by heart."""
    fix_random_seed(0)
    nlp = spacy.blank("xx")
    model = {
        "@architectures": "spacy-prokd.PrototypeTagger.v1",
        "dropout": 0.0,
        "tok2vec": {**tiny_transformer, "max_batch_pieces": 4096},
    }
    nlp.add_pipe("prokd_ner", config={"model": model})
    tagged = [read_tagged(text) for text in SOURCE[:2]]
    tagged += [(words * 40, tags * 40) for words, tags in tagged]  # else it knows them at the start of a window alone
    examples = to_examples([Doc(nlp.vocab, words=words, ents=tags) for words, tags in tagged])
    nlp.config["initialize"]["components"]["prokd_ner"] = {
        "encoder": {"@callbacks": "spacy-prokd.load_encoder.v1", "name": str(tiny_encoder)}
    }
    nlp.initialize(lambda: examples)
    sgd = Adam(0.01, L2=0.0, grad_clip=1.0)
    for _ in range(40):
        nlp.update(examples, sgd=sgd)
    return nlp


def check(doc: Doc, text: str) -> None:
    assert doc.text == text
    group = doc.spans["prokd"]
    assert [(s.start, s.end, s.label) for s in group] == [(e.start, e.end, e.label) for e in doc.ents]
    assert len(group.attrs["scores"]) == len(group)
    assert all(0.0 < score <= 1.0 for score in group.attrs["scores"])
    for ent in doc.ents:
        assert len(ent) and not ent[0].is_space and not ent[-1].is_space
        assert ent.text.strip() == ent.text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_any_text_is_tagged(nlp, text):
    check(nlp(text), text)


def test_odd_texts_do_not_disturb_their_neighbours(nlp):
    known = " ".join(read_tagged(SOURCE[0])[0])
    expected = [(ent.text, ent.label_) for ent in nlp(known).ents]
    assert expected == [("Angela Merkel", "PER"), ("Paris", "LOC")]
    texts = [text for odd in TEXTS.values() for text in (odd, known)]
    for text, doc in zip(texts, nlp.pipe(texts, batch_size=7), strict=True):
        check(doc, text)
        if text == known:
            assert [(ent.text, ent.label_) for ent in doc.ents] == expected


@settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
@example("Angela Merkel\x1f")
@example("\u1680Angela")
def test_any_text_at_all(nlp, text):
    check(nlp(text), text)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), max_size=40))
def test_any_words_at_all(nlp, words):
    """Words that no tokenizer of spaCy's would make: corpora have them."""
    doc = Doc(nlp.vocab, words=words)
    (p,) = nlp.get_pipe("prokd_ner").predict([doc])
    assert p.shape == (len(words), 7)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-5)
    nlp.get_pipe("prokd_ner").set_annotations([doc], [p])
    assert all(0 <= ent.start < ent.end <= len(words) for ent in doc.ents)


def test_words_are_read_the_same_in_a_pipeline_of_any_language(nlp):
    """A language's class has its own norms, lower case and shapes of words; the encoder reads their letters alone."""
    words = ["İstanbul", "'", "da", "z.B.", "Merkel", "北", "京"]
    langs = ("xx", "de", "tr", "ja", "zh")
    docs = [Doc(blank(lang).vocab, words=words) for lang in langs]
    first, *others = (nlp.get_pipe("prokd_ner").predict([doc])[0] for doc in docs)
    for p in others:
        np.testing.assert_array_equal(p, first)


def test_a_million_characters(nlp):
    sentence = " ".join(read_tagged(SOURCE[0])[0]) + " "
    text = (sentence * (1_000_000 // len(sentence) + 1))[:1_000_000]
    doc = nlp(text)
    check(doc, text)
    tenths = np.bincount([ent.start * 10 // len(doc) for ent in doc.ents], minlength=10)
    assert tenths.min() > 0.5 * tenths.max() > 100, "every part of the text is read alike"


def test_a_million_characters_in_one_word(nlp):
    text = "x" * 999_990 + " Paris ."
    check(nlp(text), text)


def test_a_long_doc_is_read_to_its_end(nlp):
    words, _tags = read_tagged(SOURCE[0])
    n_repeats = 500
    doc = Doc(nlp.vocab, words=words * n_repeats)
    assert len(doc) == 3000
    doc = nlp(doc)
    gold = [(6 * i + start, 6 * i + end) for i in range(n_repeats) for start, end in ((0, 2), (3, 4))]
    found = {(ent.start, ent.end) for ent in doc.ents}
    for tenth in range(10):
        part = gold[tenth * 100 : (tenth + 1) * 100]
        assert len(found & set(part)) > 90, f"words {tenth * 300} to {tenth * 300 + 300}"


def test_every_word_of_a_long_doc_counts(nlp):
    """The last words are neither cut off nor read without their neighbours."""
    words = read_tagged(SOURCE[1])[0] * 300
    pipe = nlp.get_pipe("prokd_ner")
    (p,) = pipe.predict([Doc(nlp.vocab, words=words)])
    assert len(p) == len(words)
    for position in (len(words) - 1, len(words) // 2):
        (changed,) = pipe.predict([Doc(nlp.vocab, words=[*words[:position], "Paris", *words[position + 1 :]])])
        # logarithms: where the model is sure of a tag, its probability hardly moves
        moved = np.flatnonzero(np.abs(np.log(changed) - np.log(p)).max(axis=1) > 1e-4)
        assert position in moved and position - 1 in moved, "a word and its neighbour see the change"
        assert np.abs(moved - position).max() < 64, "what is a window away does not"


def test_a_long_doc_is_found_the_same_in_any_batch(nlp):
    words = [word for text in SOURCE for word in read_tagged(text)[0]] * 10
    alone = nlp(Doc(nlp.vocab, words=words))
    docs = [Doc(nlp.vocab, words=w) for w in (words[:5], words, [], words[:50])]
    beside = list(nlp.pipe(docs))[1]
    assert [(e.start, e.end, e.label) for e in beside.ents] == [(e.start, e.end, e.label) for e in alone.ents]
