"""The loader of Speech Commands on a miniature of its tree and on the real part."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from engine.errors import ConfigError
from tests.training.datasets import layouts
from training.datasets.speech_commands import CLASSES, WORDS, load_speech_commands

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("folder", ["", "SpeechCommands/speech_commands_v0.02", "speech_commands_v0.02"])
def test_the_lists_make_the_splits(tmp_path: Path, folder: str) -> None:
    layouts.speech_commands(tmp_path / folder)
    data = load_speech_commands(tmp_path)
    assert [(record.label, record.source, record.split) for record in data.records] == [
        ("right", "bb05582b", "test"),
        ("right", "bb05582b", "test"),
        ("zero", "0a7c2a8d", "train"),
    ]
    assert data.missing == ("yes/0132a06d_nohash_2.wav",)
    assert len(data.labels) == 35
    assert list(WORDS) == sorted(WORDS)


def test_other_words_and_names_are_refused(tmp_path: Path) -> None:
    layouts.speech_commands(tmp_path)
    layouts.clips(tmp_path, ["right/._bb05582b_nohash_3.wav"])
    assert len(load_speech_commands(tmp_path)) == 3
    layouts.clips(tmp_path, ["quack/bb05582b_nohash_3.wav"])
    with pytest.raises(ConfigError, match="quack"):
        load_speech_commands(tmp_path)


def test_a_name_in_both_lists_and_missing_lists_are_refused(tmp_path: Path) -> None:
    layouts.speech_commands(tmp_path)
    layouts.lines(tmp_path / "validation_list.txt", ["right/bb05582b_nohash_3.wav"])
    with pytest.raises(ConfigError, match="both"):
        load_speech_commands(tmp_path)
    (tmp_path / "validation_list.txt").unlink()
    with pytest.raises(ConfigError, match="validation_list"):
        load_speech_commands(tmp_path)


def test_shared_development_part(shared_data: Path) -> None:
    data = load_speech_commands(shared_data / "speech_commands_dev").complete()
    assert data.labels == CLASSES
    assert data.targets().sum(axis=0).tolist() == [327, 324, 332, 316, 352, 327, 328, 319, 320, 316, 332, 319]
    sources = Counter(record.source for record in data.records)
    assert (sources.pop("noise"), len(sources), max(sources.values())) == (327, 192, 127)
    assert {record.split for record in data.records} == {"test"}
