"""An archive that is searched: its embeddings as an index, gathered when they have changed."""

from __future__ import annotations

import numpy as np
import pytest

from engine import Embedder, Index
from engine.archive import run as run_archive
from engine.errors import ConfigError
from tests.archive.recordings import write_clips
from tests.tiny_models import save


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture
def out(tmp_path, tiny):
    write_clips(tmp_path / "in", 5, 2.0)
    run_archive([tmp_path / "in"], tmp_path / "out", tiny, hop_s=0.5, workers=1)
    return tmp_path / "out"


def test_vectors_are_those_of_an_index_of_the_same_recordings(out, tiny, tmp_path):
    with Embedder(tiny, "cpu") as embedder, Index.create(tmp_path / "lib.index", embedder, hop_s=0.5) as made:
        made.add([tmp_path / "in"])
        made.save()
        archive = Index.open(out, embedder)
        columns = ["path", "start_s", "end_s", "duration_s", "size", "sha256"]
        assert archive.items.select(columns).to_pylist() == made.items.select(columns).to_pylist()
        assert np.abs(archive.vectors - made.vectors).max() < 1e-6
        query = made.items["path"][0].as_py()
        found, expected = (index.search(query, k=4, per_recording=1) for index in (archive, made))
        assert [hit.path for hit in found] == [hit.path for hit in expected]


def test_tables_are_read_again_only_when_they_have_changed(out, tiny, tmp_path):
    first = Index.open(out)
    assert Index.open(out).header.version == first.header.version
    write_clips(tmp_path / "in", 8, 2.0)
    run_archive([tmp_path / "in"], out, resume=True, workers=1)
    again = Index.open(out)
    assert again.header.version == first.header.version + 1
    assert len(set(again.items["recording_id"].to_pylist())) == 8
    assert len(first) < len(again)


def test_an_archive_without_embeddings_is_refused(tmp_path, tiny):
    write_clips(tmp_path / "in", 1, 1.0)
    run_archive([tmp_path / "in"], tmp_path / "out", tiny, products=["tags"], workers=1)
    with pytest.raises(ConfigError, match=r"embeddings.*tags only"):
        Index.open(tmp_path / "out")


def test_the_product_index_is_gathered_at_the_end(tmp_path, tiny, engine):
    write_clips(tmp_path / "in", 2, 1.0)
    code, _, _ = engine(
        *("archive", "run", tmp_path / "in", "-o", tmp_path / "out", "--model", tiny, "--workers", 1),
        *("--products", "index", "--quiet"),
    )
    assert code == 0
    assert (tmp_path / "out" / "index" / "index.json").exists()
    assert len(Index.open(tmp_path / "out")) > 0
