"""The ESC-50 loader, on tiny trees of both published layouts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from engine.errors import ConfigError
from tests.training import trees
from training.datasets.esc50 import ESC10, authors, load_esc50

if TYPE_CHECKING:
    from pathlib import Path


def test_download_layout(tmp_path: Path) -> None:
    records = load_esc50(trees.esc50(tmp_path)).records
    by_name = {record.path.name: record for record in records}
    dog = by_name["1-100032-A-0.wav"]
    assert (dog.label, dog.fold, dog.source) == ("dog bark", 1, "100032")
    assert dog.path.is_file()
    assert by_name["2-2049-A-49.wav"].label == "hand saw"
    assert len(records) == 23


def test_esc10_of_the_download_has_the_labels_of_the_development_part(tmp_path: Path) -> None:
    from_download = load_esc50(trees.esc50(tmp_path / "a"), "esc10").records
    from_development = load_esc50(trees.esc10_dev(tmp_path / "b"), "esc10").records
    assert Counter(record.label for record in from_development) == dict.fromkeys(ESC10.values(), 2)
    assert {record.label for record in from_download} == set(ESC10.values())
    assert len(from_download) == 21


def test_development_layout(tmp_path: Path) -> None:
    records = load_esc50(trees.esc10_dev(tmp_path)).records
    first = records[0]
    assert (first.path.name, first.label, first.fold, first.source) == ("1-1000-A-0.ogg", "dog bark", 1, "1000")
    assert [record.path.name for record in records] == sorted(record.path.name for record in records)


def test_authors_are_those_of_esc10(tmp_path: Path) -> None:
    assert authors(trees.esc10_dev(tmp_path / "b")) == tuple(f"Ann{i}" for i in range(10))
    assert authors(trees.esc50(tmp_path / "a")) == ("nfrae",)


def test_missing_files_are_counted(tmp_path: Path) -> None:
    root = trees.esc10_dev(tmp_path)
    (root / "audio" / "2-2003-A-3.ogg").unlink()
    data = load_esc50(root, "esc10")
    assert (len(data), data.missing) == (19, ("audio/2-2003-A-3.ogg",))
    with pytest.raises(ConfigError, match=r"20 audio files .* 1 are missing, among them audio/2-2003-A-3\.ogg"):
        data.complete()


def test_what_is_no_data_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"meta/esc50\.csv or meta\.csv"):
        load_esc50(tmp_path)
    trees.write_table(tmp_path / "meta.csv", [{"filename": "x.wav"}])
    with pytest.raises(ConfigError, match="columns"):
        load_esc50(tmp_path)


@pytest.mark.parametrize("name", ["2-100032-A-0.wav", "1-100032-A.wav", "dog.wav"])
def test_a_row_at_odds_with_its_file_name_is_refused(tmp_path: Path, name: str) -> None:
    trees.write_table(tmp_path / "meta.csv", [{"filename": name, "fold": 1, "target": 0, "category": "dog"}])
    with pytest.raises(ConfigError, match="FOLD-SOURCE-TAKE-TARGET"):
        load_esc50(tmp_path)


def test_shared_development_part(shared_data: Path) -> None:
    data = load_esc50(shared_data / "esc10_dev", "esc10")
    records = data.complete().records
    assert Counter(record.fold for record in records) == {1: 79, 2: 79, 3: 80, 4: 80}
    assert set(Counter(record.label for record in records).values()) == {32, 30}
    folds_of_source: dict[str, set[int]] = {}
    for record in records:
        folds_of_source.setdefault(record.source, set()).add(record.fold)
    assert all(len(folds) == 1 for folds in folds_of_source.values())
    assert all(3.6 < (record.duration_s or 0) < 7.3 for record in records)
    assert data.targets().sum(axis=0).tolist() == [32, 32, 32, 32, 32, 32, 32, 32, 30, 32]
    assert data.mask().all()
    assert len(authors(shared_data / "esc10_dev")) == 198
