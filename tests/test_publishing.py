"""A package on the hub: what would be uploaded, without a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import srsly
from huggingface_hub import HfApi, ModelCard

from spacy_prokd.errors import ProKDError
from spacy_prokd.publishing import prepare_upload, push

NAME, WHEEL = "xx_prokd_nl", "xx_prokd_nl-0.2.0-py3-none-any.whl"
META = {
    "lang": "xx",
    "name": "prokd_nl",
    "version": "0.2.0",
    "license": "",
    "performance": {"ents_p": 0.7, "ents_r": 0.6, "ents_f": 0.6462},
    "spacy_prokd": {"target_lang": "nl", "scores": {"student": {"data": "nl test"}}},
}


@pytest.fixture
def package(tmp_path) -> Path:
    """A folder as `spacy-prokd package` makes it."""
    files = {
        "dist/" + WHEEL: b"PK",
        "meta.json": json.dumps(META).encode(),
        "README.md": f"# {NAME}\n\npip install {WHEEL}\n".encode(),
        "setup.py": b"",
        f"{NAME}/__init__.py": b"",
        f"{NAME}/meta.json": b"{}",
        f"{NAME}/{NAME}-0.2.0/config.cfg": b"[nlp]",
        f"{NAME}/{NAME}-0.2.0/meta.json": b"{}",
        f"{NAME}/{NAME}-0.2.0/README.md": b"as it is in the wheel",
        f"{NAME}/{NAME}-0.2.0/prokd_ner/weights.safetensors": b"12345",
    }
    for name, content in files.items():
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "package"


@pytest.fixture
def calls(monkeypatch) -> list[tuple]:
    """What the hub would be asked."""
    calls: list[tuple] = []

    def create_repo(self, repo_id, *, private, exist_ok):
        calls.append((repo_id, private, exist_ok))
        return f"https://huggingface.co/{repo_id}"

    def create_commit(self, repo_id, operations, *, commit_message):
        calls.append((repo_id, sorted(operation.path_in_repo for operation in operations), commit_message))

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "create_commit", create_commit)
    return calls


def test_wheel_pipeline_and_card_are_uploaded_in_one_commit(package, calls):
    upload = prepare_upload(package, "me/nl")
    assert upload.sizes() | {"README.md": 0} == {
        "README.md": 0,
        "config.cfg": 5,
        "meta.json": 2,
        "prokd_ner/weights.safetensors": 5,
        WHEEL: 2,
    }
    assert push(upload) == "https://huggingface.co/me/nl"
    assert calls == [("me/nl", None, True), ("me/nl", sorted(upload.files), "Add xx_prokd_nl 0.2.0")]
    push(upload, private=True)
    assert calls[2] == ("me/nl", True, True)


def test_the_card_has_what_the_hub_searches_and_an_address_to_install_from(package):
    upload = prepare_upload(package, "me/nl")
    card = ModelCard(upload.files["README.md"].decode())
    assert card.text.strip() == f"# {NAME}\n\npip install {upload.wheel_url}"
    assert upload.wheel_url == f"https://huggingface.co/me/nl/resolve/main/{WHEEL}"
    data = card.data
    assert data.tags == ["spacy", "token-classification", "spacy-prokd"] and data.library_name == "spacy"
    assert (data.language, data.pipeline_tag, data.license) == (["nl"], "token-classification", None)
    assert [(r.metric_type, r.metric_value, r.dataset_name) for r in data.eval_results] == [
        ("precision", 0.7, "nl test"),
        ("recall", 0.6, "nl test"),
        ("f1", 0.6462, "nl test"),
    ]


def test_a_licence_is_that_of_meta_and_a_card_with_metadata_stays(package):
    srsly.write_json(package / "meta.json", {**META, "license": "mit"})
    assert ModelCard(prepare_upload(package, "me/nl").files["README.md"].decode()).data.license == "mit"
    (package / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# Mine\n", encoding="utf8")
    assert prepare_upload(package, "me/nl").files["README.md"] == b"---\nlicense: cc0-1.0\n---\n# Mine\n"


@pytest.mark.parametrize(
    ("repo", "message"), [("a/b/c", "'a/b/c' cannot be a repository"), ("nl", "'nl' does not say whose"), ("", "''")]
)
def test_a_repository_is_a_user_and_a_name(package, repo, message):
    with pytest.raises(ProKDError, match=message):
        prepare_upload(package, repo)


def test_a_folder_that_is_no_package_is_said(package):
    for folder in (package / "nowhere", package / NAME):
        with pytest.raises(ProKDError, match="is no package with one wheel in dist/.*project run package"):
            prepare_upload(folder, "me/nl")
    (package / "dist" / "xx_prokd_nl-0.1.0-py3-none-any.whl").touch()
    with pytest.raises(ProKDError, match="one wheel"):
        prepare_upload(package, "me/nl")


@pytest.mark.parametrize("name", ["README.md", f"{NAME}/{NAME}-0.2.0/notes.txt"])
def test_a_link_uploads_nothing_from_elsewhere(package, name):
    secret = package.parent / "secret"
    secret.touch()
    (package / name).unlink(missing_ok=True)
    (package / name).symlink_to(secret)
    with pytest.raises(ProKDError, match="leads out of .*, to .*secret"):
        prepare_upload(package, "me/nl")


def test_a_version_in_meta_leads_nowhere_else(package):
    (package.parent / "outside").mkdir()
    (package.parent / "outside" / "key").touch()
    meta = {**META, "version": "0.2.0/../../../outside"}
    (package / "meta.json").write_text(json.dumps(meta), encoding="utf8")
    with pytest.raises(ProKDError, match=r"key leads out of"):
        prepare_upload(package, "me/nl")


def test_a_hub_that_cannot_be_reached_is_one_paragraph(package):
    """The tests run with HF_HUB_OFFLINE."""
    with pytest.raises(ProKDError) as error:
        push(prepare_upload(package, "me/nl"))
    assert str(error.value).startswith("me/nl was not uploaded (OfflineModeIsEnabled): ")
    assert "hf auth login" in str(error.value) and "\n" not in str(error.value)
