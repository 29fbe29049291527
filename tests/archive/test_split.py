"""Long recordings in parts: the rows are those of one piece, bit for bit, whoever does them and whatever is in them."""

from __future__ import annotations

import threading
from dataclasses import asdict

import numpy as np
import pytest
import soundfile

from engine.archive import alignment as alignment_module
from engine.archive import run as run_archive
from engine.archive import split as split_module
from engine.archive import splitting
from engine.archive.alignment import alignment
from engine.archive.items import Item, Opener
from engine.archive.parts import join_parts, run_part
from engine.archive.plan import Plan, Shard
from engine.archive.settings import settings_for
from engine.archive.split import SEAM
from engine.archive.splitting import with_splits
from engine.archive.store import manifest_path
from engine.archive.tables import read_files
from engine.audio import load
from engine.decode_sndfile import SndfileDecoder
from engine.errors import AudioError, Cancelled
from tests.archive.recordings import CLOCKS, do_shard, files_in, store_in, windows_in
from tests.tiny_models import RATE

PART = 100_000


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(splitting, "PART_BYTES", PART)
    monkeypatch.setattr(splitting, "WINDOWS_STEP", 2)
    monkeypatch.setattr(split_module, "SEAM", 256)
    monkeypatch.setattr("engine.archive.parts.SEAM", 256)


def write(path, seconds, rate, *, channels=1, subtype="PCM_16", seed=0):
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    level = np.interp(np.arange(n), [0, n / 3, n], [0.0, 1.2, 0.01])[:, None]
    samples = np.clip(rng.standard_normal((n, channels)) * 0.3 * level, -1, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def planned(path, settings, n_parts=4):
    splitting.PART_BYTES = path.stat().st_size // n_parts + 1
    (shard,) = with_splits([Shard(0, 5, (Item(str(path), path.stat().st_size, 1.5),))], settings)
    return shard


def in_parts(model, shard, store, order=None):
    with Opener() as opener:
        for part in order or range(len(shard.split.starts)):
            run_part(model, shard, part, store, opener=opener, cancel=threading.Event())
    return join_parts(shard, store)


def rows_in(store):
    rows = [asdict(row) for row in read_files(store.files_path(0))]
    return [{name: value for name, value in row.items() if name not in CLOCKS} for row in rows]


@pytest.mark.parametrize(
    ("name", "rate", "seconds", "options"),
    [
        ("a.wav", RATE, 40.3, {}),
        ("b.flac", RATE, 60.0, {"channels": 2}),
        ("c.wav", 48000, 9.0, {"channels": 2}),
        ("20240229_120000.wav", 16000, 25.77, {"subtype": "FLOAT"}),
        ("d.flac", 24000, 30.0, {"subtype": "PCM_24"}),
        ("e.wav", 32000, 35.0, {"subtype": "PCM_24"}),
    ],
)
@pytest.mark.parametrize("window", [{}, {"window_s": 0.75, "hop_s": 0.11}, {"window_s": 1.0, "hop_s": 1.0}])
def test_parts_give_the_rows_of_one_piece(tmp_path, model, name, rate, seconds, options, window):  # noqa: PLR0917
    path = write(tmp_path / name, seconds, rate, **options)
    settings = settings_for(model, **window)
    shard = planned(path, settings)
    assert shard.split is not None
    assert len(shard.split.starts) >= 3
    whole, parts = store_in(tmp_path / "whole", settings), store_in(tmp_path / "parts", settings)
    do_shard(model, shard, whole)
    order = list(range(len(shard.split.starts)))[::-1]
    assert in_parts(model, shard, parts, order) is not None
    assert windows_in(parts.folder) == windows_in(whole.folder)
    assert rows_in(parts) == rows_in(whole)
    assert parts.is_done(shard)
    assert parts.place.names("parts") == []


@pytest.mark.parametrize("rates", [(48000, 44100), (44100, 16000), (22050, 16000), (96000, 48000)])
def test_resampling_from_an_alignment_gives_the_bits_of_the_whole(rates):
    source_rate, rate = rates
    found = alignment(*rates)
    assert found is not None
    samples = np.random.default_rng(7).standard_normal(4 * found.step + 3 * found.margin + 50_001).astype(np.float32)
    whole, _ = load((samples, source_rate), rate)
    for n in (1, 3, 4):
        begin = n * found.step
        part, _ = load((samples[begin:], source_rate), rate)
        skipped = -(-found.margin * rate // source_rate)
        np.testing.assert_array_equal(part[skipped:], whole[begin * rate // source_rate + skipped :])


def test_no_alignment_is_no_split(tmp_path, model, settings, monkeypatch):
    monkeypatch.setattr(alignment_module, "MAX_STEP", 1000)
    alignment.cache_clear()
    path = write(tmp_path / "a.wav", 15, 44100)
    assert alignment(44100, RATE) is None
    assert planned(path, settings).split is None
    alignment.cache_clear()


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "IMA_ADPCM")])
def test_formats_whose_seek_is_not_exact_are_in_one_piece(tmp_path, settings, kind, subtype):
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{kind.lower()}"
    soundfile.write(path, rng.uniform(-0.5, 0.5, 1_600_000), 16000, format=kind, subtype=subtype)
    assert path.stat().st_size > 2 * PART
    assert planned(path, settings).split is None
    misnamed = path.rename(tmp_path / "b.wav")
    assert planned(misnamed, settings).split is None


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_seek_is_exact(tmp_path, name):
    path = write(tmp_path / name, 20, RATE, channels=2)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    for frame in (0, 1, 4095, 4096, 4097, 77_777, len(whole) - 1):
        decoder = SndfileDecoder(str(path), name)
        assert decoder.seeks_exactly
        decoder.start_at(frame)
        blocks = []
        while len(block := decoder.read()):
            blocks.append(block)
        np.testing.assert_array_equal(np.concatenate(blocks), whole[frame:])
        decoder.close()
    decoder = SndfileDecoder(str(path), name)
    with pytest.raises(AudioError, match=f"expected to find sample {len(whole) + 1}"):
        decoder.start_at(len(whole) + 1)
    decoder.close()


def test_short_ones_many_and_those_that_cannot_be_opened_are_in_one_piece(tmp_path, settings, monkeypatch):
    short = write(tmp_path / "short.wav", 3, RATE)
    monkeypatch.setattr(splitting, "PART_BYTES", PART)
    (shard,) = with_splits([Shard(0, 0, (Item(str(short), short.stat().st_size),))], settings)
    assert shard.split is None
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio" * PART)
    (shard,) = with_splits([Shard(0, 0, (Item(str(bad), bad.stat().st_size),))], settings)
    assert shard.split is None
    long = Item(str(write(tmp_path / "long.wav", 60, RATE)), 960_044)
    (shard,) = with_splits([Shard(0, 0, (long, Item(str(short))))], settings)
    assert shard.split is None
    (shard,) = with_splits([Shard(0, 0, (Item("memory://a.wav", 1 << 30),))], settings)
    assert shard.split is None


def damaged_in_the_middle(path):
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 5000] = b"\0" * 5000
    path.write_bytes(data)


def not_finite(path):
    samples, rate = soundfile.read(path, dtype="float32")
    samples[len(samples) // 2] = np.nan
    soundfile.write(path, samples, rate, subtype="FLOAT")


@pytest.mark.parametrize(("name", "damage"), [("a.flac", damaged_in_the_middle), ("a.wav", not_finite)])
def test_one_that_is_damaged_is_read_in_one_piece(tmp_path, model, settings, name, damage):
    path = write(tmp_path / name, 60, RATE, subtype="PCM_16" if name.endswith("flac") else "FLOAT")
    damage(path)
    shard = planned(path, settings)
    assert shard.split is not None
    store = store_in(tmp_path / "out", settings)
    assert in_parts(model, shard, store) is None
    do_shard(model, shard, store)
    (row,) = rows_in(store)
    assert row["error_stage"] == "decode"


def test_what_is_odd_about_its_end_is_said_once(tmp_path, model, settings):
    path = write(tmp_path / "a.wav", 40, RATE)
    header = bytearray(path.read_bytes())
    header[40:44] = (2 * 41 * RATE).to_bytes(4, "little")
    path.write_bytes(header)
    shard = planned(path, settings)
    assert shard.split is not None
    whole, parts = store_in(tmp_path / "whole", settings), store_in(tmp_path / "parts", settings)
    do_shard(model, shard, whole)
    assert in_parts(model, shard, parts) is not None
    (row,) = rows_in(whole)
    assert rows_in(parts) == [row]
    assert "(should be" in row["warnings"]
    assert row["model_sha256"] == settings.model_sha256


def test_one_that_changes_meanwhile_is_not_joined(tmp_path, model, settings):
    path = write(tmp_path / "a.wav", 40, RATE)
    shard = planned(path, settings)
    store = store_in(tmp_path / "out", settings)
    with Opener() as opener:
        run_part(model, shard, 0, store, opener=opener, cancel=threading.Event())
    write(path, 40, RATE, seed=1)
    # Its length is the same: what stands at the seams is not.
    assert in_parts(model, shard, store) is None


def test_a_part_that_is_there_is_not_done_again_and_a_damaged_one_is(tmp_path, model, settings):
    path = write(tmp_path / "a.wav", 40, RATE)
    shard = planned(path, settings)
    store = store_in(tmp_path / "out", settings)
    cancel = threading.Event()
    with Opener() as opener:
        assert run_part(model, shard, 0, store, opener=opener, cancel=cancel) > 9
        assert run_part(model, shard, 0, store, opener=opener, cancel=cancel) == 0
        table = tmp_path / "out" / "parts" / "000000-000.parquet"
        table.write_bytes(table.read_bytes()[:-1])
        assert run_part(model, shard, 0, store, opener=opener, cancel=cancel) > 9
        cancel.set()
        with pytest.raises(Cancelled):
            run_part(model, shard, 1, store, opener=opener, cancel=cancel)
    assert sorted(store.place.names("parts")) == ["000000-000.json", "000000-000.parquet"]


def test_a_run_does_the_parts_by_its_workers(tmp_path, tiny, monkeypatch):
    write(tmp_path / "in" / "a.wav", 45, 32000)
    write(tmp_path / "in" / "b.wav", 2, RATE)
    monkeypatch.setattr(splitting, "PART_BYTES", 1 << 40)
    run_archive([tmp_path / "in"], tmp_path / "whole", tiny, hop_s=0.5, workers=1)
    monkeypatch.setattr(splitting, "PART_BYTES", PART * 8)
    # The shards of small archives hold many recordings: the long one is alone when it is as large as a whole shard.
    seen = []
    summary = run_archive(
        [tmp_path / "in" / "a.wav"], tmp_path / "out", tiny, hop_s=0.5, workers=2, progress=seen.append
    )
    assert Plan(manifest_path(tmp_path / "out")).parts == {0: 4}
    assert (summary.n_items, summary.n_failed, summary.audio_s) == (1, 0, 45)
    assert {progress.n_items for progress in seen} == {1}
    windows = windows_in(tmp_path / "whole")
    assert windows_in(tmp_path / "out") == [row for row in windows if row["file_id"] == 0]
    assert files_in(tmp_path / "out") == files_in(tmp_path / "whole")[:1]
    assert not list((tmp_path / "out" / "parts").iterdir())
    assert SEAM == 4096
