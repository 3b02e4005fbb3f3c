"""What both objectives have in common."""

from __future__ import annotations

import pytest
import spacy
import torch
from thinc.api import fix_random_seed

from spacy_prokd.architectures import get_head
from spacy_prokd.errors import ProKDError
from spacy_prokd.objectives import make_student, make_teacher


def test_objectives_resolve_from_a_config():
    config = {
        "teacher": {"@misc": "spacy-prokd.Teacher.v1", "alignment_weight": 1.0},
        "student": {"@misc": "spacy-prokd.Student.v1", "alpha": 0.5, "sharpness": None},
    }
    made = spacy.registry.resolve(config)
    assert made["teacher"].alignment_weight == 1.0
    assert not made["teacher"].needs_soft_labels
    assert made["student"].needs_soft_labels
    assert made["student"].sharpness == float("inf")


@pytest.mark.parametrize(
    ("make", "setting", "value"),
    [
        (make_teacher, "tau_align", 0.0),
        (make_teacher, "gamma", 1.5),
        (make_student, "tau_proto", 0.0),
        (make_student, "tau_proto", float("nan")),
        (make_student, "alpha", -0.1),
        (make_student, "beta", 1.1),
        (make_student, "confidence", 90.0),
        (make_student, "class_share", -1.0),
    ],
)
def test_a_number_that_the_equations_have_no_meaning_for_is_an_error(make, setting, value):
    with pytest.raises(ProKDError, match=rf"objective\.{setting} is {value}"):
        make(**{setting: value})


@pytest.mark.parametrize("objective", ["Teacher", "Student"])
def test_a_loss_that_is_no_number_stops_training(nlp, small_tok2vec, source_examples, objective):
    fix_random_seed(0)
    pipe = nlp.add_pipe(
        "prokd_ner", config={"model": {"tok2vec": small_tok2vec}, "objective": {"@misc": f"spacy-prokd.{objective}.v1"}}
    )
    optimizer = nlp.initialize(lambda: source_examples)
    for example in source_examples:
        n_bytes = 2 * len(example.reference) * len(pipe.tags)
        example.reference.user_data["prokd_soft"] = bytes(n_bytes)
    nlp.update(source_examples, sgd=optimizer)
    get_head(pipe.model).classifier.weight.data[0, 0] = float("nan")
    before = get_head(pipe.model).classifier.bias.detach().clone()
    with pytest.raises(ProKDError, match=r"loss became nan in epoch 1.*learning rate"):
        nlp.update(source_examples, sgd=optimizer)
    assert torch.equal(get_head(pipe.model).classifier.bias, before)  # nothing was learned from it


def test_a_batch_is_read_as_often_as_the_objective_asks(nlp, small_tok2vec, source_examples):
    """Each time with another dropout, and with the same labels."""
    pipe = nlp.add_pipe("prokd_ner", config={"model": {"tok2vec": small_tok2vec}})
    nlp.initialize(lambda: source_examples)
    pipe.objective = make_teacher(consistency_weight=1.0)
    losses = nlp.update(source_examples, drop=0.5)
    assert losses["prokd_ner.consistency"] > 0.0
    assert losses["prokd_ner"] > losses["prokd_ner.cross_entropy"]
