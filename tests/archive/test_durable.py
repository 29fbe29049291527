"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from engine.archive.durable import remove_partial, replace_file, replace_path, writing
from engine.errors import ArchiveError


def test_a_file_takes_its_name_at_the_end_and_is_synchronised_before(tmp_path, monkeypatch):
    path = tmp_path / "name"
    path.write_bytes(b"old")
    events = []
    monkeypatch.setattr(os, "fsync", lambda handle: events.append(("fsync", path.read_bytes())))
    with replace_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    # The file while the old one still has the name, the folder after that.
    assert events == [("fsync", b"old"), ("fsync", b"new")]
    assert [each.name for each in tmp_path.iterdir()] == ["name"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_the_old_file_stays_and_nothing_else(tmp_path, error):
    path = tmp_path / "name"
    path.write_bytes(b"old")

    def interrupted():
        with replace_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["name"]


def test_the_error_inside_is_the_one_that_is_raised(tmp_path):
    with pytest.raises(RuntimeError, match="inside"), replace_path(tmp_path / "name"):
        raise RuntimeError("inside")


def test_partial_files_of_killed_processes_are_removed_and_others_stay(tmp_path):
    (tmp_path / "000000.parquet").write_bytes(b"whole")
    (tmp_path / "000001.parquet.12345.partial").write_bytes(b"half")
    remove_partial(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["000000.parquet"]


def test_what_cannot_be_written_is_one_sentence():
    with (
        pytest.raises(
            ArchiveError, match=r"^expected to write out, got No space left on device; make room or .*resume$"
        ),
        writing(Path("out")),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
