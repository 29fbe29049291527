"""``engine models convert``: the table, the files, and what is said of variants that are refused."""

from __future__ import annotations

import sys

import pytest
import soundfile

from engine.cli.main import main
from engine.errors import ModelError
from engine.verify import verify_model
from tests import tiny_models
from tests.convert import networks
from tests.convert.test_int8 import recordings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model, recordings and a table of labels."""
    folder = tmp_path_factory.mktemp("convert")
    tiny_models.save(folder / "model.onnx", networks.convolutional(), networks.card())
    (folder / "audio").mkdir()
    rows = ["file,label"]
    for index, recording in enumerate(recordings()):
        soundfile.write(folder / f"audio/{index:02d}.wav", recording.samples, tiny_models.RATE, subtype="FLOAT")
        rows.append(f"{index:02d}.wav,{networks.LABELS[index % 6]}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def convert(monkeypatch, capfd, folder):
    def run(*arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["engine", "models", "convert", "model.onnx", *map(str, arguments)])
        code = main()
        sys.stdout.flush()
        return code, *capfd.readouterr()

    return run


def test_a_table_of_what_was_written(convert, tmp_path):
    code, out, err = convert("--variants", "int8,waveform,fp16", "--calibration", "audio", "-o", tmp_path)
    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head.split("  ")[0] == "file"
    assert [line.split()[0] for line in lines] == [
        str(tmp_path / f"tiny-{variant}.onnx") for variant in ("int8", "waveform", "fp16")
    ]
    for line in lines:
        _, size, share, ratio, times, *network, correlation, drop, difference = line.split()
        assert (network == ["-"]) == ("waveform" in line)
        assert float(size) < 1
        assert share.endswith("%")
        assert times == "x"
        assert float(ratio) > 0
        assert 0.99 <= float(correlation) <= 1
        assert float(drop) <= 0.01
        assert float(difference) < 0.2
    for path in tmp_path.iterdir():
        verify_model(path)


def test_labels_are_counted(convert, tmp_path):
    code, _, _ = convert(
        "--variants", "waveform", "--calibration", "audio", "--labels-csv", "labels.csv", "-o", tmp_path
    )
    assert code == 0
    assert verify_model(tmp_path / "tiny-waveform.onnx").card.metrics["agreement"]["labelled"] is True


def test_without_recordings_there_is_less_to_say(convert, tmp_path):
    code, out, _ = convert("--variants", "waveform", "-o", tmp_path)
    assert code == 0
    assert out.splitlines()[1].split()[5:8] == ["-", "-", "-"]


def test_refused_variants_are_told_and_the_rest_is_written(convert, tmp_path, monkeypatch):
    def refused(*_):
        raise ModelError("expected something else")

    monkeypatch.setitem(__import__("engine.convert.variants", fromlist=["VARIANTS"]).VARIANTS, "fp16", refused)
    code, out, err = convert("--variants", "fp16,waveform", "-o", tmp_path)
    assert code == 3
    assert err == "engine: fp16: expected something else\n"
    assert len(out.splitlines()) == 2
    code, out, err = convert("--variants", "fp16", "-o", tmp_path)
    assert (code, out) == (1, "")


def test_files_are_replaced_only_when_asked(convert, tmp_path):
    assert convert("--variants", "waveform", "-o", tmp_path)[0] == 0
    code, _, err = convert("--variants", "waveform", "-o", tmp_path)
    assert code == 1
    assert "expected a new file" in err
    assert convert("--variants", "waveform", "-o", tmp_path, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--variants", "int4"), "expected some of int8, fp16, waveform, got ['int4']"),
        (("--variants", "int8"), "expected --calibration FOLDER"),
        (("--variants", "waveform", "--labels-csv", "labels.csv"), "expected --calibration FOLDER"),
        ((), "--variants"),
    ],
)
def test_wrong_usage_is_exit_code_2(convert, arguments, message):
    code, out, err = convert(*arguments)
    assert (code, out) == (2, "")
    assert message in err
