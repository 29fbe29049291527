"""Tables and file lists: what they accept and what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.errors import ConfigError
from training.datasets.record import Record
from training.datasets.table import on_disk, read_lines, read_table

if TYPE_CHECKING:
    from pathlib import Path


def test_short_rows_are_filled_and_empty_cells_beyond_the_header_ignored(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\ufeffa\tb\nx\ny\tz\t\t\n", encoding="utf-8")
    assert read_table(tmp_path / "t.csv", ["a", "b"], "\t") == [{"a": "x", "b": ""}, {"a": "y", "b": "z"}]


def test_what_is_no_such_table_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the file t\.csv"):
        read_table(tmp_path / "t.csv", ["a"])
    (tmp_path / "t.csv").write_text("a,b\nx,y,z\n")
    with pytest.raises(ConfigError, match=r"\['a', 'c'\]"):
        read_table(tmp_path / "t.csv", ["c", "a"])
    with pytest.raises(ConfigError, match=r"2 cells in line 2 .* \['z'\]"):
        read_table(tmp_path / "t.csv", ["a"])


def test_lines_lose_spaces_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"right/a.wav\r\n\n  b \n")
    assert read_lines(tmp_path / "l.txt") == ["right/a.wav", "b"]


def test_what_is_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    listed = [Record(tmp_path / "sub" / "b.wav", ()), Record(tmp_path / "a.wav", ())]
    assert on_disk(tmp_path, listed) == ((listed[1],), ("sub/b.wav",))
