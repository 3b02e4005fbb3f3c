"""The matrix of experiments, as a TOML file gives it: corpus x target x encoder x variant x seed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spacy_prokd.errors import ProKDError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Overrides = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Corpus(_Strict):
    """A folder with `<lang>/{train,dev,test}.<ext>`, as `spacy-prokd convert` reads it."""

    folder: Path
    source: str = "en"
    targets: tuple[str, ...]


class Settings(_Strict):
    """What differs from the project's defaults.

    teacher (Overrides): Of configs/teacher.cfg.
    student (Overrides): Of configs/student.cfg.
    """

    teacher: Overrides = {}
    student: Overrides = {}


class Variant(_Strict):
    """What an experiment does.

    teacher (Overrides): Of configs/teacher.cfg.
    student (Overrides | False): Of configs/student.cfg; False scores the teacher (zero-shot transfer).
    teachers (int): How many label the target text together, of seeds that are 10 apart.
    more_sources (tuple[str, ...]): Other languages of the corpus with labels; their teachers label with the source's.
    rounds (int): How many students, each the teacher of the next, which keeps all of its layers.
    """

    teacher: Overrides = {}
    student: Overrides | Literal[False] = {}
    teachers: int = Field(default=1, ge=1)
    more_sources: tuple[str, ...] = ()
    rounds: int = Field(default=1, ge=1)

    def on_top_of(self, settings: Settings) -> Variant:
        """The variant with settings that it leaves as they are."""
        student = self.student if self.student is False else {**settings.student, **self.student}
        return self.model_copy(update={"teacher": {**settings.teacher, **self.teacher}, "student": student})

    @property
    def aligned(self) -> bool:
        """Whether the teacher sees target text, so that each target needs one of its own."""
        return any(name.endswith(".alignment_weight") and value for name, value in self.teacher.items())


class Run(_Strict):
    """Some cells of the matrix. Targets are written `corpus/language`."""

    variants: tuple[str, ...]
    targets: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    encoders: tuple[str, ...] = ("multilingual-e5-small",)


class Matrix(_Strict):
    """The whole file.

    settings (Settings): Of all variants that do not say otherwise.
    """

    settings: Settings = Settings()
    corpora: dict[str, Corpus]
    variants: dict[str, Variant]
    run: tuple[Run, ...]

    @model_validator(mode="after")
    def _names_are_known(self) -> Matrix:
        targets = {f"{name}/{lang}" for name, corpus in self.corpora.items() for lang in corpus.targets}
        for run in self.run:
            if unknown := set(run.variants) - set(self.variants):
                raise ValueError(f"no variant is called {sorted(unknown)}, only {sorted(self.variants)}")
            if unknown := set(run.targets) - targets:
                raise ValueError(f"no corpus has the targets {sorted(unknown)}, only {sorted(targets)}")
        return self


class Cell(NamedTuple):
    """One experiment."""

    corpus_name: str
    corpus: Corpus
    target: str
    encoder: str
    variant_name: str
    variant: Variant
    seed: int

    def describe(self) -> dict[str, Any]:
        """What tells it from others, as its line in the results begins."""
        return {
            "corpus": self.corpus_name,
            "source": self.corpus.source,
            "target": self.target,
            "encoder": self.encoder,
            "variant": self.variant_name,
            "seed": self.seed,
            "settings": self.variant.model_dump(mode="json"),
        }


def read_matrix(path: Path) -> Matrix:
    """Read a TOML file; a corpus's folder is meant from where the command runs, as in project.yml.

    RAISES (ProKDError): If it is no such file.
    """
    try:
        return Matrix.model_validate(tomllib.loads(path.read_text(encoding="utf8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ProKDError(f"{path} is no matrix of experiments: {error}") from None


def cells(matrix: Matrix) -> Iterator[Cell]:
    """All cells, each once, in the order of the file; seed by seed, so that a first row is soon whole."""
    seen = set()
    for run in matrix.run:
        for place in product(run.encoders, run.seeds, run.variants, run.targets):
            if place in seen:
                continue
            seen.add(place)
            encoder, seed, name, target = place
            corpus_name, lang = target.split("/")
            variant = matrix.variants[name].on_top_of(matrix.settings)
            yield Cell(corpus_name, matrix.corpora[corpus_name], lang, encoder, name, variant, seed)
