"""Sentences to try a pipeline on."""

from __future__ import annotations

import pytest
import spacy

from spacy_prokd.sample_text import sample_sentences, telling_sentence


@pytest.mark.parametrize("pattern, place", [("Deutschland", 2), ("Atlantis", 0)])
def test_the_sentence_of_a_model_card_has_an_entity_if_there_is_one(pattern, place):
    nlp = spacy.blank("xx")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": pattern}])
    assert telling_sentence(nlp, "de") == sample_sentences("de")[place]
