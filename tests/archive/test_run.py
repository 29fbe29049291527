"""A run as a function: what it makes, refuses and takes up again. What can go wrong outside of it: test_faults."""

from __future__ import annotations

import json
import sys
import threading

import pytest

from engine.archive import run as run_archive
from engine.archive.plan import Plan
from engine.archive.run import plan_of
from engine.archive.store import manifest_path
from engine.errors import ArchiveError, Cancelled, ConfigError, ModelError
from engine.index import Index
from tests.archive.recordings import files_in, windows_in, write_clip, write_clips


@pytest.fixture(scope="module")
def begun(tmp_path_factory, tiny):
    """An archive of three clips, two of them of the same bytes, and one file that is no audio; run in a thread."""
    folder = tmp_path_factory.mktemp("run")
    clips = write_clips(folder / "in", 2)
    (folder / "in" / "0002.wav").write_bytes(clips[0].read_bytes())
    (folder / "in" / "0003.wav").write_bytes(b"no audio")
    results = []
    seen = []

    def do():
        results.append(run_archive([folder / "in"], folder / "out", tiny, hop_s=0.25, workers=1, progress=seen.append))

    thread = threading.Thread(target=do)
    thread.start()
    thread.join(60)
    return folder, results[0], seen


def test_a_run_makes_the_tables_and_says_what_it_came_to(begun):
    folder, summary, seen = begun
    assert (summary.folder, summary.n_items, summary.n_failed, summary.n_run, summary.n_damaged) == (
        folder / "out",
        4,
        1,
        4,
        0,
    )
    assert summary.audio_s == 6
    assert sorted(path.name for path in summary.folder.iterdir()) == [
        "failed.jsonl",
        "files",
        "files.parquet",
        "lock",
        "manifest.jsonl",
        "windows",
    ]
    rows = files_in(summary.folder)
    assert [row["duplicate_of"] for row in rows] == [None, None, 0, None]
    assert [row["n_windows"] for row in rows] == [5, 5, 5, 0]
    assert len(windows_in(summary.folder)) == 15
    (failure,) = map(json.loads, (summary.folder / "failed.jsonl").read_text().splitlines())
    assert failure["path"].endswith("0003.wav")
    assert seen[0].n_done == 0
    assert {progress.n_items for progress in seen} == {4}


def test_resuming_needs_no_options_and_adds_what_is_new(begun, tmp_path, monkeypatch):
    folder, first, _ = begun
    before = windows_in(first.folder)
    again = run_archive([], first.folder, resume=True)
    assert (again.n_run, again.n_failed, again.audio_s) == (0, 1, 0)
    write_clip(folder / "in" / "new.wav", 1.0, 900)
    monkeypatch.chdir(folder)
    added = run_archive(["in"], "out", resume=True, workers=1)
    assert (added.n_items, added.n_run, added.audio_s) == (5, 1, 1)
    after = windows_in(first.folder)
    assert after[: len(before)] == before
    assert [row["file_id"] for row in after[len(before) :]] == [4]
    assert Plan(manifest_path(first.folder)).sizes == (4, 1)


def test_the_product_index_is_ready_at_the_end(tmp_path, tiny):
    clips = write_clips(tmp_path / "in", 3)
    run_archive(clips, tmp_path / "out", tiny, products=["tags", "index"], workers=1)
    assert (tmp_path / "out" / "index" / "index.json").exists()
    with Index.open(tmp_path / "out") as index:
        assert len(index) == len(windows_in(tmp_path / "out"))


def test_an_archive_is_not_written_over(begun):
    folder, first, _ = begun
    with pytest.raises(ConfigError, match=r"expected a new folder, .*out is not empty; go on with --resume, or choose"):
        run_archive([folder / "in"], first.folder)
    with pytest.raises(ConfigError, match=r"expected a new folder, .* is not empty; empty it, or choose"):
        run_archive([folder / "in"], folder / "in", resume=True)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"hop_s": 0.5}, "hop"),
        ({"window_s": 2.0}, "window"),
        ({"products": ["tags"]}, "embedding_size"),
        ({"channel": 0}, "channel"),
        ({"time_pattern": "%Y%m%d%H"}, "time_pattern"),
        ({"model": "esc10"}, "model, model_sha256"),
    ],
)
def test_other_settings_are_refused(begun, options, names):
    _, first, _ = begun
    expected = rf"expected the settings that the archive was begun with, got others \({names}.*\); leave them out, or"
    with pytest.raises(ConfigError, match=expected):
        run_archive([], first.folder, resume=True, **options)


def test_a_model_is_kept_by_its_absolute_path_and_may_move(tmp_path, tiny, monkeypatch):
    clips = write_clips(tmp_path / "in", 1)
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "mine.onnx"
    path.write_bytes(tiny.read_bytes())
    monkeypatch.chdir(tmp_path / "models")
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        run_archive(clips, tmp_path / "out", "mine.onnx", progress=lambda _: cancel.set(), cancel=cancel, workers=1)
    monkeypatch.chdir(tmp_path)
    assert Plan(manifest_path(tmp_path / "out")).model == str(path)
    assert files_in(tmp_path / "out") == []
    path.rename(tmp_path / "moved.onnx")
    with pytest.raises(ModelError, match=r"mine\.onnx"):
        run_archive([], tmp_path / "out", resume=True)
    assert run_archive([], tmp_path / "out", "moved.onnx", resume=True, workers=1).n_run == 1


def test_a_run_that_never_began_leaves_a_folder_that_can_be_used(tmp_path, tiny):
    clips = write_clips(tmp_path / "in", 1)
    out = tmp_path / "out"
    with pytest.raises(ArchiveError, match="expected recordings, got none from the inputs"):
        run_archive([], out, tiny)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="cancelled before any work was done; run again as before"):
        run_archive(clips, out, tiny, cancel=cancel)
    (out / "manifest.jsonl.1.partial").write_bytes(b"half")
    (out / "windows" / "000000.parquet.1.partial").write_bytes(b"half")
    assert run_archive(clips, out, tiny, workers=1, limit=1).n_run == 1
    assert list(out.rglob("*.partial")) == []


def test_a_folder_that_cannot_be_made(tmp_path, tiny):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArchiveError, match=r"expected a folder to write at .*file, got .*; change its permissions or"):
        run_archive([tmp_path], tmp_path / "file", tiny)


def test_without_pyarrow_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"expected the package pyarrow, .*pip install 'sound-engine\[archive\]'"):
        run_archive([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_would_be_done(tmp_path):
    write_clips(tmp_path / "in", 3, 1.0)
    assert plan_of([tmp_path / "in"]) == "3 recordings, 0.000 GB, in 1 shards"
    assert plan_of([tmp_path / "in"], limit=2) == "2 recordings, 0.000 GB, in 1 shards"
