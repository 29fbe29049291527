"""Tables for people."""

from __future__ import annotations

from engine.bench.compare import compare
from engine.bench.table import columns, comparison_text, report_text
from tests.bench.rows import report, row

FULL = ((1.0, 1.1),) * 150


def cells(text, title):
    (line,) = [line for line in text.splitlines() if line.startswith(title)]
    return line[len(title) :].split()


def test_columns_are_as_wide_as_what_they_hold():
    lines = list(columns([("", "n", ""), ("a long first cell" * 10, "12345", "note"), ("b", "1", "")]))
    assert {line.rindex(digit) for line, digit in zip(lines, "n51", strict=True)} == {lines[0].index("n")}
    assert lines[1].endswith("  note")
    assert all(line == line.rstrip() for line in lines)


def test_a_call_has_all_its_numbers():
    text = report_text(report(row(blocks_ms=FULL)))
    assert cells(text, "call 10 s") == [
        *("300", "1.000", "1.050", "1.050", "1.100", "1.100", "1.100"),
        *("10", "%", "9524", "0.000105", "952.4"),
    ]  # fmt: skip


def test_stages_have_no_rates_and_few_repeats_no_percentiles():
    text = report_text(report(row("network", blocks_ms=((2, 3, 2),)), row(blocks_ms=((5000.0,),) * 3)))
    assert cells(text, "network 10 s") == ["3", "2.000", "2.333", "2.000", "-", "-", "-", "25", "%", "noisy"]
    assert cells(text, "call 10 s")[-3:] == ["2", "0.5", "0.2"]
    assert "29 for p90, 59 for p95, 299 for p99" in text
    assert "noisy: " in text


def test_quiet_full_rows_need_no_footnotes():
    text = report_text(report(row(blocks_ms=((2.0,) * 30,) * 10)))
    assert "noisy" not in text
    assert "too few" not in text


def test_measured_batches_are_told():
    sweep = {"model": "tiny", "device": "cuda:0", "threads": 2, "size": 2, "ended": "memory is short"}
    trials = [{"size": 1, "windows_per_s": 812.34}, {"size": 2, "windows_per_s": 1500.0}]
    text = report_text(report(row(), batch_sweeps=(sweep | {"trials": trials},)))
    assert (
        "batch_size='auto' for tiny on cuda:0, 2 threads: 2 at a time (windows per second for 1: 812.3, 2: 1500; "
        "memory is short)\n"
    ) in text


def test_the_machine_is_on_top_and_what_was_skipped_below():
    lines = report_text(report(row(), row(threads=2))).splitlines()
    assert lines[0] == "Made Up 9000, 2 of 4 CPUs (numbers 0, 3)"
    assert "load 0.5 at the start" in lines
    assert "numpy 2.0" in lines
    (model,) = [line for line in lines if line.startswith("tiny: ")]
    assert model.startswith("tiny: network 111111111111, card unknown, windows of 1 s every 0.5 s at 8000 Hz")
    assert "tiny on cpu, 1 thread, at most 120 MB of memory; milliseconds" in lines
    assert "tiny on cpu, 2 threads; milliseconds" in lines
    assert lines[-1] == "skipped cuda: libcuda.so.1 is missing"


def test_comparison_says_which_rows_are_slower():
    steady = tuple((ms,) for ms in (100, 101, 99, 100, 102, 98))
    slower = tuple((1.2 * ms,) for (ms,) in steady)
    wild = tuple((ms,) for ms in (80, 150, 90, 140, 70, 160))
    before = report(row(blocks_ms=steady), row("network", steady), row("post", steady), row("decode wav"))
    after = report(row(blocks_ms=slower), row("network", slower), row("post", wild), versions={"numpy": "3.0"})
    found = compare(before, after)
    text = comparison_text(found, 0.05)
    verdict = ["slower", "by", "more", "than", "5", "%"]
    assert cells(text, "tiny cpu 1 thread: call 10 s") == ["100.000", "120.000", "1.200", *verdict]
    assert cells(text, "tiny cpu 1 thread: post 10 s")[-2:] == ["within", "noise"]
    assert text.startswith("differs: numpy: 2.0, now 3.0\n")
    assert "only before: decode wav 10 s, tiny cpu 1" in text
    assert text.endswith("slower by more than 5 % and beyond noise: 2 of 3\n")
    plain = comparison_text(found, None)
    assert cells(plain, "tiny cpu 1 thread: call 10 s")[-1] == "slower"
    assert "slower by more" not in plain
    back = comparison_text(compare(after, before), None)
    assert cells(back, "tiny cpu 1 thread: call 10 s")[-1] == "faster"
    assert "only after: decode wav 10 s, tiny cpu 1" in back
