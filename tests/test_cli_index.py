"""``engine index`` and ``engine search`` on the shipped model and the examples."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for path in sorted(EXAMPLES.glob("*.flac")):
        (folder / path.stem[0]).mkdir(exist_ok=True)
        shutil.copy(path, folder / path.stem[0] / path.name)
    return folder


@pytest.fixture
def library(sounds, tmp_path, engine):
    code, out, _ = engine("index", "build", sounds, "-o", tmp_path / "lib.index", "--tag-folders", "--tag", "demo")
    assert code == 0
    assert b"5 added, 0 changed, 0 removed, 0 failed; 5 items" in out
    return tmp_path / "lib.index"


def test_search_as_text_json_and_csv(library, sounds, engine):
    query = sounds / "r" / "rain.flac"
    code, out, _ = engine("search", query, "--index", library, "-k", 2)
    assert code == 0
    assert [line.split()[4].rsplit("/", 1)[-1] for line in out.decode().splitlines()] == ["rain.flac", "sea_waves.flac"]
    _, out, _ = engine("search", query, "--index", library, "-k", 2, "--format", "json")
    hits = json.loads(out)["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert hits[0]["tags"] == ["demo", "r"]
    _, out, _ = engine("search", query, query, "--index", library, "-k", 1, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert [(row["query"], row["rank"]) for row in rows] == [(str(query), "1")] * 2
    assert float(rows[0]["score"]) == pytest.approx(1.0, abs=1e-5)


def test_options_reach_the_search(library, sounds, engine, tmp_path):
    query = sounds / "r" / "rain.flac"
    _, out, _ = engine("search", query, "--index", library, "--exclude-same-recording", "--tag", "r")
    assert out == b""
    _, out, _ = engine("search", "--positive", query, "--index", library, "--tag", "s", "--format", "json")
    assert [Path(hit["path"]).name for hit in json.loads(out)["hits"]] == ["sea_waves.flac"]
    code, _, err = engine("search", query, "--index", library, "-k", 1, "--copy-to", tmp_path / "found")
    assert code == 0
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["0001_1.0000_rain_0.00s.wav"]
    assert "1 files" in err


def test_a_query_from_the_microphone(library, engine, monkeypatch):
    noise = np.random.default_rng(0).standard_normal((44100, 1)).astype(np.float32) / 10
    module = types.SimpleNamespace(rec=lambda *_a, **_k: noise, wait=lambda: None, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    code, out, _ = engine("search", "--record", 1, "--index", library, "-k", 1, "--format", "json")
    assert code == 0
    assert json.loads(out)["query"] == "microphone"
    assert engine("search", "x.wav", "--record", 1, "--index", library)[0] == 2


def test_update_info_verify_and_remove(library, sounds, engine):
    code, out, _ = engine("index", "update", library)
    assert (code, b"0 added, 0 changed, 0 removed, 0 failed; 5 items" in out) == (0, True)
    _, out, _ = engine("index", "info", library)
    assert b"5 windows of 5 recordings" in out
    assert b"c, demo, h, r, s" in out
    assert b"5 items as they were written" in engine("index", "verify", library)[1]
    assert engine("index", "remove", library, "*/rain.flac")[1] == b"1 recordings removed\n"
    code, _, err = engine("index", "remove", library, "*/rain.flac")
    assert code == 2
    assert "match '*/rain.flac'" in err


def test_candidates_from_faiss(library, sounds, engine):
    pytest.importorskip("faiss")
    query = sounds / "r" / "rain.flac"
    code, out, err = engine("search", query, "--index", library, "-k", 2, "--approximate")
    assert code == 0
    assert "recall at 10: 1.000" in err
    assert "clustering" not in err  # what faiss would print itself
    assert out == engine("search", query, "--index", library, "-k", 2)[1]
    assert "recall" not in engine("search", query, "--index", library, "-k", 2, "--approximate")[2]
    assert engine("index", "approximate", library)[:2] == (0, b"recall at 10: 1.000\n")


def test_export_to_lancedb(library, engine, tmp_path):
    lancedb = pytest.importorskip("lancedb")
    code, out, _ = engine("index", "export", library, "--to", "lancedb", tmp_path / "lance")
    assert (code, out.decode()) == (0, f"5 rows in {tmp_path / 'lance'}\n")
    assert lancedb.connect(str(tmp_path / "lance")).open_table("items").count_rows() == 5
    code, _, err = engine("index", "export", library, "--to", "lancedb", tmp_path / "lance")
    assert code == 2
    assert "--overwrite" in err
    assert engine("index", "export", library, "--to", "lancedb", tmp_path / "lance", "--overwrite")[0] == 0


def test_what_cannot_be_read_is_told_and_the_exit_code_is_3(sounds, tmp_path, engine):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    code, out, err = engine("index", "build", sounds, tmp_path / "bad.wav", "-o", tmp_path / "lib.index")
    assert code == 3
    assert b"5 added" in out
    assert err.count("bad.wav") == 1


def test_usage_errors(library, engine, tmp_path):
    assert engine("search", "--index", library)[0] == 2
    code, _, err = engine("search", "x.wav", "--index", tmp_path)
    assert code == 2
    assert "engine index build" in err
    assert engine("search", "no_such.wav", "--index", library)[0] == 1
