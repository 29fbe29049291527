"""The command line of the recipes: what is wrong is one sentence, and exit codes mean what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from engine.errors import AudioError
from tests.training import trees
from training.__main__ import main
from training.recipes import esc10
from training.run import Run

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from training.run import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch=3"], "one of the fields seeds, final,"),
        (["--epochs=many"], "a whole number for --epochs, got 'many'"),
        (["--final=maybe"], "true or false for --final"),
        (["--epochs=0"], "at least one of epochs, got 0"),
        (["--seeds="], "at least one of seeds, got ()"),
        (["--epochs", "3"], "--field=value, got '--epochs'"),
    ],
)
def test_a_wrong_field_is_one_sentence_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    run = tmp_path / "run"
    assert main(["run", "esc10", "--data", str(tmp_path), "--run", str(run), *arguments]) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert not run.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: VERB"),
        (["run"], "required: recipe"),
        (["run", "esc11", "--data", "x", "--run", "y"], "invalid choice: 'esc11'"),
        (["run", "esc10", "--run", "y"], "required: --data"),
        (["run", "esc10", "--dat", "x", "--run", "y"], "required: --data"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    output = capsys.readouterr()
    assert caught.value.code == 2
    assert message in output.err
    assert output.err.count("\n") == 1


def test_a_finished_run_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    assert main(["run", "esc10", "--data", "x", "--run", str(tmp_path)]) == 2
    assert "finished" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_folder_where_another_process_trains_is_one_sentence_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["run", "esc10", "--data", str(tmp_path), "--run", str(run)]
    # Held by a process of its own, which is then killed: what was killed keeps nobody.
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert main(arguments) == 2
        finally:
            holder.kill()
    output = capsys.readouterr()
    assert f"expected {run} for this process alone, another one trains there" in output.err
    assert output.err.count("\n") == 1
    assert [path.name for path in run.iterdir()] == ["lock"]
    assert main(arguments) == 1
    assert "trains there" not in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_sentence_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["run", "esc10", "--data", str(tmp_path), "--run", str(tmp_path / "file" / "run")]) == 2
    error = capsys.readouterr().err
    assert "expected a folder to write to" in error
    assert error.count("\n") == 1


def test_data_that_is_not_there_is_one_sentence_and_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "esc10", "--data", str(tmp_path / "none"), "--run", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert "meta.csv" in error
    assert error.count("\n") == 1


def test_a_recording_that_is_no_audio_is_one_sentence_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = trees.esc10_dev(tmp_path / "data")
    (data / "audio" / "1-1000-A-0.ogg").write_text("not audio")
    assert main(["run", "esc10", "--data", str(data), "--run", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert "1-1000-A-0.ogg" in error
    assert error.count("\n") == 1


def test_an_interruption_is_exit_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(esc10, "train", interrupted)
    assert main(["run", "esc10", "--data", "x", "--run", str(tmp_path / "run")]) == 130
    assert "resume" in capsys.readouterr().err


def test_the_run_keeps_the_whole_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object) -> None:
        raise AudioError("expected sound, got none; listen")

    monkeypatch.setattr(esc10, "train", failing)
    assert main(["run", "esc10", "--data", "x", "--run", str(tmp_path / "run"), "--epochs=3"]) == 1
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recipe"] == "esc10"
    assert config["epochs"] == 3
    assert {"seeds", "learning_rate", "crop_s"} <= config.keys()


def test_the_module_runs(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "training",
        "run",
        "esc10",
        "--data",
        "x",
        "--run",
        str(tmp_path / "run"),
        "--size=3",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "got 'size'" in done.stderr


def test_list_names_every_recipe_with_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = "ESC-10: the tagger and the embedder that ship with the engine."
    assert ["esc10", first] in [line.split(maxsplit=1) for line in lines]


def test_resume_needs_only_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted_once(data: Path, run: Run, config: esc10.Config) -> None:
        calls.append((data, run.load(), config))
        if len(calls) == 1:
            run.save({"epoch": 1})
            raise KeyboardInterrupt
        run.finish({})

    monkeypatch.setattr(esc10, "train", interrupted_once)
    run = str(tmp_path / "run")
    assert main(["run", "esc10", "--root", str(tmp_path), "--run", run, "--epochs=3", "--channels=4,8"]) == 130
    assert main(["resume", run]) == 0
    (data, fresh, config), (same_data, state, same_config) = calls
    assert (fresh, state) == (None, {"epoch": 1})
    assert (same_data, same_config) == (data, config)
    assert main(["resume", run]) == 2  # finished


def test_resume_of_no_run_is_one_sentence_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "config.json").write_text('{"seed": 0}')
    assert main(["resume", str(tmp_path)]) == 2
    assert "by the command that began it" in capsys.readouterr().err
    Run(tmp_path / "old", {"recipe": "esc10", "data": "x", "gone": 1})
    assert main(["resume", str(tmp_path / "old")]) == 2
    assert "begin a new run" in capsys.readouterr().err


def test_a_recipe_may_have_a_command_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(esc10, "command")
    assert main(["esc10", "--table", "2"]) == 2
    assert "run esc10" in capsys.readouterr().err
    assert main(["esc11"]) == 2
    assert "got 'esc11'" in capsys.readouterr().err
    monkeypatch.setattr(esc10, "command", len, raising=False)
    assert main(["esc10", "--table", "2"]) == 2


def test_a_reader_that_goes_away_is_no_error():
    command = [sys.executable, "-m", "training", "data", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
