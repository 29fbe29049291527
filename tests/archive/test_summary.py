"""Summaries of archives against loops over their rows."""

from __future__ import annotations

import dataclasses
import json
import random
import struct
import tracemalloc
from collections import Counter, defaultdict
from datetime import datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.archive import summarise
from engine.archive.items import Item
from engine.archive.place import Folder
from engine.archive.plan import Shard, write_plan
from engine.archive.plot import MAX_LABELS, plot_activity
from engine.archive.tables import WindowWriter
from engine.errors import ArchiveError, ConfigError
from engine.results import Window
from tests.archive.recordings import file_row, store_in, windows_in

# Before 1970 too, and over a change of the year.
STARTS = (datetime(1969, 12, 31, 23, 59, 50), datetime(2018, 12, 31, 22, 30), datetime(2019, 1, 4, 5), None)
STAGES = (("open", "AudioError"), ("decode", "AudioError"), ("worker", "Died"))


def made(folder, settings, n_shards=3, n_files=8, n_windows=7, seed=0):
    """Write an archive of random scores, of which the last shard is not done; return its settings."""
    draw = random.Random(seed)
    settings = dataclasses.replace(settings, labels=("rain", "dog $1", "owl"), embedding_size=None)
    store = store_in(folder, settings)
    shards = []
    for index in range(n_shards + 1):
        items = tuple(Item(f"{index}-{k}.wav", 100) for k in range(n_files))
        shards.append(Shard(index, index * n_files, items))
        if index == n_shards:
            continue
        with store.replaced(shards[-1]) as (path, rows), WindowWriter(path, settings, store.metadata(shards[-1])) as to:
            for file_id in range(index * n_files, (index + 1) * n_files):
                begin = draw.choice(STARTS)
                stage, kind = draw.choice(STAGES) if draw.random() < 0.3 else (None, None)
                n = draw.randrange(n_windows)
                for k in range(n):
                    scores = np.array([draw.choice((0, 0.05, 0.35, 0.5, 1, draw.random())) for _ in range(3)], "f4")
                    to.add(file_id, Window(k * 1800.0, k * 1800 + 5.0, scores, None), begin)
                row = file_row(file_id, n_windows=n, duration_s=n * 5.0 or None, recorded_at=begin, wall_s=0.25)
                rows.append(dataclasses.replace(row, error_stage=stage, error_type=kind, error=stage and "broken"))
    write_plan(Folder(folder), settings, "tiny", shards)
    return settings


@pytest.fixture(scope="module")
def out(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("summary") / "out"
    made(folder, settings)
    return folder


def spans_of(rows, name_of, column, threshold):
    """The oracle of ``Activity``: the values in each span of time, and what becomes of them."""
    held = defaultdict(list)
    for row in rows:
        if row["time"] is not None:
            score = row["scores"][column]
            held[name_of(row["time"])].append(score if threshold is None else float(score >= threshold))
    return {name: (len(values), sum(values) / len(values)) for name, values in held.items()}


@pytest.mark.parametrize("threshold", [None, 0.5, 0.35, {"owl": 0.2, "rain": 0.9}])
def test_a_loop_over_all_rows_says_the_same(out, threshold):
    summary = summarise(out, threshold=threshold)
    rows = windows_in(out)
    files = [row for path in sorted((out / "files").iterdir()) for row in pq.read_table(path).to_pylist()]
    failed = Counter(f"{row['error_stage']}: {row['error_type']}" for row in files if row["error"])
    starts = [row["recorded_at"] for row in files if row["recorded_at"]]
    assert (summary.n_items, summary.n_done, summary.n_failed) == (32, 24, failed.total())
    assert summary.failures == failed
    assert list(summary.failures.values()) == sorted(failed.values(), reverse=True)
    assert summary.audio_s == pytest.approx(sum(row["duration_s"] or 0 for row in files))
    assert summary.worker_s == pytest.approx(24 * 0.25)
    assert summary.x_real_time == pytest.approx(summary.audio_s / summary.worker_s)
    assert (summary.first, summary.last) == (min(starts).isoformat(), max(starts).isoformat())
    assert (summary.n_windows, summary.n_timed) == (len(rows), sum(row["time"] is not None for row in rows))
    every = ("rain", "dog $1", "owl")
    assert [label.label for label in summary.labels] == [
        x for x in every if not isinstance(threshold, dict) or x in threshold
    ]
    for label in summary.labels:
        column = every.index(label.label)
        least = threshold[label.label] if isinstance(threshold, dict) else threshold
        scores = [row["scores"][column] for row in rows]
        counts = [0] * 20
        for score in scores:
            counts[next((k - 1 for k in range(1, 20) if score < k / 20), 19)] += 1
        assert list(label.histogram) == counts
        assert label.threshold == least
        assert label.n_heard == (None if least is None else sum(score >= least for score in scores))
        assert label.mean == pytest.approx(np.mean(scores))
        assert label.maximum == max(scores)
        hours = spans_of(rows, lambda time: f"{time:%H}", column, least)
        days = spans_of(rows, lambda time: f"{time:%Y-%m-%d}", column, least)
        assert summary.by_hour.names == tuple(f"{hour:02d}" for hour in range(24))
        assert summary.by_day.names == tuple(sorted(days))
        for activity, spans in ((summary.by_hour, hours), (summary.by_day, days)):
            values = activity.values[label.label]
            for name, n, value in zip(activity.names, activity.n_windows, values, strict=True):
                count, mean = spans.get(name, (0, None))
                assert (n, value) == (count, mean if mean is None else pytest.approx(mean))


def test_some_labels(out):
    assert [label.label for label in summarise(out, ["owl"]).labels] == ["owl"]
    with pytest.raises(ConfigError, match="expected labels of"):
        summarise(out, ["eagle"])


def test_embeddings_only_and_an_archive_with_nothing_done(tmp_path, settings):
    bare = dataclasses.replace(settings, labels=())
    store_in(tmp_path, bare)
    write_plan(Folder(tmp_path), bare, "tiny", [Shard(0, 0, (Item("a.wav", 1),))])
    summary = summarise(tmp_path)
    assert (summary.n_items, summary.n_done, summary.n_windows, summary.labels) == (1, 0, 0, ())
    assert (summary.x_real_time, summary.first) == (None, None)
    assert json.loads(json.dumps(summary.to_dict(), allow_nan=False))["n_items"] == 1
    with pytest.raises(ConfigError, match="has embeddings only"):
        summarise(tmp_path, threshold=0.5, labels=["rain"])
    with pytest.raises(ConfigError, match="expected an archive with tags for a plot"):
        plot_activity(summary)
    with pytest.raises(ConfigError, match="found no manifest"):
        summarise(tmp_path / "nothing")


def test_damage_is_said(tmp_path, settings):
    made(tmp_path, settings)
    path = tmp_path / "windows" / "000001.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ArchiveError, match="run again with --resume"):
        summarise(tmp_path)


def test_memory_does_not_grow_with_the_windows(tmp_path, settings):
    peaks = []
    for n_shards in (4, 24):
        made(tmp_path / str(n_shards), settings, n_shards=n_shards, n_files=20, n_windows=60)
        tracemalloc.start()
        summarise(tmp_path / str(n_shards))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def size_of(png):
    assert png.startswith(b"\x89PNG")
    return struct.unpack(">II", png[16:24])


def test_a_plot_has_a_row_for_each_label(out):
    pytest.importorskip("matplotlib")
    one, all_of_them = (size_of(plot_activity(summarise(out, labels, 0.5))) for labels in (["owl"], None))
    assert one[0] == all_of_them[0]
    assert all_of_them[1] - one[1] == pytest.approx(2 * 0.95 * 90, abs=2)


def test_more_labels_than_fit_and_hours_without_recordings(out, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    summary = summarise(out)
    many = tuple(dataclasses.replace(summary.labels[0], label=f"l{k}", mean=k / 20) for k in range(MAX_LABELS + 2))
    hours = dict.fromkeys((label.label for label in many), summary.by_hour.values["rain"])
    days = dict.fromkeys(hours, summary.by_day.values["rain"])
    plot_activity(
        dataclasses.replace(
            summary,
            labels=many,
            by_hour=dataclasses.replace(summary.by_hour, values=hours),
            by_day=dataclasses.replace(summary.by_day, values=days),
        )
    )
    panels = drawn[0].axes
    assert [axes.get_ylabel() for axes in panels[::2]] == [f"l{k}" for k in range(2, MAX_LABELS + 2)]
    assert f"the {MAX_LABELS} of {MAX_LABELS + 2} labels" in drawn[0].get_suptitle()
    grey, blue = panels[0].containers
    assert [bar.get_height() for bar in blue] == pytest.approx([v for v in hours["l0"] if v is not None])
    assert len(grey) == sum(value is None for value in hours["l0"])
    assert [bar.get_height() for bar in panels[1].containers[1]] == pytest.approx(list(days["l0"]))


def test_without_times_there_is_no_plot(tmp_path, settings, monkeypatch):
    monkeypatch.setitem(globals(), "STARTS", (None,))
    made(tmp_path, settings)
    with pytest.raises(ConfigError, match="expected recordings whose time is known for a plot, got none"):
        plot_activity(summarise(tmp_path))


def test_the_command(engine, out, tmp_path):
    pytest.importorskip("matplotlib")
    summary = summarise(out, ["rain", "owl"], 0.5)
    command = ("archive", "summary", out, "--label", "owl", "--label", "rain", "--threshold", "0.5")
    code, printed, _ = engine(*command, "--format", "json")
    assert code == 0
    assert json.loads(printed) == json.loads(json.dumps(summary.to_dict()))
    code, printed, _ = engine(*command, "--plot", tmp_path / "plot.png")
    assert code == 0
    text = printed.decode()
    assert f"24 of 32 done, {summary.n_failed} failed" in text
    assert f"{summary.x_real_time:.0f} x real time per worker" in text
    for reason, number in summary.failures.items():
        assert f"failed in {reason}" in text
        assert text.split(f"failed in {reason}")[1].split()[0] == str(number)
    for label in summary.labels:
        (line,) = (line for line in text.splitlines() if line.startswith(label.label))
        assert line.split()[-1] == str(label.n_heard)
        assert f"{label.mean:.3f}  {label.maximum:.3f}" in line
    assert (tmp_path / "plot.png").read_bytes() == plot_activity(summary)
    assert engine(*command, "--plot", tmp_path / "plot.png")[0] == 1
    assert engine(*command, "--plot", tmp_path / "plot.png", "--overwrite")[0] == 0


def test_without_matplotlib_there_is_one_sentence(engine, out, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.picture.find_spec", lambda name: None)
    code, _, said = engine("archive", "summary", out, "--plot", tmp_path / "plot.png")
    assert code == 2
    assert "pip install 'sound-engine[plot]'" in said
    assert not (tmp_path / "plot.png").exists()
