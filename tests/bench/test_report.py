"""Reports as values and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.bench.report import read_report
from engine.errors import ConfigError
from tests.bench.rows import report, row


def test_a_report_is_read_back_as_it_was_written(tmp_path):
    sweep = {"model": "tiny", "device": "cuda:0", "threads": 2, "shape": [101, 64], "size": 8, "ended": "no faster"}
    whole = report(
        row(),
        row("batch", count=8, per_run=1),
        row("cold load", ((1,), (2,), (3,))),
        batch_sweeps=(sweep | {"trials": [{"size": 8, "windows_per_s": 812.5}]},),
    )
    path = tmp_path / "report.json"
    path.write_text(whole.to_json())
    again = read_report(path)
    assert again == whole
    older = json.loads(path.read_text())
    del older["batch_sweeps"]
    path.write_text(json.dumps(older))
    assert read_report(path) == replace(whole, batch_sweeps=())
    assert again.to_json() == whole.to_json()


def test_json_has_the_repeats_and_what_follows_from_them():
    (written,) = json.loads(report(row(blocks_ms=((10, 20), (30, 40)))).to_json())["rows"]
    assert written["blocks_s"] == [[0.01, 0.02], [0.03, 0.04]]
    assert written["summary"]["mean"] == pytest.approx(0.025)
    assert written["summary"]["percentiles"] == {"50": 0.025, "90": None, "95": None, "99": None}
    assert written["summary"]["noisy"] is True
    assert written["clips_per_s"] == pytest.approx(40)
    assert written["xrt"] == pytest.approx(400)
    assert written["rtf"] == pytest.approx(1 / 400)


def test_titles_tell_rows_apart():
    assert row().title == "call 10 s"
    assert row("clients", count=1).title == "call 10 s, 1 client"
    assert row("clients", count=4).title == "call 10 s, 4 clients"
    assert row("batch", count=8, per_run=1).title == "batch of 8, 1 at a time"
    assert row("cold load").title == "cold load"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is no JSON"),
        ("[]", "schema 1"),
        ('{"engine_bench": 2}', "schema 1"),
        ('{"engine_bench": 1}', "is damaged"),
    ],
)
def test_other_files_are_refused(tmp_path, text, reason):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_report(path)


@pytest.mark.parametrize("blocks", [[], [[]], [[0.0]], [["fast"]]])
def test_rows_without_repeats_are_refused(tmp_path, blocks):
    values = json.loads(report(row()).to_json())
    values["rows"][0]["blocks_s"] = blocks
    path = tmp_path / "report.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="is damaged"):
        read_report(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a report of engine bench at .*none\.json"):
        read_report(tmp_path / "none.json")
