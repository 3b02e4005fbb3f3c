"""A package on the Hugging Face hub: wheel, pipeline and model card in one repository, as the hub shows spaCy's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import srsly
from huggingface_hub import CommitOperationAdd, EvalResult, HfApi, ModelCardData, hf_hub_url
from huggingface_hub.utils import validate_repo_id

from .corpus.joined import languages_of
from .errors import ProKDError
from .files import check_inside


class Upload(NamedTuple):
    """What goes to a repository.

    repo (str): USER/NAME.
    files (Mapping[str, Path | bytes]): Name in the repository, and where the content is, or the content.
    message (str): Of the commit.
    wheel_url (str): What `pip install` takes once it is there.
    """

    repo: str
    files: Mapping[str, Path | bytes]
    message: str
    wheel_url: str

    def sizes(self) -> dict[str, int]:
        """The bytes of each file."""
        return {
            name: len(content) if isinstance(content, bytes) else content.stat().st_size
            for name, content in self.files.items()
        }


def prepare_upload(folder: Path, repo: str) -> Upload:
    """Collect the files of a repository; needs no network.

    The wheel keeps its version in its name: spacy-huggingface-hub's `NAME-any-py3-none-any.whl` is refused by pip
    since 25.3. The pipeline lies unpacked at the top, and the README gets the hub's metadata, unless it has some.

    folder (Path): What `package` made: `packages/<lang>_<name>-<version>`.
    repo (str): USER/NAME.
    RETURNS (Upload): The files.
    RAISES (ProKDError): If the folder is no such package, a file of it leads elsewhere, or the name is none.
    """
    try:
        validate_repo_id(repo)
    except ValueError as error:
        raise ProKDError(f"{repo!r} cannot be a repository: {error}") from None
    if "/" not in repo:
        raise ProKDError(f"{repo!r} does not say whose repository it is. Write USER/{repo}.")
    wheels = list((folder / "dist").glob("*.whl"))
    meta = srsly.read_json(folder / "meta.json") if (folder / "meta.json").is_file() else {}
    if len(wheels) != 1 or "scores" not in meta.get("spacy_prokd", {}):
        raise ProKDError(
            f"{folder} is no package with one wheel in dist/. `python -m spacy project run package` makes "
            "packages/<lang>_<name>-<version>: name that folder."
        )
    (wheel,) = wheels
    name = f"{meta['lang']}_{meta['name']}"
    pipeline = folder / name / f"{name}-{meta['version']}"
    wheel_url = hf_hub_url(repo, wheel.name)
    files = {path.relative_to(pipeline).as_posix(): path for path in sorted(pipeline.rglob("*")) if path.is_file()}
    check_inside(folder, [*files.values(), wheel, folder / "README.md"])
    card = (folder / "README.md").read_text(encoding="utf8")
    card = card.replace(f"pip install {wheel.name}", f"pip install {wheel_url}")
    if not card.startswith("---\n"):
        card = f"---\n{_describe(name, meta)}\n---\n\n{card}"
    return Upload(
        repo,
        {**files, wheel.name: wheel, "README.md": card.encode("utf8")},
        message=f"Add {name} {meta['version']}",
        wheel_url=wheel_url,
    )


def push(upload: Upload, *, private: bool = False) -> str:
    """Make the repository if there is none, and upload all files in one commit.

    upload (Upload): See `prepare_upload`.
    private (bool): Whether a new repository is private; an old one stays as it is.
    RETURNS (str): The address of the repository.
    RAISES (ProKDError): If the hub cannot be reached or refuses.
    """
    api = HfApi()
    operations = [CommitOperationAdd(name, content) for name, content in upload.files.items()]
    try:
        url = api.create_repo(upload.repo, private=private or None, exist_ok=True)
        api.create_commit(upload.repo, operations, commit_message=upload.message)
    except Exception as error:  # whatever the network and the hub make of it; one commit, so nothing is there in part
        raise ProKDError(
            f"{upload.repo} was not uploaded ({type(error).__name__}): {' '.join(str(error).split())[:600]} "
            "If it asks who you are: `hf auth login`, with a token that may write."
        ) from error
    return str(url)


def _describe(name: str, meta: Mapping[str, Any]) -> str:
    """The metadata that the hub searches and shows, as YAML."""
    notes = meta["spacy_prokd"]
    results = [
        EvalResult(
            task_type="token-classification",
            task_name="NER",
            dataset_type="custom",
            dataset_name=notes["scores"]["student"].get("data", "evaluation split"),
            metric_type=metric,
            metric_value=round(meta["performance"][key], 4),
        )
        for metric, key in (("precision", "ents_p"), ("recall", "ents_r"), ("f1", "ents_f"))
    ]
    return ModelCardData(
        language=languages_of(notes["target_lang"]),
        license=meta.get("license") or None,
        library_name="spacy",
        tags=["spacy", "token-classification", "spacy-prokd"],
        pipeline_tag="token-classification",
        metrics=["precision", "recall", "f1"],
        model_name=name,
        eval_results=results,
    ).to_yaml()
