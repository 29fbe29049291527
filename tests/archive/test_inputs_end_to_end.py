"""From inputs of every kind to the tables, through the processes that do the work."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from datetime import datetime, timedelta

import pyarrow.parquet as pq
import pytest

from engine.archive.run import run
from tests.archive.containers_written import tarred, zipped
from tests.archive.test_scan import NOT_UNICODE, ODD_NAMES
from tests.encoded_audio import encoded, noise
from tests.tiny_models import RATE, save

GOOD = encoded(noise(2 * RATE))


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """Run an archive over odd places and names; return its folder, and what is expected of each name."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "odd").mkdir()
    expected = {}
    for name in [*ODD_NAMES, NOT_UNICODE]:
        for prefix, data in (("", GOOD), ("bad ", b"no audio")):
            try:
                (folder / "odd" / (prefix + name)).write_bytes(data)
            except OSError:
                continue  # this file system takes only Unicode names
            expected[f"{folder}/odd/{prefix}{name}"] = data
    members = {"20190522_000000.wav": GOOD, "bad.wav": b"no audio"}
    for kind, path in (
        ("zip", zipped(folder / "a\n🦜.zip", members)),
        ("tar", tarred(folder / "a.tar.gz", members, "w:gz")),
        ("zip", f"file://{folder}/a\n🦜.zip"),
    ):
        expected |= {f"{kind}://{name}::{path}": data for name, data in members.items()}
    store = folder / "store"
    store.mkdir()
    (store / "20190522_001500.wav").write_bytes(GOOD)
    expected[f"file://{store}/20190522_001500.wav"] = GOOD
    model = save(folder / "tiny.onnx")
    containers = [folder / "a\n🦜.zip", folder / "a.tar.gz", f"zip://file://{folder}/a\n🦜.zip"]
    run([folder / "odd", *containers, f"file://{store}"], folder / "out", model, workers=1)
    return folder / "out", expected


def rows(out):
    return {os.fsdecode(row["uri_bytes"]): row for row in pq.read_table(out / "files.parquet").to_pylist()}


def test_every_name_comes_back(archived):
    out, expected = archived
    assert set(rows(out)) == set(expected)


def test_good_recordings_have_windows_and_bad_ones_a_reason(archived):
    out, expected = archived
    found = rows(out)
    assert len(expected) >= 2 * len(ODD_NAMES) + 7
    for name, data in expected.items():
        row = found[name]
        assert (row["error"] is None, row["n_windows"] > 0) == ((True, True) if data is GOOD else (False, False))
        assert row["size"] == len(data)
    with (out / "failed.jsonl").open() as file:
        failed = [json.loads(line) for line in file]
    names = [os.fsdecode(bytes.fromhex(row["path_hex"])) if "path_hex" in row else row["path"] for row in failed]
    assert sorted(names) == sorted(name for name, data in expected.items() if data is not GOOD)


def test_windows_do_not_depend_on_where_a_recording_lies(archived):
    out, expected = archived
    found = rows(out)
    by_file = defaultdict(list)
    for window in pq.read_table(out / "windows" / "000000.parquet").to_pylist():
        by_file[window["file_id"]].append((window["start_s"], window["end_s"], window["scores"]))
    good = [by_file[found[name]["file_id"]] for name, data in expected.items() if data is GOOD]
    assert good[0]
    assert all(windows == good[0] for windows in good)


def test_times_of_members_and_of_what_lies_in_a_store(archived):
    out, expected = archived
    for name, row in rows(out).items():
        hour = {"20190522_000000": 0, "20190522_001500": 15}.get(name.partition(".wav")[0].rpartition("/")[2])
        if expected[name] is GOOD and hour is not None:
            assert row["recorded_at"] == datetime(2019, 5, 22) + timedelta(minutes=hour)
            assert (row["recorded_from"], row["utc_offset_min"]) == ("name", None)
        else:
            assert row["recorded_at"] is None
