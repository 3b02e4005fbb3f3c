"""Files that appear whole, and arrays that are kept out of memory."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from spacy_prokd.files import ArraySpool, atomic_file, atomic_folder


def test_arrays_come_back_in_order_and_as_often_as_asked():
    arrays = [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.zeros((0, 3), dtype=np.float32),
        np.ones(2, dtype="int8"),
    ]
    with ArraySpool() as spool:
        for array in arrays:
            spool.append(array)
        for _ in range(2):
            found = list(spool)
            assert [array.dtype for array in found] == [array.dtype for array in arrays]
            assert all(np.array_equal(*pair) for pair in zip(found, arrays, strict=True))


def test_a_spool_takes_no_objects():
    with ArraySpool() as spool, pytest.raises(ValueError, match="allow_pickle"):
        spool.append(np.array([{"any": "object"}], dtype=object))


def test_a_file_that_was_put_in_place_of_the_temporary_one_is_readable_by_all(tmp_path):
    with atomic_file(tmp_path / "a.txt") as temporary:
        temporary.unlink()
        temporary.write_text("new")
        temporary.chmod(0o600)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_a_folder_is_readable_by_all(tmp_path):
    with atomic_folder(tmp_path / "a") as temporary:
        (temporary / "b").mkdir(mode=0o700)
        (temporary / "b" / "c").touch(mode=0o600)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "a").rglob("*")}
    assert modes == {"b": 0o755, "c": 0o644}


@pytest.mark.parametrize(
    ("mask", "of_file", "of_folder"), [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750), (0o077, 0o600, 0o700)]
)
def test_nobody_may_read_more_than_the_umask_says(tmp_path, mask, of_file, of_folder):
    before = os.umask(mask)
    try:
        with atomic_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("new")
        with atomic_folder(tmp_path / "a") as temporary:
            (temporary / "b").touch()
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"a.txt": of_file, "a": of_folder, "b": of_file}


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


@pytest.fixture
def old(tmp_path):
    """A folder with a file, and what is in it and around it."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old.txt").touch()
    return lambda: sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(old, tmp_path, monkeypatch):
    replace = os.replace

    def stop(source, destination):
        if source.name == "new":
            raise KeyboardInterrupt
        replace(source, destination)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "a") as temporary:
        (temporary / "new.txt").touch()
    assert old() == ["a", "a/old.txt"]


def test_an_old_folder_is_deleted_only_when_the_new_one_is_there(old, tmp_path, monkeypatch):
    delete, seen = shutil.rmtree, []
    monkeypatch.setattr(
        shutil, "rmtree", lambda path, **how: (seen.append((tmp_path / "a" / "new.txt").is_file()), delete(path, **how))
    )
    with atomic_folder(tmp_path / "a") as temporary:
        (temporary / "new.txt").touch()
    assert old() == ["a", "a/new.txt"]
    assert all(seen)


def test_a_link_goes_on_leading_to_the_folder(old, tmp_path):
    (tmp_path / "link").symlink_to("a")
    with atomic_folder(tmp_path / "link") as temporary:
        (temporary / "new.txt").touch()
    assert (tmp_path / "link").is_symlink()
    assert old() == ["a", "a/new.txt", "link"]


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "mine"
