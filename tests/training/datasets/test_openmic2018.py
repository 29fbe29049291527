"""The loader of OpenMIC-2018 on a miniature of its tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.errors import ConfigError
from tests.training.datasets import layouts
from training.datasets.openmic2018 import LABELS, load_openmic2018, vggish

if TYPE_CHECKING:
    from pathlib import Path


def test_only_observed_instruments_count(tmp_path: Path) -> None:
    data = load_openmic2018(layouts.openmic2018(tmp_path)).complete()
    # Unobserved entries are 0.5, and 0.5 is present where it is observed.
    assert [record.labels for record in data.records] == [("piano",), ("voice",), ()]
    assert [record.observed for record in data.records] == [
        frozenset({"cello", "piano"}),
        frozenset({"voice"}),
        frozenset({"cymbals"}),
    ]
    assert (data.targets().sum(), data.mask().sum()) == (2, 4)
    assert list(LABELS) == sorted(LABELS)


@pytest.mark.parametrize("names", [("split01_train.csv", "split01_test.csv"), ("train01.txt", "test01.txt")])
def test_both_spellings_of_the_partitions(tmp_path: Path, names: tuple[str, str]) -> None:
    data = load_openmic2018(layouts.openmic2018(tmp_path, names))
    assert [record.split for record in data.records] == ["train", "train", "test"]
    assert [record.source for record in data.records] == ["0", "0", "1"]


def test_without_metadata_tracks_are_the_sources(tmp_path: Path) -> None:
    layouts.openmic2018(tmp_path)
    (tmp_path / "openmic-2018-metadata.csv").unlink()
    assert load_openmic2018(tmp_path).records[2].source == "000385"


def test_embeddings_follow_the_records(tmp_path: Path) -> None:
    layouts.openmic2018(tmp_path)
    (tmp_path / "audio" / "000" / "000135_483840.ogg").unlink()
    data = load_openmic2018(tmp_path)
    assert data.missing == ("audio/000/000135_483840.ogg",)
    with np.load(tmp_path / "openmic-2018.npz") as arrays:
        published = arrays["X"]
    assert vggish(tmp_path, data).dtype == np.uint8
    np.testing.assert_array_equal(vggish(tmp_path, data), published[[0, 2]])
    np.testing.assert_array_equal(vggish(tmp_path, load_openmic2018(tmp_path, audio=False)), published)


def test_contradictions_are_refused(tmp_path: Path) -> None:
    layouts.openmic2018(tmp_path)
    table = tmp_path / "openmic-2018-aggregated-labels.csv"
    text = table.read_text()
    table.write_text(text.replace("cymbals", "drums"))
    with pytest.raises(ConfigError, match="000385_249600"):
        load_openmic2018(tmp_path)
    table.write_text("\n".join(text.splitlines()[:2]) + "\n")
    with pytest.raises(ConfigError, match=r"Y_mask of shape \(1, 20\)"):
        load_openmic2018(tmp_path)
    table.write_text(text)
    (tmp_path / "class-map.json").write_text('{"voice": 0}')
    with pytest.raises(ConfigError, match="class-map"):
        load_openmic2018(tmp_path)


def test_partitions_hold_each_clip_once(tmp_path: Path) -> None:
    layouts.openmic2018(tmp_path)
    layouts.lines(tmp_path / "partitions" / "split01_test.csv", layouts.OPENMIC_KEYS[1:])
    with pytest.raises(ConfigError, match="twice"):
        load_openmic2018(tmp_path)
    layouts.lines(tmp_path / "partitions" / "split01_test.csv", [])
    with pytest.raises(ConfigError, match="in none"):
        load_openmic2018(tmp_path)
    (tmp_path / "partitions" / "split01_test.csv").unlink()
    with pytest.raises(ConfigError, match="neither"):
        load_openmic2018(tmp_path)
    np.savez(tmp_path / "openmic-2018.npz", X=np.zeros(1))
    with pytest.raises(ConfigError, match="array Y_true"):
        load_openmic2018(tmp_path)
    (tmp_path / "openmic-2018.npz").write_bytes(b"no archive")
    with pytest.raises(ConfigError, match=r"arrays of openmic-2018\.npz"):
        load_openmic2018(tmp_path)
