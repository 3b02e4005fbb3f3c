"""Tag schemes to IOB2."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_prokd.errors import ProKDError
from spacy_prokd.labels import SCHEMES, TagError, detect_scheme, tags_of, to_iob2

# Two people side by side, a place of one word, an organisation of three.
IOB2 = ["B-PER", "I-PER", "B-PER", "O", "B-LOC", "O", "B-ORG", "I-ORG", "I-ORG"]
IN_SCHEME = {
    "IOB1": ["I-PER", "I-PER", "B-PER", "O", "I-LOC", "O", "I-ORG", "I-ORG", "I-ORG"],
    "IOB2": IOB2,
    "BIOES": ["B-PER", "E-PER", "S-PER", "O", "S-LOC", "O", "B-ORG", "I-ORG", "E-ORG"],
    "BILUO": ["B-PER", "L-PER", "U-PER", "O", "U-LOC", "O", "B-ORG", "I-ORG", "L-ORG"],
}


def test_tags_are_ordered_by_label():
    assert tags_of(["PER", "LOC"]) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert tags_of([]) == ["O"]


@pytest.mark.parametrize("scheme", IN_SCHEME)
def test_every_scheme_is_detected_and_converted(scheme):
    tags = IN_SCHEME[scheme]
    assert detect_scheme([["O"], tags]) == scheme
    assert to_iob2(tags, scheme) == (IOB2, 0)


def test_plain_labels_are_io():
    tags = ["PER", "PER", "O", "LOC", "ORG"]
    assert detect_scheme([tags]) == "IO"
    assert to_iob2(tags, "IO") == (["B-PER", "I-PER", "O", "B-LOC", "B-ORG"], 0)


def test_few_nerd_labels_are_plain_labels():
    assert detect_scheme([["art-music", "O"]]) == "IO"
    assert to_iob2(["art-music", "O"], "IO") == (["B-art-music", "O"], 0)


def test_the_majority_decides_between_iob1_and_iob2():
    assert detect_scheme([IN_SCHEME["IOB1"], ["B-PER"]]) == "IOB1"
    assert detect_scheme([IN_SCHEME["IOB2"], ["I-PER"]]) == "IOB2"


def test_a_file_without_entities_is_iob2():
    assert detect_scheme([["O", "O"], []]) == "IOB2"


def test_inside_without_begin_is_repaired_and_counted():
    assert to_iob2(["O", "I-PER", "I-PER", "I-LOC"], "IOB2") == (["O", "B-PER", "I-PER", "B-LOC"], 2)
    assert to_iob2(["E-PER", "I-LOC", "E-LOC", "I-LOC"], "BIOES") == (["B-PER", "B-LOC", "I-LOC", "B-LOC"], 3)


def test_the_label_o_of_universal_ner_is_no_label():
    assert to_iob2(["B-O", "B-PER"], "IOB2") == (["O", "B-PER"], 1)


@pytest.mark.parametrize("tag", ["X-PER", "b-PER", "B-", "B_PER", "PERR", "", "0", "-", "S-PER"])
def test_an_unknown_tag_is_named_with_its_place(tag):
    with pytest.raises(TagError, match="unknown tag") as caught:
        to_iob2(["O", "B-PER", tag], "IOB2")
    assert repr(tag) in str(caught.value)
    assert caught.value.index == 2
    assert isinstance(caught.value, ProKDError)


def test_unknown_tags_do_not_disturb_detection():
    assert detect_scheme([["X-PER", "B-PER", "E-PER", "?"]]) == "BIOES"


@st.composite
def iob2_sentences(draw):
    entities = st.tuples(st.sampled_from(["LOC", "PER", "O-label", "B-x"]), st.integers(1, 4))
    pieces = draw(st.lists(st.one_of(st.none(), entities), max_size=8))
    tags = []
    for piece in pieces:
        tags += ["O"] if piece is None else [f"B-{piece[0]}", *[f"I-{piece[0]}"] * (piece[1] - 1)]
    return tags


def from_iob2(tags, scheme):
    converted = []
    for tag, before, after in zip(tags, ["O", *tags], [*tags[1:], "O"], strict=False):
        prefix, _, label = tag.partition("-")
        first, last = prefix == "B", after != f"I-{label}"
        touches = before.partition("-")[2] == label
        if tag == "O":
            converted.append("O")
        elif scheme == "IOB1":
            converted.append(f"{'B' if first and touches else 'I'}-{label}")
        elif scheme == "IOB2":
            converted.append(tag)
        else:
            end, only = scheme[3:5] if scheme == "BIOES" else "LU"
            converted.append(f"{only if first and last else 'B' if first else end if last else 'I'}-{label}")
    return converted


@settings(deadline=None)
@given(sentence=iob2_sentences(), scheme=st.sampled_from([scheme for scheme in SCHEMES if scheme != "IO"]))
def test_round_trip(sentence, scheme):
    assert to_iob2(from_iob2(sentence, scheme), scheme) == (sentence, 0)


@settings(deadline=None)
@given(tags=st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])))
def test_what_comes_out_is_valid_whatever_went_in(tags):
    converted, n_repaired = to_iob2(tags, "IOB2")
    assert to_iob2(converted, "IOB2") == (converted, 0)
    assert n_repaired == sum(a != b for a, b in zip(tags, converted, strict=True))


def test_labels_need_neither_spacy_nor_torch():
    code = "import sys, spacy_prokd.labels; print([m for m in ('spacy', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
