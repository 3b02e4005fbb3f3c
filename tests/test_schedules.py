"""The learning rate that knows how many steps the corpus has."""

from __future__ import annotations

from itertools import islice

import pytest
import spacy
from spacy.util import minibatch

from spacy_prokd.errors import ProKDError
from spacy_prokd.schedules import warmup_linear


def rates(
    n_texts: int, *, epochs: int = 1, warmup: float = 0.5, rate: float = 1.0, last: float = 0.0, steps: int = 12
) -> list[float]:
    schedule = warmup_linear(rate, warmup, epochs, lambda nlp: range(n_texts), lambda items: minibatch(items, 2), last)
    return list(islice(schedule, steps))


def test_it_rises_to_the_rate_and_falls_to_zero_by_hand():
    # 16 texts are 8 steps of 2; half of them rise: 1/4 to 4/4; then 8 - step over 4, and 0 when all is done
    assert rates(16) == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0])


def test_it_counts_the_steps_of_all_epochs():
    # 5 texts are 3 steps; two epochs 6: a third of them rise
    assert rates(5, epochs=2, warmup=1 / 3, rate=0.2, steps=7) == pytest.approx([0.1, 0.2, 0.2, 0.15, 0.1, 0.05, 0.0])


def test_without_warm_up_the_first_step_has_the_whole_rate():
    assert rates(8, warmup=0.0, steps=5) == pytest.approx([1.0, 1.0, 2 / 3, 1 / 3, 0.0])


@pytest.mark.parametrize(
    ("last", "expected"), [(0.5, [0.5, 1.0, 1.0, 0.75, 0.5, 0.5]), (1.0, [0.5, 1.0, 1.0, 1.0, 1.0, 1.0])]
)
def test_it_can_stop_falling_early(last, expected):
    assert rates(8, last=last, steps=6) == pytest.approx(expected)


@pytest.mark.parametrize("n_texts", [0, 1, 2])
def test_a_corpus_of_one_step_or_none(n_texts):
    assert all(0.0 <= rate <= 1.0 for rate in rates(n_texts))


@pytest.mark.parametrize("epochs", [0, -1])
def test_epochs_must_be_fixed(epochs):
    with pytest.raises(ProKDError, match="max_epochs"):
        rates(4, epochs=epochs)


def test_it_resolves_from_a_config_and_drives_the_optimizer(corpus):
    config = {
        "optimizer": {
            "@optimizers": "Adam.v1",
            "learn_rate": {
                "@schedules": "spacy-prokd.warmup_linear.v1",
                "initial_rate": 0.4,
                "warmup": 0.5,
                "epochs": 1,
                "corpus": {"@readers": "spacy-prokd.Corpus.v1", "path": str(corpus / "source.spacy")},
                "batcher": {"@batchers": "spacy.batch_by_sequence.v1", "size": 2},
            },
        }
    }
    optimizer = spacy.registry.resolve(config)["optimizer"]
    seen = []
    for _ in range(5):
        seen.append(optimizer.learn_rate)
        optimizer.step_schedules()
    assert seen == pytest.approx([0.2, 0.4, 0.4, 0.2, 0.0])  # 8 texts, 4 steps
