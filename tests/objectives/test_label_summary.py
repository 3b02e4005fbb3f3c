"""What is said of pseudo-labels without right ones, for labels that are written here."""

import numpy as np
import pytest
import torch

from spacy_prokd.decoding import best_path
from spacy_prokd.network.pseudo_labels import PseudoLabels, hard_labels
from spacy_prokd.objectives.label_summary import summarize

OUT, B_LOC, I_LOC, B_PER, I_PER = range(5)


def labelled(labels: list[int], teacher: list[int]) -> PseudoLabels:
    """Labels with a probability of 0.75, 0.25 for the teacher's."""
    tags = [torch.tensor(each, dtype=torch.int16) for each in (labels, teacher)]
    return PseudoLabels(tags[0], torch.full((len(labels),), 0.75), tags[0] * 1.0, tags[1], tags[0] * 0.0 + 0.25)


def test_words_with_another_label_than_the_teachers_and_how_probable_labels_are():
    found = labelled([OUT, B_PER, I_PER, OUT], [OUT, B_PER, OUT, OUT])
    summary = summarize(found, found.labels, [4], 5)
    assert (summary.relabelled, summary.sureness) == (0.25, 0.75)


def test_where_the_teacher_kept_its_label_its_probability_counts():
    found = labelled([OUT, B_PER, I_PER, OUT], [OUT, B_PER, OUT, OUT])
    kept = torch.tensor([OUT, B_PER, OUT, OUT], dtype=torch.int16)
    summary = summarize(found, kept, [4], 5)
    assert (summary.relabelled, summary.sureness) == (0.0, 0.625)


def test_words_of_each_label_beside_the_teachers():
    found = labelled([B_PER, I_PER, B_LOC, OUT, OUT], [B_PER, OUT, B_LOC, I_LOC, B_LOC])
    summary = summarize(found, found.labels, [5], 7)
    assert summary.words == [pytest.approx(1 / 3), 2.0, None]
    assert list(summary.named(["LOC", "PER", "TIME"])) == [
        *("relabelled", "sureness", "invalid"),
        *("words.LOC", "words.PER"),
    ]


@pytest.mark.parametrize(
    ("labels", "lengths", "invalid"),
    [
        ([B_PER, I_PER, I_PER, OUT], [4], 0),
        ([OUT, I_PER, I_PER, OUT], [4], 1 / 2),  # the second one goes on with the first
        ([B_LOC, I_PER, OUT, OUT], [4], 1 / 2),
        ([I_LOC, I_PER, OUT, OUT], [4], 1),
        ([B_PER, I_PER, I_PER, OUT], [1, 0, 3, 0], 1 / 3),  # a text begins with it
        ([I_PER, OUT, OUT, B_PER], [4], 1 / 2),  # and does not go on with the last word of the corpus
        ([OUT, OUT], [2], 0),
    ],
)
def test_tags_inside_an_entity_that_did_not_begin(labels, lengths, invalid):
    found = labelled(labels, labels)
    assert summarize(found, found.labels, lengths, 5).invalid == pytest.approx(invalid)


def test_valid_paths_are_never_invalid():
    generator = torch.Generator().manual_seed(0)
    p = torch.softmax(torch.randn(60, 5, generator=generator), dim=-1)
    paths = torch.from_numpy(best_path(p.numpy(), np.array([0, 20, 60])))
    shares = [
        summarize(found, found.labels, [20, 40], 5).invalid
        for found in (hard_labels(p, p, p, labels) for labels in (None, paths))
    ]
    assert shares[0] > 0.1 and shares[1] == 0.0
