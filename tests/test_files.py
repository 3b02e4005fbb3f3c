"""Files that appear whole, and arrays that are kept out of memory."""

from __future__ import annotations

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


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]
