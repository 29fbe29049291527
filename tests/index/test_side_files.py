"""What lies beside an index: the faiss file, the LanceDB table, and the cuts of hits."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from engine.errors import AudioError, ConfigError
from engine.index import Filters, Hit, Index
from engine.index import approximate as approximate_module
from engine.index.cuts import copy_hits, cut
from tests.index.stand_ins import SIZE, Reader, library, write


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    library(folder / "in", 40, 50)
    with Index.create(folder / "lib.index", Reader()) as index:
        index.add([folder / "in"], lambda path: ["even"] if int(path[-5]) % 2 == 0 else [])
        index.save()
    return folder / "lib.index"


def test_candidates_are_ranked_exactly_and_most_neighbours_found(built):
    index = Index.open(built)
    recall = index.build_approximate()
    assert recall > 0.9
    query = np.array([1, -2, 0.5, 1], np.float32)
    exact, found = index.search(query, k=50), index.search(query, k=50, approximate=True)
    score_of = {hit.item: hit.score for hit in exact}
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert all(hit.score == score_of[hit.item] for hit in found if hit.item in score_of)
    assert len(score_of.keys() & {hit.item for hit in found}) >= 45
    filtered = index.search(query, k=20, approximate=True, filters=Filters(tags=["even"]))
    assert len(filtered) == 20
    assert all(hit.tags == ("even",) for hit in filtered)
    # More than the lists that are looked into hold: none is left out.
    every = index.search(query, k=2000, approximate=True, filters=Filters(tags=["even"]))
    assert every == index.search(query, k=2000, filters=Filters(tags=["even"]))


def test_a_stale_file_is_built_again(tmp_path):
    library(tmp_path / "in", 30, 10)
    with Index.create(tmp_path / "lib.index", Reader()) as index:
        index.add([tmp_path / "in"])
        with pytest.raises(ConfigError, match="save it first"):
            index.build_approximate()
        index.save()
        index.build_approximate()
        write(tmp_path / "in" / "new.wav", [[9, 9, 9, -9]])
        index.update()
        index.save()
        hits = index.search(np.array([9, 9, 9, -9], np.float32), k=1, approximate=True)
        assert hits[0].path.endswith("new.wav")
        assert index.has_approximate
        assert len(list((tmp_path / "lib.index").glob(approximate_module.PATTERN))) == 1


def test_a_reader_of_the_version_before_never_takes_the_file_of_the_next(tmp_path):
    library(tmp_path / "in", 30, 10)
    with Index.create(tmp_path / "lib.index", Reader()) as index:
        index.add([tmp_path / "in"])
        index.save()
        before = Index.open(tmp_path / "lib.index")
        index.remove(["*/00?.wav"])
        index.save()
        index.build_approximate()
        assert not before.has_approximate
        for item in (0, 29, 100, 299):
            assert before.search(item, 1, approximate=True)[0].item == item
        assert before.has_approximate


@pytest.mark.parametrize(("module", "call"), [("faiss", "build_approximate"), ("lancedb", "export_lancedb")])
def test_a_missing_package_is_one_sentence(built, monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=f"package {module}.*pip install"):
        getattr(Index.open(built), call)(*(["nowhere"] if call == "export_lancedb" else []))


def test_a_table_of_lancedb_holds_every_item(built, tmp_path):
    lancedb = pytest.importorskip("lancedb")
    index = Index.open(built)
    assert index.export_lancedb(str(tmp_path / "lance")) == len(index)
    with pytest.raises(ConfigError, match="--overwrite"):
        index.export_lancedb(str(tmp_path / "lance"))
    table = lancedb.connect(str(tmp_path / "lance")).open_table("items").to_arrow()
    assert table["path"].to_pylist() == index.items["path"].to_pylist()
    vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, SIZE)
    assert (vectors == np.asarray(index.vectors)).all()
    assert table.schema.metadata[b"engine.model"] == b"reader"


EXPORT = """
import sys
from engine.index import Index
index = Index.open(sys.argv[1])
print("ready", flush=True)
while True:
    index.export_lancedb(sys.argv[2], overwrite=True)
    print("done", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_a_killed_export_leaves_a_whole_table_or_none(built, tmp_path):
    lancedb = pytest.importorskip("lancedb")
    index = Index.open(built)
    for delay in (0.005, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-c", EXPORT, str(built), str(tmp_path / "lance")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        assert process.stdout.readline() == "done\n"
        time.sleep(delay)
        process.kill()
        process.communicate()
        table = lancedb.connect(str(tmp_path / "lance")).open_table("items")
        assert table.count_rows() == len(index)
        assert table.to_arrow()["path"].to_pylist() == index.items["path"].to_pylist()


@pytest.fixture
def recording(tmp_path):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (3 * 8000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a b.wav", samples, 8000, subtype="FLOAT")
    return tmp_path / "a b.wav", samples.mean(axis=1)


def test_a_cut_has_the_samples_of_its_seconds(recording):
    path, samples = recording
    found, rate = cut(str(path), 0.5, 2.25)
    assert rate == 8000
    assert found == pytest.approx(samples[4000:18000], abs=1e-7)
    assert len(cut(str(path), 2.5, 9.0)[0]) == 4000
    with pytest.raises(AudioError, match="got 3 s"):
        cut(str(path), 3.5, 4.0)


def test_cuts_are_named_by_rank_score_and_source(recording, tmp_path):
    path, samples = recording
    hits = [
        Hit(1, 0, str(path), 1.0, 2.0, 0.98765),
        Hit(2, 1, str(tmp_path / "gone.wav"), 0.0, 1.0, 0.5),
    ]
    written, failed = copy_hits(hits, tmp_path / "found")
    assert [file.name for file in written] == ["0001_0.9877_a_b_1.00s.wav"]
    assert [where[-8:] for where, _ in failed] == ["gone.wav"]
    assert soundfile.read(written[0], dtype="float32")[0] == pytest.approx(samples[8000:16000], abs=1e-7)
