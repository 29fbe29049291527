"""``engine teach``: what is printed where, and exit codes."""

from __future__ import annotations

import csv
import subprocess
import sys

from engine import Tagger
from tests.teach.clips import folder_of, noise, write


def test_a_folder_becomes_a_model_and_a_table_on_standard_output(engine, folder, tiny, tmp_path):
    output = tmp_path / "mine.onnx"
    code, out, err = engine("teach", folder, "-o", output, "--embedder", tiny, "--precision", 0.8)
    assert (code, err) == (0, "")
    lines = out.decode().splitlines()
    assert lines[0].split()[:3] == ["label", "clips", "recordings"]
    assert [line.split()[:3] for line in lines[1:4]] == [[label, "5", "5"] for label in ("high", "low", "middle")]
    assert lines[4].startswith("accuracy 1.00, between 0.80 and 1.00 with 95 % confidence; 1.00 to 1.00 over 5 folds;")
    assert lines[4].endswith("; 15 clips of 15 recordings")
    assert lines[5] == f"{output}: 3 labels on tiny"
    assert "precision of 0.8" in Tagger(output).card.threshold_method
    assert engine("models", "verify", output)[0] == 0
    code, out, _ = engine("tag", folder / "low", "--model", output, "--top-k", 1, "--format", "csv")
    assert code == 0
    assert {row["label"] for row in csv.DictReader(out.decode().splitlines())} == {"low"}


def test_some_failed_is_3_and_each_has_its_reason(engine, tiny, tmp_path):
    clips = folder_of(tmp_path / "clips", n=2)
    (clips / "low" / "bad.wav").write_bytes(b"no audio")
    write(clips / "stray.wav", noise("low", 7))
    code, _, err = engine("teach", clips, "-o", tmp_path / "mine.onnx", "--embedder", tiny)
    assert code == 3
    assert (tmp_path / "mine.onnx").is_file()
    assert len([line for line in err.splitlines() if "bad.wav" in line and "libsndfile" in line]) == 1
    assert len([line for line in err.splitlines() if "stray.wav" in line and "move it into one" in line]) == 1


def test_one_clip_of_each_label_warns(engine, tiny, tmp_path):
    clips = folder_of(tmp_path / "clips", n=1)
    code, out, err = engine("teach", clips, "-o", tmp_path / "mine.onnx", "--embedder", tiny)
    assert code == 0
    assert "engine: there is one clip only of 'high', 'low', 'middle'" in err
    assert "accuracy" not in out.decode()


def test_refusals_are_one_sentence(engine, folder, tiny, tmp_path):
    (tmp_path / "clips.csv").write_text("file,label\na.wav,low\na.wav,high\n")
    model = tmp_path / "mine.onnx"
    for given, wanted, words in (
        ([tmp_path / "clips.csv"], 1, "as 'low' and as 'high'"),
        ([tmp_path], 1, "got no audio"),
        ([folder, "--precision", 2], 2, "precision above 0"),
        ([folder, "--count", 5], 2, "--review"),
        ([folder, "--head", "deep"], 2, "deep"),
    ):
        code, out, err = engine("teach", *given, "-o", model, "--embedder", tiny)
        assert (code, out) == (wanted, b""), err
        assert words in err
    assert not model.exists()
    model.write_bytes(b"something else")
    code, _, err = engine("teach", folder, "-o", model, "--embedder", tiny)
    assert code == 1
    assert "--overwrite" in err
    assert model.read_bytes() == b"something else"
    assert engine("teach", folder, "-o", model, "--embedder", tiny, "--overwrite")[0] == 0


def test_review_writes_a_table_that_is_taught(engine, folder, tiny, tmp_path):
    for index in range(3):
        write(tmp_path / "pool" / f"{index}.wav", noise("low", 900 + index) + noise("high", 800 + index))
    table = tmp_path / "todo.csv"
    arguments = (folder, "--review", tmp_path / "pool", "--count", 2, "-o", table, "--embedder", tiny)
    code, out, err = engine("teach", *arguments)
    assert (code, err) == (0, "")
    assert out.decode() == f"{table}: 2 of 3 clips to label; fill in the column label\n"
    assert engine("teach", *arguments)[0] == 1  # a table that somebody filled in is not replaced by accident
    table.write_text(table.read_text().replace(".wav,,", ".wav,low,", 1))
    code, out, err = engine("teach", folder, table, "-o", tmp_path / "mine.onnx", "--embedder", tiny)
    assert code == 0
    assert err == "engine: 1 rows of the tables have no label yet and were left out\n"
    assert [line.split()[1] for line in out.decode().splitlines()[1:4]] == ["5", "6", "5"]


def test_as_a_process(folder, tiny, tmp_path):
    start = "import sys; from engine.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", start, "teach", folder, "-o", tmp_path / "mine.onnx", "--embedder", tiny],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "accuracy 1.00" in done.stdout
