"""One shard: rows equal to the model's own windows, whatever lies among the recordings."""

from __future__ import annotations

import shutil
import threading
import tracemalloc
from datetime import datetime

import numpy as np
import pytest
import soundfile

from engine import Tagger
from engine.archive import decoding
from engine.archive.settings import settings_for
from engine.archive.store import TABLE_FOLDERS
from engine.archive.tables import read_files
from engine.errors import ArchiveError, Cancelled
from tests.archive.recordings import do_shard, shard_of, store_in, windows_in, write_clip, write_clips
from tests.tiny_models import RATE


def shard_rows(store, shard):
    return read_files(store.files_path(shard.index))


def test_rows_are_the_taggers_own_windows(tmp_path, tiny, model):
    clips = [write_clip(tmp_path / f"{n}.wav", n / 3, 300 * n, channels=1 + n % 2) for n in range(1, 8)]
    settings = settings_for(model, window_s=0.75, hop_s=0.25)
    store = store_in(tmp_path / "out", settings)
    do_shard(model, shard_of(clips, first=10), store)
    rows = iter(windows_in(store.folder))
    with Tagger(tiny, "cpu", threads=1) as tagger:
        for file_id, clip in enumerate(clips, 10):
            for window in tagger.windows(clip, window_s=0.75, hop_s=0.25):
                row = next(rows)
                assert (row["file_id"], row["start_s"], row["end_s"]) == (file_id, window.start_s, window.end_s)
                assert np.array_equal(np.float32(row["scores"]), window.scores)
                assert np.array_equal(np.float32(row["embedding"]), window.embedding)
    assert next(rows, None) is None


def test_what_is_known_of_a_recording(tmp_path, model, settings):
    clip = write_clip(tmp_path / "20240229_120000.wav", 2.5, channels=2)
    store = store_in(tmp_path / "out", settings)
    said = do_shard(model, shard_of([clip]), store)
    (row,) = store.succeeded(shard_of([clip])).values()
    assert said == [0, (0, 2.5, False)]
    assert (row.uri, row.uri_bytes, row.size) == (str(clip), str(clip).encode(), clip.stat().st_size)
    assert (row.duration_s, row.sample_rate, row.channels, row.n_windows) == (2.5, RATE, 2, 4)
    assert row.peak == pytest.approx(0.5, abs=1e-3)
    assert (row.clipped, row.error, row.error_stage, row.error_type) == (0, None, None, None)
    assert len(row.sha256) == 64
    times = [each["time"] for each in windows_in(store.folder)]
    assert [(each - row.recorded_at).total_seconds() for each in times] == [0, 0.5, 1, 1.5]


def test_what_was_odd_stands_in_the_row_and_so_does_the_model(tmp_path, model, settings):
    odd, sound = write_clip(tmp_path / "odd.wav", 2.0), write_clip(tmp_path / "sound.wav", 2.0)
    header = bytearray(odd.read_bytes())
    header[40:44] = (10**6).to_bytes(4, "little")  # bytes of samples, of which 32,000 are there
    odd.write_bytes(header)
    store = store_in(tmp_path / "out", settings)
    do_shard(model, shard_of([odd, sound, tmp_path / "missing.wav"]), store)
    first, second, third = shard_rows(store, shard_of([odd]))
    assert first.error is None
    assert first.duration_s == 2.0
    assert "(should be" in first.warnings
    assert second.warnings is None
    assert third.error_stage == "open"
    want = model.card.model_sha256
    assert [row.model_sha256 for row in (first, second, third)] == [want] * 3
    assert len(want) == 64


def test_a_pattern_says_how_names_hold_the_time(tmp_path, model):
    clip = write_clip(tmp_path / "hut 06-04-2018 19h17.wav", 1.0)
    store = store_in(tmp_path / "out", settings_for(model, time_pattern="%d-%m-%Y %Hh%M"))
    do_shard(model, shard_of([clip]), store)
    (row,) = shard_rows(store, shard_of([clip]))
    assert (row.recorded_at, row.recorded_from) == (datetime(2018, 4, 6, 19, 17), "name")


def test_a_long_recording_takes_no_more_memory_than_a_short_one(tmp_path, model, settings):
    peaks = []
    for seconds in (120, 1200):
        clip = write_clip(tmp_path / f"{seconds}.wav", seconds)
        store = store_in(tmp_path / f"out{seconds}", settings)
        tracemalloc.start()
        do_shard(model, shard_of([clip]), store)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (2 << 20), peaks


def test_every_failure_is_a_row_and_the_rest_goes_on(tmp_path, model, settings):
    good = write_clip(tmp_path / "good.wav")
    no_audio, empty, not_a_number, absent = (tmp_path / f"{name}.wav" for name in ("no", "zero", "nan", "absent"))
    no_audio.write_bytes(b"no audio")
    soundfile.write(empty, np.zeros((0, 1)), RATE, subtype="PCM_16")
    samples = np.full(3 * RATE, 0.25, np.float32)
    samples[2 * RATE + 5] = np.nan
    soundfile.write(not_a_number, samples, RATE, subtype="FLOAT")
    store = store_in(tmp_path / "out", settings)
    shard = shard_of([good, no_audio, empty, not_a_number, absent, good])
    do_shard(model, shard, store, excluded={5: "it kills"})
    rows = shard_rows(store, shard)
    assert [(row.error_stage, row.error_type, row.n_windows) for row in rows] == [
        (None, None, 3),
        ("open", "AudioError", 0),
        ("decode", "AudioError", 0),
        # What came before the damage is kept.
        ("decode", "AudioError", rows[3].n_windows),
        ("open", "AudioError", 0),
        ("worker", "Died", 0),
    ]
    assert "no samples" in rows[2].error
    assert "got nan at sample 16005" in rows[3].error
    assert rows[5].error == "it kills"
    windows = windows_in(store.folder)
    assert all(np.isfinite(each["scores"]).all() for each in windows)
    assert {each["file_id"] for each in windows} <= {0, 3}
    assert all(each["end_s"] <= 2.0 for each in windows if each["file_id"] == 3)


def test_whatever_a_recording_raises_is_its_own_failure(tmp_path, model, settings, monkeypatch):
    clips = write_clips(tmp_path / "in", 2)
    opened = decoding.open_recording

    def raising(source, label):
        if label == repr(str(clips[0])):
            raise ZeroDivisionError
        return opened(source, label)

    monkeypatch.setattr(decoding, "open_recording", raising)
    store = store_in(tmp_path / "out", settings)
    shard = shard_of(clips)
    do_shard(model, shard, store)
    rows = shard_rows(store, shard)
    assert [(row.error_type, row.error) for row in rows] == [("ZeroDivisionError", "ZeroDivisionError()"), (None, None)]


def test_trying_again_reads_only_what_failed(tmp_path, model, settings):
    clips = write_clips(tmp_path / "in", 4)
    missing = clips[1].rename(tmp_path / "elsewhere.wav")
    shard = shard_of(clips)
    store = store_in(tmp_path / "out", settings)
    do_shard(model, shard, store)
    assert [row.error is None for row in shard_rows(store, shard)] == [True, False, True, True]
    before = {row.file_id: row for row in shard_rows(store, shard)}
    missing.rename(clips[1])
    clips[2].unlink()
    said = do_shard(model, shard, store, retry=True)
    assert said == [(0, 0.0, False), 1, (1, 2.0, False), (2, 0.0, False), (3, 0.0, False)]
    after = {row.file_id: row for row in shard_rows(store, shard)}
    assert {i: after[i] for i in (0, 2, 3)} == {i: before[i] for i in (0, 2, 3)}
    assert after[1].error is None
    assert store.is_done(shard)
    shutil.copy(clips[0], clips[2])
    fresh = store_in(tmp_path / "fresh", settings)
    write_clips(tmp_path / "in", 4)
    do_shard(model, shard, fresh)
    assert windows_in(store.folder) == windows_in(fresh.folder)


def test_a_cancelled_shard_leaves_nothing(tmp_path, model, settings):
    clips = write_clips(tmp_path / "in", 2)
    cancel = threading.Event()
    cancel.set()
    store = store_in(tmp_path / "out", settings)
    with pytest.raises(Cancelled):
        do_shard(model, shard_of(clips), store, cancel=cancel)
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    with pytest.raises(Cancelled):
        do_shard(model, shard_of([tmp_path / "bad.wav"]), store, cancel=cancel)
    assert [list((store.folder / name).iterdir()) for name in TABLE_FOLDERS] == [[], []]


def test_tables_that_cannot_be_written_are_no_failure_of_a_recording(tmp_path, model, settings):
    store = store_in(tmp_path / "out", settings)
    store.windows_path(0).parent.rmdir()
    with pytest.raises(ArchiveError, match="expected to write"):
        do_shard(model, shard_of(write_clips(tmp_path / "in", 1)), store)
