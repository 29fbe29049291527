"""The loader of FSDD on a miniature of its tree and on the real part."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from engine.errors import ConfigError
from tests.training.datasets import layouts
from training.datasets.fsdd import DIGITS, load_fsdd

if TYPE_CHECKING:
    from pathlib import Path


def test_digit_speaker_take_and_split(tmp_path: Path) -> None:
    data = load_fsdd(layouts.fsdd(tmp_path)).complete()
    assert len(data) == 500
    record = next(record for record in data.records if record.path.name == "7_jackson_32.wav")
    assert (record.label, record.source, record.split) == ("seven", "jackson", "train")
    assert Counter(record.split for record in data.records) == {"train": 450, "test": 50}
    assert {record.path.stem.split("_")[2] for record in data.select(split="test").records} == set("01234")


def test_a_take_that_a_speaker_lacks_is_missing(tmp_path: Path) -> None:
    layouts.fsdd(tmp_path)
    (tmp_path / "recordings" / "3_jackson_4.wav").unlink()
    assert load_fsdd(tmp_path).missing == ("recordings/3_jackson_4.wav",)


def test_other_names_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got none"):
        load_fsdd(tmp_path)
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "3_jackson_50.wav").touch()
    with pytest.raises(ConfigError, match="3_jackson_50"):
        load_fsdd(tmp_path)


def test_shared_development_part(shared_data: Path) -> None:
    data = load_fsdd(shared_data / "fsdd_dev").complete()
    assert Counter(record.split for record in data.records) == {"train": 2250, "test": 250}
    assert data.targets().sum(axis=0).tolist() == [250] * 10
    assert (data.labels, len({record.source for record in data.records})) == (DIGITS, 5)
    george = next(record for record in data.records if record.path.name == "0_george_0.flac")
    assert (george.split, george.duration_s) == ("test", 0.298)
