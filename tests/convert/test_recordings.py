"""Which recordings a conversion measures with."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from engine.card import ModelInput
from engine.convert.recordings import MAX_RECORDINGS, read_recordings, synthetic_recordings, uneven_noise
from engine.errors import AudioError, ConfigError
from tests import tiny_models

RATE = tiny_models.RATE
CARD = tiny_models.log_mel_card()


@pytest.fixture
def folder(tmp_path):
    for index in range(5):
        path = tmp_path / "audio" / ("deep" if index > 2 else "") / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(1000 * (index + 1), index / 10), RATE, subtype="FLOAT")
    return tmp_path / "audio"


def test_all_of_a_small_folder_in_the_order_of_names(folder):
    recordings = read_recordings(folder, CARD)
    assert [recording.path.name for recording in recordings] == ["0.wav", "1.wav", "2.wav", "3.wav", "4.wav"]
    np.testing.assert_array_equal(recordings[2].samples, np.full(3000, 0.2, np.float32))
    assert {recording.label for recording in recordings} == {None}


def test_long_recordings_are_cut_and_many_are_thinned(folder, monkeypatch):
    card = tiny_models.log_mel_card(window=500, hop=500)
    monkeypatch.setattr("engine.convert.recordings.MAX_RECORDINGS", 3)
    recordings = read_recordings(folder, card)
    assert [recording.path.name for recording in recordings] == ["0.wav", "2.wav", "4.wav"]
    assert [recording.samples.size for recording in recordings] == [1000, 2000, 2000]
    assert MAX_RECORDINGS == 256


def test_labels_by_path_or_by_name(folder, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("label,file\nlow,0.wav\nhigh,deep/3.wav\nboth,4.wav\nlow,elsewhere.wav\n")
    recordings = read_recordings(folder, CARD, table)
    assert [(recording.path.name, recording.label) for recording in recordings] == [
        ("0.wav", "low"), ("3.wav", "high"), ("4.wav", "both"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a CSV table of labels, got .*labels.csv"),
        (b"\xff\xfe\x00", "expected a CSV table of labels, got .*labels.csv"),
        (b"", "expected the columns file and label in .*, got no rows"),
        (b"file,category\n0.wav,low\n", r"expected the columns file and label in .*, got \['file', 'category'\]"),
        (b"file,label\n0.wav,dog\n", r"expected labels of 'tiny' in .*, got unknown \['dog'\]"),
        (b"file,label\n9.wav,low\n", "expected .*labels.csv to name recordings in .*, it names none"),
    ],
)
def test_bad_tables_are_refused(folder, tmp_path, content, message):
    if content is not None:
        (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_recordings(folder, CARD, tmp_path / "labels.csv")


def test_a_model_without_sound_is_refused(folder):
    rows = ModelInput("rows", "embedding", ("batch", "time", "feature"))
    card = tiny_models.log_mel_card(frontend=None, input=rows)
    with pytest.raises(ConfigError, match="expected a model that takes sound, 'tiny' takes embeddings"):
        read_recordings(folder, card)


def test_a_recording_that_cannot_be_read_is_named(folder):
    (folder / "broken.wav").write_bytes(b"<html>")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        read_recordings(folder, CARD)


def test_made_up_recordings_cover_what_is_hard():
    lengths = [recording.samples.size for recording in synthetic_recordings(CARD)]
    assert lengths == [RATE, RATE // 3 + 1, 5 * RATE // 2, 1, RATE]
    assert not synthetic_recordings(CARD)[-1].samples.any()
    noise = uneven_noise(RATE)
    assert noise.dtype == np.float32
    levels = [np.std(part) for part in np.array_split(noise, 20)]
    assert max(levels) > 10 * min(levels)
