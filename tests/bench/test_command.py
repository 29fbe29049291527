"""``engine bench`` on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from engine.bench.report import read_report
from engine.frontend import LogMel
from tests import tiny_models
from tests.bench.rows import report, row

QUICK = ("--device", "cpu", "--threads", "1", "--duration", "0.5", "--repeats", "20", "--cold", "0")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_models.save(tmp_path_factory.mktemp("models") / "tiny.onnx"))


@pytest.fixture
def bench(engine, monkeypatch, tmp_path):
    """Run ``engine bench`` in an empty folder; returns exit code, stdout and stderr as text."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code, out, err = engine("bench", *arguments)
        return code, out.decode(), err

    return run


def one_sentence(err):
    assert err.startswith("engine: ")
    assert err.count("\n") == 1
    return err


def test_a_table_a_report_and_a_picture(bench, model, tmp_path):
    arguments = ("--stages", "--batch", "1,2,auto", "--clients", "2", "-o", "report.json", "--plot", "latency.png")
    code, out, err = bench(model, *QUICK, *arguments)
    assert (code, err) == (0, "")
    measured = read_report(tmp_path / "report.json")
    for found in measured.rows:
        assert any(line.startswith(found.title) for line in out.splitlines())
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latency.png", "report.json"]


def test_lines_are_whole_also_in_a_pipe_of_80_columns(model):
    done = subprocess.run(
        [sys.executable, "-m", "engine", "bench", model, *QUICK],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    header, call = [line for line in done.stdout.splitlines() if "p99" in line or line.startswith("call 0.5 s")][:2]
    assert len(header) > 80
    assert header.split() == ["n", "min", "mean", "p50", "p90", "p95", "p99", "spread", "xRT", "RTF", "clips/s"]
    assert call.split()[3] == "20"


def test_a_slowed_stage_is_found_and_ends_with_exit_code_1(bench, model, monkeypatch):
    assert bench(model, *QUICK, "--stages", "-o", "before.json")[0] == 0
    quick = LogMel.__call__

    def slow(front_end, waveform, out=None):
        time.sleep(0.02)
        return quick(front_end, waveform, out)

    monkeypatch.setattr(LogMel, "__call__", slow)
    compared = ("--baseline", "before.json", "--max-regress", "100%")
    code, out, err = bench(model, *QUICK, "--stages", *compared, "-o", "after.json")
    assert (code, err) == (1, "")
    slower = [line for line in out.splitlines() if line.endswith("slower by more than 100 %")]
    # What else a busy machine slowed down meanwhile is in there too.
    assert {"call 0.5 s", "log-mel 0.5 s"} <= {line.split(": ")[1].split("  ")[0] for line in slower}
    code, again, _ = bench("compare", "before.json", "after.json", "--max-regress", "100%")
    assert code == 1
    assert out.endswith(again)


def test_a_comparison_without_a_limit_has_no_verdict(bench, tmp_path):
    for name, ms in (("before", 1), ("after", 2)):
        (tmp_path / f"{name}.json").write_text(report(row(blocks_ms=((ms,),) * 10)).to_json())
    code, out, err = bench("compare", "before.json", "after.json")
    assert (code, err) == (0, "")
    assert "2.000  slower" in out
    assert bench("compare", "before.json", "before.json", "--max-regress", "0%")[0] == 0
    assert bench("compare", "before.json", "after.json", "--max-regress", "120%")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--threads", "many"], "expected whole numbers with commas"),
        (["--batch", "1,"], "expected whole numbers with commas"),
        (["--batch", "1,automatic"], "expected whole numbers with commas"),
        (["--duration", "long"], "expected numbers with commas"),
        (["--baseline", "x.json", "--max-regress", "5"], "expected a percentage"),
        (["--baseline", "x.json", "--max-regress", "-5%"], "expected a percentage"),
        (["--baseline", "x.json", "--max-regress", "five%"], "expected a percentage"),
        (["--max-regress", "5%"], "expected --max-regress beside --baseline"),
        (["--baseline", "x.json"], "expected a report of engine bench at x.json"),
        (["--batch", "0"], "expected whole numbers from 1 as batches"),
        (["--threads", "0"], "expected a positive number of threads"),
        (["--device", "tpu"], "expected a device among"),
        (["compare", "x.json"], "Missing argument 'AFTER.json'"),
        (["compare", "x.json", "y.json", "--max-regress", "5"], "expected a percentage"),
    ],
)
def test_wrong_usage_is_exit_code_2(bench, arguments, reason):
    code, out, err = bench(*arguments)
    assert (code, out) == (2, "")
    assert reason in err
    assert "Traceback" not in err


def test_devices_that_are_not_there(bench, model, monkeypatch):
    monkeypatch.setattr("engine.bench.plan.cuda_obstacle", lambda index: "the driver is missing; install it")
    code, out, err = bench(model, *QUICK, "--device", "cpu,cuda:0")
    assert (code, out) == (1, "")
    assert "expected cuda:0 to run, but the driver is missing" in one_sentence(err)
    code, out, err = bench(model, *QUICK, "--device", "all")
    assert (code, err) == (0, "")
    assert out.endswith("skipped cuda: the driver is missing; install it\n")


def test_a_place_for_the_results_is_looked_for_before_measuring(bench, model, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.bench.sweep.run_plan", None)
    (tmp_path / "report.json").write_text("precious")
    for arguments in (("-o", "report.json"), ("--plot", "report.json"), ("-o", "no/such/folder/report.json")):
        code, out, err = bench(model, *QUICK, *arguments)
        assert (code, out) == (1, "")
        assert one_sentence(err)
    monkeypatch.setattr("engine.picture.find_spec", lambda name: None)
    code, out, err = bench(model, *QUICK, "--plot", "latency.png")
    assert (code, out) == (1, "")
    assert "pip install 'sound-engine[plot]'" in one_sentence(err)
    assert (tmp_path / "report.json").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_reports_may_be_replaced(bench, model, tmp_path):
    (tmp_path / "report.json").write_text("old")
    assert bench(model, *QUICK, "-o", "report.json", "--overwrite")[0] == 0
    assert json.loads((tmp_path / "report.json").read_text())["engine_bench"] == 1


@pytest.mark.parametrize("verb", [[], ["compare"]])
def test_help_has_examples(bench, verb):
    code, out, err = bench(*verb, "--help")
    assert (code, err) == (0, "")
    examples = out.split("Examples:\n")[1].split("\n\n")[0].splitlines()
    assert len(examples) >= 2
    assert all(line.strip().startswith("engine bench") for line in examples)
