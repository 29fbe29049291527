"""The command line: what is printed where, which exit code comes back, and that no mistake ends in a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine import Tagger
from tests import tiny_models

RATE = tiny_models.RATE
POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    card = tiny_models.log_mel_card(attribution="Zoë")
    return str(tiny_models.save(tmp_path_factory.mktemp("models") / "tiny.onnx", card=card))


def write_clip(path, seconds=1.0, pitch=440):
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(int(seconds * RATE)) / RATE
    with path.open("wb") as file:
        soundfile.write(file, 0.5 * np.sin(2 * np.pi * pitch * t), RATE, format="WAV", subtype="PCM_16")
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with two clips and one file that is no audio."""
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "in/low.wav", 2.25, 300)
    write_clip(tmp_path / "in/deep/a high one.wav", 0.5, 3000)
    (tmp_path / "bad.wav").write_bytes(b"<html>not found</html>")
    return tmp_path


def one_sentence(err):
    assert err.startswith("engine: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def before_each_clip(monkeypatch, act):
    """Call ``act`` before each result of a batch comes."""
    whole = Tagger.batch

    def batch(tagger, paths, **options):
        for clip in whole(tagger, paths, **options):
            act()
            yield clip

    monkeypatch.setattr(Tagger, "batch", batch)


def start(*arguments, **options):
    """Start the command as a process of its own, its standard output buffered as a user's is."""
    command = [sys.executable, "-m", "engine", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    defaults = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
    return subprocess.Popen(command, **defaults | options)


# What is printed


def test_text_is_one_aligned_line_per_recording_with_its_three_best_labels(engine, folder, model):
    code, out, err = engine("tag", "in", "--model", model)
    assert (code, err) == (0, "")
    lines = out.decode().splitlines()
    assert len(lines) == 2
    tagger = Tagger(model)
    for line, name in zip(lines, ("in/deep/a high one.wav", "in/low.wav"), strict=True):
        tags = tagger(name).top(3)
        columns = [f"{tag.label:<4} {tag.score:5.2f}" for tag in tags]
        assert line == "  ".join([name.ljust(len("in/deep/a high one.wav")), *columns])


def test_json_is_one_array_with_everything(engine, folder, model):
    code, out, err = engine("tag", "in", "--model", model, "--format", "json")
    assert (code, err) == (0, "")
    records = json.loads(out)
    assert [record["path"] for record in records] == ["in/deep/a high one.wav", "in/low.wav"]
    clip = Tagger(model)("in/low.wav")
    assert records[1]["duration_s"] == clip.duration_s == 2.25
    assert records[1]["error"] is None
    assert records[1]["tags"] == [tag.to_dict() for tag in clip.top(3)]
    assert len(records[1]["windows"]) == len(clip.windows) > 1
    for printed, window in zip(records[1]["windows"], clip.windows, strict=True):
        assert (printed["start_s"], printed["end_s"]) == (window.start_s, window.end_s)
        scores = {tag["label"]: tag["score"] for tag in printed["tags"]}
        assert [scores[label] for label in clip.labels] == window.scores.tolist()
        assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_json_lines_are_the_objects_of_the_array(engine, folder, model):
    array = json.loads(engine("tag", "in", "bad.wav", "--model", model, "--format", "json")[1])
    lines = engine("tag", "in", "bad.wav", "--model", model, "--format", "jsonl")[1].splitlines()
    assert [json.loads(line) for line in lines] == array


def test_csv_has_one_row_per_window_and_label(engine, folder, model):
    code, out, err = engine("tag", "in/low.wav", "--model", model, "--format", "csv")
    assert (code, err) == (0, "")
    rows = list(csv.reader(io.StringIO(out.decode(), newline="")))
    assert rows[0] == ["file", "start_s", "end_s", "label", "score"]
    clip = Tagger(model)("in/low.wav")
    assert len(rows) - 1 == len(clip.windows) * len(clip.labels)
    expected = {
        (window.start_s, window.end_s, label): score
        for window in clip.windows
        for label, score in zip(clip.labels, window.scores, strict=True)
    }
    for file, start_s, end_s, label, score in rows[1:]:
        assert file == "in/low.wav"
        assert float(score) == pytest.approx(expected.pop((float(start_s), float(end_s), label)), rel=1e-5)
    assert not expected


def test_top_k_and_threshold_select_in_every_format(engine, folder, model):
    def tag(*arguments):
        return engine("tag", "in/low.wav", "--model", model, *arguments)[1].decode()

    best, second = Tagger(model)("in/low.wav").top(2)
    assert tag("--top-k", 1).split()[1:] == [best.label, f"{best.score:.2f}"]
    between = (best.score + second.score) / 2
    assert tag("--threshold", between).split()[1:] == [best.label, f"{best.score:.2f}"]
    assert tag("--threshold", 2).split() == ["in/low.wav", "-"]
    record = json.loads(tag("--top-k", 2, "--format", "jsonl"))
    assert len(record["tags"]) == 2
    assert {len(window["tags"]) for window in record["windows"]} == {2}
    assert json.loads(tag("--threshold", 2, "--format", "jsonl"))["tags"] == []
    assert tag("--threshold", 2, "--format", "csv") == "file,start_s,end_s,label,score\n"
    assert len(tag("--top-k", 1, "--format", "csv").splitlines()) == 1 + len(record["windows"])


def test_options_of_a_call_are_passed_on(engine, folder, model):
    stereo = np.stack([np.sin(np.arange(3 * RATE) * 0.2), np.zeros(3 * RATE)], axis=1)
    soundfile.write(folder / "stereo.wav", 0.5 * stereo, RATE, subtype="PCM_16")

    def record(*arguments):
        code, out, err = engine("tag", "stereo.wav", "--model", model, "--format", "jsonl", *arguments)
        assert (code, err) == (0, "")
        return json.loads(out)

    tagger = Tagger(model)
    for arguments, options in (
        (["--window-s", 0.5, "--hop-s", "0.25"], {"window_s": 0.5, "hop_s": 0.25}),
        (["--channel", 0], {"channel": 0}),
        (["--channel", 1], {"channel": 1}),
        (["--label", "high", "--label", "both"], {"labels_allow": ["high", "both"]}),
        (["--exclude-label", "high"], {"labels_deny": ["high"]}),
        (["--exclude-label", "high", "--top-k", 1], {"labels_deny": ["high"], "top_k": 1}),
        (["--threshold", 0.9, "--workers", 3, "--threads", 2], {"threshold": 0.9}),
        (["--batch-size", 8], {"batch_size": 8}),
        (["-b", "auto"], {"batch_size": "auto"}),
    ):
        got, want = record(*arguments), tagger("stereo.wav", **options)
        assert got["tags"] == [tag.to_dict() for tag in want.tags]
        assert [(w["start_s"], w["end_s"]) for w in got["windows"]] == [(w.start_s, w.end_s) for w in want.windows]
        assert [w["tags"] for w in got["windows"]] == [[tag.to_dict() for tag in w.tags] for w in want.windows]
    assert record("--channel", 0)["tags"] != record("--channel", 1)["tags"]


@pytest.mark.parametrize("workers", [1, 4])
def test_any_number_of_workers_prints_the_same(engine, folder, model, workers):
    for index in range(12):
        write_clip(folder / f"many/{index:02}.wav", 0.1 + (7 * index) % 12 / 4, 100 * index)
    (folder / "many/05.wav").write_bytes(b"bad")
    code, out, err = engine("tag", "many", "--model", model, "--format", "csv", "--workers", workers)
    assert code == 3
    assert "05.wav" in one_sentence(err)
    tagger = Tagger(model)
    rows = list(csv.reader(io.StringIO(out.decode(), newline="")))[1:]
    want = [
        [name, f"{window.start_s:.6f}", f"{window.end_s:.6f}", tag.label, f"{tag.score:.6g}"]
        for name in (f"many/{index:02}.wav" for index in range(12) if index != 5)
        for window in tagger(name).windows
        for tag in window.top(3)
    ]
    assert rows == want


# Events

EVENTS = ("--events", "--hop-s", 0.25, "--window-s", 0.25)


@pytest.fixture
def changing(folder):
    """A recording that is low, then silent, then high."""
    t = np.arange(RATE) / RATE
    low, high = np.sin(2 * np.pi * 300 * t), np.sin(2 * np.pi * 3000 * t)
    samples = 0.5 * np.concatenate([low, np.zeros(RATE), high, low[: RATE // 2]])
    soundfile.write(folder / "changing.wav", samples, RATE, subtype="PCM_16")
    return "changing.wav"


@pytest.mark.parametrize(
    ("arguments", "how"),
    [
        (["--threshold", 0.3], {"threshold": 0.3}),
        (["--threshold", 0.3, "--merge-gap-s", 2], {"threshold": 0.3, "merge_gap_s": 2}),
        (["--threshold", 0.3, "--min-duration-s", 0.75], {"threshold": 0.3, "min_duration_s": 0.75}),
        ([], {}),
    ],
)
def test_events_are_those_of_the_clip_in_every_format(engine, changing, model, arguments, how):
    def tag(format_):
        code, out, err = engine("tag", changing, "--model", model, "--format", format_, *EVENTS, *arguments)
        assert (code, err) == (0, "")
        return out.decode()

    want = Tagger(model)(changing, hop_s=0.25, window_s=0.25).events(**how)
    assert json.loads(tag("json")) == [
        {"path": changing, "duration_s": 3.5, "events": [event.to_dict() for event in want], "error": None}
    ]
    assert json.loads(tag("jsonl"))["events"] == [event.to_dict() for event in want]
    rows = list(csv.reader(io.StringIO(tag("csv"), newline="")))
    assert rows[0] == ["file", "start_s", "end_s", "label", "score"]
    assert rows[1:] == [
        [changing, f"{event.start_s:.6f}", f"{event.end_s:.6f}", event.label, f"{event.score:.6g}"] for event in want
    ]
    lines = [line.split() for line in tag("text").splitlines()]
    assert lines == (
        [[changing, f"{e.start_s:.2f}", f"{e.end_s:.2f}", e.label, f"{e.score:.2f}"] for e in want] or [[changing, "-"]]
    )


def test_events_of_the_changing_recording(engine, changing, model):
    out = engine("tag", changing, "--model", model, "--label", "low", "--threshold", 0.3, *EVENTS)[1].decode()
    found = [line.split()[1:4] for line in out.splitlines()]
    assert [(start, label) for start, _, label in found] == [("0.00", "low"), ("3.00", "low")]


def test_events_of_bad_and_quiet_recordings(engine, folder, model):
    arguments = ("tag", "bad.wav", "in/low.wav", "--model", model, "--events", "--threshold", 2)
    code, out, err = engine(*arguments, "--format", "json")
    assert code == 3
    bad, quiet = json.loads(out)
    assert bad == {"path": "bad.wav", "duration_s": None, "events": [], "error": bad["error"]}
    assert bad["error"] in one_sentence(err)
    assert (quiet["events"], quiet["error"]) == ([], None)
    assert engine(*arguments)[1] == b"in/low.wav  -\n"
    assert engine(*arguments, "--format", "csv")[1] == b"file,start_s,end_s,label,score\n"


def test_files_folders_and_patterns(engine, folder, model):
    def paths(*inputs):
        out = engine("tag", "--model", model, "--format", "jsonl", *inputs)[1]
        return [json.loads(line)["path"] for line in out.splitlines()]

    assert paths("in/low.wav", "in/deep") == ["in/low.wav", "in/deep/a high one.wav"]
    assert paths("in/**/*.wav") == ["in/deep/a high one.wav", "in/low.wav"]
    write_clip(folder / "-dash.wav")
    assert paths("--", "-dash.wav") == ["-dash.wav"]


@pytest.mark.parametrize("format_", ["text", "jsonl", "csv"])
def test_results_come_one_by_one(engine, folder, model, monkeypatch, capfdbinary, format_):
    printed = []
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(os.fdopen(1, "wb", closefd=False)))  # buffered, as a user's is
    before_each_clip(monkeypatch, lambda: printed.append(capfdbinary.readouterr().out))
    assert engine("tag", "in", "in/low.wav", "--model", model, "--format", format_)[0] == 0
    assert b"a high one.wav" in printed[1]
    assert b"low.wav" in printed[2]


# Bad recordings


def test_a_bad_recording_is_reported_and_the_rest_goes_on(engine, folder, model):
    code, out, err = engine("tag", "bad.wav", "in", "missing.wav", "--model", model)
    assert code == 3
    assert len(out.splitlines()) == 2
    assert "Traceback" not in err
    first, second = err.splitlines()
    assert first.startswith("engine: expected audio")
    assert "'bad.wav'" in first
    assert second.startswith("engine: expected an audio file, got 'missing.wav', which does not exist")


def test_a_bad_recording_has_its_place_in_json(engine, folder, model):
    code, out, err = engine("tag", "bad.wav", "in/low.wav", "--model", model, "--format", "json")
    assert code == 3
    bad, good = json.loads(out)
    assert bad.keys() == good.keys()
    assert (bad["path"], bad["duration_s"], bad["tags"], bad["windows"]) == ("bad.wav", None, [], [])
    assert bad["error"] in one_sentence(err)
    assert engine("tag", "bad.wav", "--model", model, "--format", "json")[0] == 3
    assert engine("tag", "bad.wav", "--model", model, "--format", "csv")[1] == b"file,start_s,end_s,label,score\n"


def test_a_message_that_does_not_name_the_file_gets_its_name(engine, folder, model):
    with (folder / "loud.wav").open("wb") as file:
        soundfile.write(file, np.full(RATE, 1e30), RATE, format="WAV", subtype="FLOAT")
    code, _, err = engine("tag", "loud.wav", "--model", model)
    assert code == 3
    assert one_sentence(err).count("loud.wav") == 1


# Names


@POSIX
@pytest.mark.parametrize(
    "raw", [b"new\nline.wav", b"caf\xe9.wav", "naïve 名前 🐦.wav".encode(), b'quote"comma,.wav', b"cr\r.wav"]
)
def test_any_name_comes_out_as_it_went_in(engine, folder, model, raw):
    name = os.fsdecode(raw)
    try:
        write_clip(folder / name)
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    _, out, err = engine("tag", name, "--model", model, "--format", "json")
    assert err == ""
    assert os.fsencode(json.loads(out.decode())[0]["path"]) == raw
    _, out, _ = engine("tag", name, "--model", model, "--format", "csv", "--top-k", 1)
    rows = list(csv.reader(io.StringIO(out.decode("utf-8", "surrogateescape"), newline="")))
    assert os.fsencode(rows[1][0]) == raw
    _, out, _ = engine("tag", name, "--model", model)
    assert out.count(b"\n") == 1
    assert out.startswith(raw.replace(b"\n", rb"\n").replace(b"\r", rb"\r") + b" ")
    (folder / name).write_bytes(b"bad")
    assert one_sentence(engine("tag", name, "--model", model)[2])


@POSIX
def test_undecodable_names_through_a_real_process(folder, model):
    raw = b"caf\xe9.wav"
    try:
        write_clip(folder / os.fsdecode(raw))
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    with start("tag", "caf*.wav", "--model", model, env=os.environ | {"LC_ALL": "C"}) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(raw + b" ")


# Output files


def test_output_goes_to_a_file(engine, folder, model):
    _, expected, _ = engine("tag", "in", "--model", model, "--format", "csv")
    code, out, err = engine("tag", "in", "--model", model, "--format", "csv", "-o", "tags.csv")
    assert (code, out, err) == (0, b"", "")
    assert (folder / "tags.csv").read_bytes() == expected
    if os.name != "nt":
        umask = os.umask(0)
        os.umask(umask)
        assert (folder / "tags.csv").stat().st_mode & 0o777 == 0o666 & ~umask


def test_output_is_not_overwritten_unless_asked(engine, folder, model):
    target = folder / "tags.txt"
    target.write_text("precious")
    code, out, err = engine("tag", "in", "--model", model, "-o", target)
    assert (code, out) == (1, b"")
    assert "--overwrite" in one_sentence(err)
    assert target.read_text() == "precious"
    assert engine("tag", "in", "--model", model, "-o", target, "--overwrite")[0] == 0
    assert "low.wav" in target.read_text()


def test_output_appears_only_when_it_is_complete(engine, folder, model, monkeypatch):
    seen = []
    before_each_clip(monkeypatch, lambda: seen.append((folder / "tags.csv").exists()))
    assert engine("tag", "in", "--model", model, "-o", "tags.csv")[0] == 0
    assert seen == [False, False]
    assert names_in(folder) == ["bad.wav", "in", "tags.csv"]


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 1)])
def test_nothing_is_left_of_output_that_was_cut_short(engine, folder, model, monkeypatch, error, code):
    (folder / "tags.csv").write_text("precious")
    outcomes = iter([None, error])

    def fail():
        if (outcome := next(outcomes)) is not None:
            raise outcome

    before_each_clip(monkeypatch, fail)
    monkeypatch.setattr("engine.cli.main._drop_standard_output", lambda: None)
    got, out, err = engine("tag", "in", "--model", model, "-o", "tags.csv", "--overwrite")
    assert (got, out) == (code, b"")
    assert one_sentence(err)
    assert names_in(folder) == ["bad.wav", "in", "tags.csv"]
    assert (folder / "tags.csv").read_text() == "precious"


@pytest.mark.parametrize("name", ["in", "no/such/folder/tags.csv", os.devnull])
def test_output_that_cannot_be_a_file(engine, folder, model, name):
    for extra in ([], ["--overwrite"]):
        code, out, err = engine("tag", "in", "--model", model, "-o", name, *extra)
        assert (code, out) == (1, b"")
        assert repr(name) in one_sentence(err)


@POSIX
def test_overwriting_a_link_changes_what_it_points_to(engine, folder, model):
    (folder / "real.txt").write_text("old")
    (folder / "link.txt").symlink_to("real.txt")
    assert engine("tag", "in", "--model", model, "-o", "link.txt", "--overwrite")[0] == 0
    assert (folder / "link.txt").is_symlink()
    assert "low.wav" in (folder / "real.txt").read_text()


# Mistakes


def test_a_folder_without_audio_is_one_sentence(engine, folder, model):
    (folder / "empty").mkdir()
    for name in ("empty", "*.flac"):
        code, out, err = engine("tag", name, "in", "--model", model)
        assert (code, out) == (1, b"")
        assert repr(name) in one_sentence(err)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--model", "no-such-model"], 1, "no-such-model"),
        (["--model", "bad.wav"], 1, "bad.wav"),
        (["--device", "tpu"], 2, "'tpu'"),
        (["--device", "cuda:99"], 1, "cuda:99"),
    ],
)
def test_models_and_devices_that_are_not_there(engine, folder, model, arguments, code, reason):
    got, out, err = engine("tag", "in", "--model", model, *arguments)
    assert (got, out) == (code, b"")
    assert reason in one_sentence(err)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-verb"],
        ["tag"],
        ["tag", "x", "--format", "xml"],
        ["tag", "x", "--top-k", "0"],
        ["tag", "x", "--top-k", "many"],
        ["tag", "x", "--threshold", "nan"],
        ["tag", "x", "--threads", "0"],
        ["tag", "x", "--workers", "0"],
        ["tag", "x", "--batch-size", "0"],
        ["tag", "x", "--batch-size", "many"],
        ["tag", "x", "--channel", "-1"],
        ["tag", "x", "--hop-s", "soon"],
        ["tag", "x", "--merge-gap-s", "1"],
        ["tag", "x", "--min-duration-s", "1"],
        ["tag", "x", "--events", "--min-duration-s", "-1"],
        ["tag", "x", "--events", "--merge-gap-s", "nan"],
        ["tag", "x", "--events", "--top-k", "2"],
        ["tag", "x", "--no-such-option"],
        ["models", "show"],
    ],
)
def test_wrong_usage_is_exit_code_2_on_stderr(engine, arguments):
    code, out, err = engine(*arguments)
    assert (code, out) == (2, b"")
    assert err.startswith("Usage: engine")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--hop-s", "nan"], "hop_s to be a positive number"),
        (["--window-s", "-1"], "window_s to be a positive number"),
        (["--hop-s", "9"], "hop_s to be at most the window"),
        (["--label", "lwo"], "unknown ['lwo']"),
        (["--label", "low", "--exclude-label", "low"], "at least one label"),
    ],
)
def test_options_that_do_not_fit_the_model_are_wrong_usage(engine, folder, model, arguments, reason):
    code, out, err = engine("tag", "in", "--model", model, "-o", "tags.txt", *arguments)
    assert (code, out) == (2, b"")
    assert reason in one_sentence(err)
    assert names_in(folder) == ["bad.wav", "in"]


def test_a_channel_that_is_not_there_is_an_error_of_the_recording(engine, folder, model):
    code, out, err = engine("tag", "in", "--model", model, "--channel", 1)
    assert (code, out) == (3, b"")
    assert [line.count("expected a channel from 0 to 0") for line in err.splitlines()] == [1, 1]


# Help and version


def test_version_is_that_of_the_package(engine):
    pyproject = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    number = re.search(r'^version = "(.+)"$', pyproject, flags=re.MULTILINE)[1]
    assert engine("--version") == (0, f"engine {number}\n".encode(), "")


@pytest.mark.parametrize("verb", [[], ["tag"], ["models"], ["models", "convert"]])
def test_help_has_examples_line_by_line(engine, verb):
    code, out, err = engine(*verb, "--help")
    assert (code, err) == (0, "")
    examples = out.decode().split("Examples:\n")[1].split("\n\n")[0].splitlines()
    assert len(examples) >= 3
    assert all(line.strip().startswith(" ".join(["engine", *verb])) for line in examples)


# As a process: streams, pipes, signals


def test_a_reader_may_leave_before_the_end(folder, model):
    many = ["in/low.wav"] * 3000
    with start("tag", *many, "--model", model, "--format", "jsonl") as process:
        assert json.loads(process.stdout.readline())["path"] == "in/low.wav"
        assert process.poll() is None
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert err == b""


@pytest.fixture
def interruptible():
    """Let child processes be interrupted, also where the tests run in the background, which ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@POSIX
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_is_exit_code_130(folder, model):
    many = ["in/low.wav"] * 3000
    with start("tag", *many, "--model", model, "--format", "jsonl") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"engine: interrupted\n")


@POSIX
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_recordings_that_are_at_work(folder, model):
    # Windows every 0.2 ms, 600,000 of them in each of the long ones.
    write_clip(folder / "long.wav", 120)
    arguments = ["in/deep", *["long.wav"] * 4, "--hop-s", "0.0002", "--workers", 3]
    with start("tag", *arguments, "--model", model, "--format", "jsonl", "-o", "tags.jsonl") as process:
        deadline = time.monotonic() + 30
        while not any(path.suffix == ".part" and path.stat().st_size for path in folder.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"engine: interrupted\n")
    assert time.monotonic() - begin < 5
    assert "tags.jsonl" not in names_in(folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disc_is_one_sentence(folder, model):
    with Path("/dev/full").open("wb") as full, start("tag", "in", "--model", model, stdout=full) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "No space left" in one_sentence(err.decode())


def on_a_terminal(*arguments):
    """Run the command with its stderr on a terminal; returns exit code, stdout and what the terminal got."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with start(*arguments, stderr=theirs) as process:
        out = process.stdout.read()
        process.wait(timeout=60)
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # Linux reports the end of a terminal as an error
        pass
    os.close(ours)
    return process.returncode, out, shown.decode()


@POSIX
def test_a_terminal_gets_a_progress_bar_and_whole_messages(folder, model):
    code, out, shown = on_a_terminal("tag", "in", "bad.wav", "--model", model, "--format", "csv", "-o", "tags.csv")
    assert (code, out) == (3, b"")
    assert "/3 [" in shown
    assert re.search(r"(?:^|\r|\n)engine: expected audio .*'bad.wav'.*\r\n", shown)
    assert "device auto" in shown


@POSIX
def test_quiet_keeps_the_terminal_still(folder, model):
    assert on_a_terminal("tag", "in", "--model", model, "--quiet", "-o", "tags.txt") == (0, b"", "")
    code, _, shown = on_a_terminal("tag", "bad.wav", "--model", model, "--quiet")
    assert code == 3
    assert shown.startswith("engine: expected audio")
