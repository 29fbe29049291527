"""Keeping an index: what is read again, what is kept, who may write, and what a crash leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from engine.errors import ArchiveError, ConfigError
from engine.index import Index
from engine.index import layout as layout_module
from engine.index import sources as sources_module
from engine.index.layout import HEADER
from tests.conftest import REPOSITORY as ROOT
from tests.index.stand_ins import SIZE, Reader, library, write


@pytest.fixture
def folder(tmp_path):
    library(tmp_path / "in", 12)
    return tmp_path


@pytest.fixture
def built(folder):
    with Index.create(folder / "lib.index", Reader()) as index:
        index.add([folder / "in"])
        index.save()
    return folder / "lib.index"


def names(paths):
    return [path[-7:] for path in paths]


def content(index):
    """Every item with its vector, in an order that does not depend on history."""
    rows = index.items.select(["path", "start_s", "end_s", "tags", "sha256"]).to_pylist()
    vectors = np.asarray(index.vectors).tolist()
    return sorted(((*map(str, row.values()), vector) for row, vector in zip(rows, vectors, strict=True)), key=str)


def touch(path):
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))


def test_vectors_are_memory_mapped_and_of_length_one(built):
    index = Index.open(built)
    assert isinstance(index.vectors, np.memmap)
    assert not index.vectors.flags.writeable
    assert index.vectors.shape == (36, SIZE)
    assert np.linalg.norm(index.vectors, axis=1) == pytest.approx(np.ones(36), abs=1e-6)
    assert index.items["recording_id"].to_pylist() == [i // 3 for i in range(36)]


def test_update_reads_only_what_changed(built, folder):
    write(folder / "in" / "003.wav", [[0, 0, 0, 1]])
    touch(folder / "in" / "003.wav")
    touch(folder / "in" / "004.wav")
    write(folder / "in" / "new.wav", [[1, 1, 1, 1]])
    reader = Reader()
    with Index.open(built, reader) as index:
        change = index.update()
        assert (names(change.changed), names(change.added), change.n_unchanged) == (["003.wav"], ["new.wav"], 11)
        assert reader.read == ["003.wav", "new.wav"]
        index.save()
    again = Reader()
    with Index.open(built, again) as index:
        assert index.update().n_unchanged == 13
        assert again.read == []
        fresh_folder = folder / "fresh.index"
        with Index.create(fresh_folder, Reader()) as fresh:
            fresh.add([folder / "in"])
            assert content(fresh) == content(index)


def test_a_file_of_the_same_size_and_time_is_not_opened(built, monkeypatch):
    def opened(path):
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(sources_module, "file_state", opened)
    with Index.open(built, Reader()) as index:
        assert index.update().n_unchanged == 12


def test_a_changed_recording_keeps_its_number_and_tags(folder):
    with Index.create(folder / "lib.index", Reader()) as index:
        index.add([folder / "in"], ["field"])
        before = dict(zip(index.items["path"].to_pylist(), index.items["recording_id"].to_pylist(), strict=True))
        index.save()
        write(folder / "in" / "005.wav", [[0, 1, 0, 0]])
        index.update()
        rows = [row for row in index.items.to_pylist() if row["path"].endswith("005.wav")]
        assert [(row["recording_id"], row["tags"]) for row in rows] == [(before[rows[0]["path"]], ["field"])]


def test_what_is_gone_is_kept_until_it_is_pruned(built, folder):
    (folder / "in" / "000.wav").unlink()
    with Index.open(built, Reader()) as index:
        assert names(index.update().missing) == ["000.wav"]
        assert len(index) == 36
        assert names(index.update(prune=True).removed) == ["000.wav"]
        assert len(index) == 33
        index.save()
    assert len(Index.open(built)) == 33


def test_removing_by_pattern(built, folder):
    with Index.open(built, Reader()) as index:
        assert names(index.remove(["*/00[01].wav", str(folder / "in" / "011.wav")])) == [
            "000.wav",
            "001.wav",
            "011.wav",
        ]
        with pytest.raises(ConfigError, match=r"match '\*nobody\*'"):
            index.remove(["*nobody*"])
        index.save()
    assert len(Index.open(built)) == 27


def test_failures_are_told_and_the_rest_is_added(folder):
    (folder / "in" / "bad.wav").write_text("no vectors")
    with Index.create(folder / "lib.index", Reader()) as index:
        change = index.add([folder / "in", folder / "nowhere.wav"])
        assert [path[-11:] for path, _ in change.failed] == ["nowhere.wav", *["/in/bad.wav"]]
        assert all("expected" in why for _, why in change.failed)
        assert len(change.added) == 12


def test_a_recording_that_became_unreadable_keeps_what_there_was(built, folder):
    (folder / "in" / "002.wav").write_text("damaged")
    with Index.open(built, Reader()) as index:
        before = content(index)
        assert names(path for path, _ in index.update().failed) == ["002.wav"]
        assert content(index) == before


def test_nothing_is_kept_without_save(built):
    with Index.open(built, Reader()) as index:
        index.remove(["*"])
        assert len(index) == 0
    assert len(Index.open(built)) == 36


def test_changes_that_are_not_saved_yet_change_again(folder):
    with Index.create(folder / "lib.index", Reader()) as index:
        index.add([folder / "in"])
        write(folder / "in" / "001.wav", [[0, 0, 1, 0]])
        touch(folder / "in" / "001.wav")
        assert names(index.update().changed) == ["001.wav"]
        assert len(index) == 34
        index.remove(["*/002.wav"])
        before = content(index)
        index.save()
        assert content(index) == before
    with Index.create(folder / "fresh.index", Reader()) as fresh:
        fresh.add([path for path in sorted((folder / "in").iterdir()) if path.name != "002.wav"])
        assert content(fresh) == before


def test_other_models_and_front_ends_are_refused(built):
    other = Reader()
    other.card = Reader(name="other").card
    object.__setattr__(other.card, "model_sha256", "c" * 64)
    with pytest.raises(ConfigError, match=r"model 'reader' \(aaaaaaaaaaaa\).*got 'other' \(cccccccccccc\)"):
        Index.open(built, other)
    with pytest.raises(ConfigError, match="front end"):
        Index.open(built, Reader(window=4000, hop=4000))


def test_folders_that_hold_something_else_are_refused(tmp_path, built):
    with pytest.raises(ConfigError, match="new or empty"):
        Index.create(built, Reader())
    with pytest.raises(ConfigError, match=r"no index\.json"):
        Index.open(tmp_path)
    with pytest.raises(ConfigError, match="metric"):
        Index.create(tmp_path / "x", Reader(), "manhattan")
    with pytest.raises(ConfigError, match="embedding"):
        Index.create(tmp_path / "x", Reader(embedding_size=None, outputs=scores_only()))


def scores_only():
    from engine.card import ModelOutput, ModelOutputs

    return ModelOutputs(scores=ModelOutput("scores", ("batch", "label")))


@pytest.mark.parametrize("damage", ["shorter", "gone", "table", "header", "format"])
def test_damage_is_one_sentence(built, damage):
    header = json.loads((built / HEADER).read_text())
    vectors, items = built / f"vectors-{header['version']:06d}.f32", built / f"items-{header['version']:06d}.parquet"
    if damage == "shorter":
        vectors.write_bytes(vectors.read_bytes()[:-4])
    elif damage == "gone":
        items.unlink()
    elif damage == "table":
        items.write_bytes(b"PAR1" + items.read_bytes()[4:-30])
    elif damage == "header":
        (built / HEADER).write_text("{")
    else:
        (built / HEADER).write_text(json.dumps(header | {"format": 99}))
    with pytest.raises(ArchiveError, match=r"expected .*(build the index again|use the sound-engine that made it)"):
        Index.open(built)


def test_verify_finds_a_changed_byte(built):
    index = Index.open(built)
    index.verify()
    path = next(built.glob("vectors-*.f32"))
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="hash"):
        index.verify()


def test_a_second_writer_is_refused(built):
    with Index.open(built, Reader()) as first:
        first.remove(["*/000.wav"])
        second = Index.open(built, Reader())
        with pytest.raises(ConfigError, match="alone, another run does"):
            second.remove(["*/001.wav"])
        first.save()
    with second:
        assert names(second.remove(["*/001.wav"])) == ["001.wav"]
        assert len(second) == 30  # from the version that the first one wrote


def test_readers_keep_their_version_while_a_writer_changes_it(built):
    reader = Index.open(built)
    before = content(reader)
    with Index.open(built, Reader()) as writer:
        writer.remove(["*/00?.wav"])
        writer.save()
    assert content(reader) == before
    assert len(Index.open(built)) == 6
    assert sorted(path.name for path in built.iterdir()) == [
        "index.json",
        "items-000003.parquet",
        "lock",
        "vectors-000003.f32",
    ]


# The root of the repository comes last: the engine is the installed one.
WRITER = """
import sys
sys.path.append(sys.argv.pop())
from engine.index import Index
from tests.index.stand_ins import Reader
folder, count = sys.argv[1:]
with Index.open(folder, Reader()) as index:
    print("ready", flush=True)
    for i in range(int(count)):
        paths = index.items["path"].unique().to_pylist()
        index.remove([paths[0]])
        index.save()
        index.add([paths[0]])
        index.save()
        print("saved", flush=True)
"""


def start_writer(folder, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(count), str(ROOT)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("suffix", [".f32", ".parquet", ".json"])
def test_a_write_that_fails_leaves_the_version_before(built, monkeypatch, suffix):
    """Each file is whole before the header names it: a disk that is full at any of them loses the change only."""
    before = content(Index.open(built))
    replace = layout_module.replace_file

    def full(path):
        if path.suffix == suffix:
            raise OSError(28, "No space left on device")
        return replace(path)

    with Index.open(built, Reader()) as index:
        index.remove(["*/000.wav"])
        monkeypatch.setattr(layout_module, "replace_file", full)
        with pytest.raises(ArchiveError, match="No space left"):
            index.save()
    monkeypatch.undo()
    assert content(Index.open(built)) == before
    Index.open(built).verify()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_a_killed_writer_leaves_a_whole_version(built):
    versions = set()
    for delay in (0.0, 0.007, 0.02):
        writer = start_writer(built, 10_000)
        assert writer.stdout.readline() == "ready\n"
        time.sleep(delay)
        writer.kill()
        writer.communicate()
        index = Index.open(built, Reader())
        index.verify()
        assert len(index) in (33, 36)
        versions.add(index.header.version)
        with index:
            index.update()
            index.save()
        assert len(Index.open(built)) == 36
    assert not list(built.glob("*.partial"))


def test_many_readers_see_whole_versions_beside_a_writer(built):
    writer = start_writer(built, 25)
    seen = set()
    while writer.poll() is None:
        index = Index.open(built)
        assert len(index.vectors) == len(index.items)
        hits = index.search(index.vectors[5], k=1)
        assert hits[0].item == 5
        seen.add(index.header.version)
    assert writer.returncode == 0
    writer.communicate()
    assert len(seen) > 3
