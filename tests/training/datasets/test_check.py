"""What a check says of downloads that are whole, cut short, or mixed with other files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from engine.errors import ConfigError
from tests.training import trees
from tests.training.datasets import layouts
from training.cli_data import main
from training.datasets import catalogue, check
from training.datasets.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TREES: dict[str, Callable[[Path], object]] = {
    "audioset": layouts.audioset,
    "dcase2018": layouts.dcase2018,
    "esc10": trees.esc50,
    "esc50": trees.esc50,
    "fsdd": layouts.fsdd,
    "iemocap": layouts.iemocap,
    "openmic2018": layouts.openmic2018,
    "sonyc_ust": layouts.sonyc_ust,
    "sonyc_ust_v1": layouts.sonyc_ust,
    "speech_commands": layouts.speech_commands,
    "vocal_imitation": layouts.vocal_imitation,
}


def test_every_data_set_has_a_tree() -> None:
    assert set(TREES) == {name for name, entry in catalogue.CATALOGUE.items() if entry.has_audio}


@pytest.mark.parametrize("name", sorted(set(TREES) - {"fsdd"}))
def test_a_sound_tree_has_no_damaged_or_unknown_files(tmp_path: Path, name: str) -> None:
    TREES[name](tmp_path)
    report = check.check(name, tmp_path)
    assert (report.damaged, report.unknown) == ((), ())
    # A miniature has not the published counts.
    assert not report.is_whole
    assert report.counts


def test_published_counts_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.dcase2018(tmp_path)
    counts = {what: (got, published) for what, got, published in check.check("dcase2018", tmp_path).counts}
    assert counts["unlabelled"] == (1, 14_412)
    assert counts["train, Speech"] == (2, 550)
    assert counts["validation, Vacuum_cleaner"] == (1, 35)
    # Sums of the published counts: labels of 984 clips with one, 519 with two, 75 with three.
    weak = catalogue.DCASE_WEAK
    assert sum(weak.values()) == 984 + 2 * 519 + 3 * 75
    entry = replace(catalogue.CATALOGUE["sonyc_ust"], splits={"all": 7}, checksums={})
    monkeypatch.setitem(catalogue.CATALOGUE, "sonyc_ust", entry)
    layouts.sonyc_ust(tmp_path / "sonyc")
    assert check.check("sonyc_ust", tmp_path / "sonyc").counts == (("all", 7, 7),)


def test_truncated_empty_and_foreign_files(tmp_path: Path) -> None:
    layouts.openmic2018(tmp_path)
    layouts.clips(tmp_path, ["mine.wav"])
    cut = tmp_path / "audio" / "000" / "000046_3840.ogg"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (tmp_path / "audio" / "000" / "000135_483840.ogg").write_bytes(b"<html>not found</html>")
    report = check.check("openmic2018", tmp_path)
    damaged = dict(report.damaged)
    assert set(damaged) == {"audio/000/000046_3840.ogg", "audio/000/000135_483840.ogg"}
    assert damaged["audio/000/000135_483840.ogg"].startswith("cannot be read")
    assert report.unknown == ("mine.wav",)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_recording_cut_anywhere_is_damaged(tmp_path: Path, suffix: str) -> None:
    name = f"a{suffix}"
    layouts.clips(tmp_path, [name], seconds=3)
    whole = Record(tmp_path / name, (), duration_s=3.0)
    assert check.audio_obstacle(whole) is None
    content = whole.path.read_bytes()
    for share in (0.0, 0.001, 0.3, 0.7):
        whole.path.write_bytes(content[: round(share * len(content))])
        assert check.audio_obstacle(whole), f"cut to {share}"


def test_a_truncated_flac_needs_no_metadata(tmp_path: Path) -> None:
    layouts.clips(tmp_path, ["a.flac"], seconds=3)
    path = tmp_path / "a.flac"
    assert check.audio_obstacle(Record(path, ())) is None
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert check.audio_obstacle(Record(path, ()))


def test_a_truncated_wav_needs_no_metadata(tmp_path: Path) -> None:
    layouts.clips(tmp_path, ["a.wav"], seconds=1)
    path = tmp_path / "a.wav"
    path.write_bytes(path.read_bytes()[:-2])
    assert check.audio_obstacle(Record(path, ())) == "truncated: 15998 of 16000 bytes of samples"
    layouts.clips(tmp_path, ["a.wav"], seconds=0)
    assert check.audio_obstacle(Record(path, ())) == "no samples"


@pytest.mark.parametrize(
    ("name", "obstacle"),
    [
        ("made/mp3_truncated.mp3", "ends before the 22050 frames"),
        ("made/flac_truncated.flac", "cannot be read"),
        ("made/truncated_mid.wav", "truncated: 2184 of 4410 bytes"),
        ("made/html.ogg", "cannot be read"),
        ("made/zero_length.wav", "empty file"),
        ("made/no_data.wav", "no samples"),
        ("made/ogg_opus.ogg", None),
        ("made/stream_sizes_max.wav", None),
    ],
)
def test_broken_files_of_the_world(shared_data: Path, name: str, obstacle: str | None) -> None:
    got = check.audio_obstacle(Record(shared_data / "hostile" / name, ()))
    assert (got is None) if obstacle is None else (obstacle in str(got))


def test_checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.sonyc_ust(tmp_path)
    assert check.check("sonyc_ust", tmp_path).checksums == (("annotations.csv", False),)
    digest = hashlib.md5((tmp_path / "annotations.csv").read_bytes()).hexdigest()
    entry = replace(catalogue.CATALOGUE["sonyc_ust"], checksums={"annotations.csv": f"md5:{digest}", "absent": "md5:0"})
    monkeypatch.setitem(catalogue.CATALOGUE, "sonyc_ust", entry)
    assert check.check("sonyc_ust", tmp_path).checksums == (("annotations.csv", True),)


def test_unknown_names_and_absent_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'quack'"):
        check.check("quack", tmp_path)
    with pytest.raises(ConfigError, match=r"folder of esc50 .* https://github\.com"):
        check.check("esc50", tmp_path / "absent")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training", "data", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_says_what_is_absent(tmp_path: Path) -> None:
    layouts.vocal_imitation(tmp_path)
    next(tmp_path.rglob("146968*.wav")).unlink()
    done = run("check", "vocal_imitation", "--root", tmp_path, "--show", 1)
    assert (done.returncode, done.stderr) == (3, "")
    assert "1 absent, though the metadata lists them" in done.stdout
    assert "146968__zabuhailo__catgrowls.wav" in done.stdout
    assert "1 left out by a rule of the data set" in done.stdout
    assert done.stdout.endswith("not whole\n")


def test_the_commands_other_exit_codes(tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "esc50", "--root", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert "expected meta/esc50.csv or meta.csv" in err
    with pytest.raises(SystemExit, match="2"):
        main(["check", "quack", "--root", str(tmp_path)])
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["check", "audioset_vggish", "--root", str(shared_data / "audioset_vggish_small")]) == 0
    assert capsys.readouterr().out.endswith("\nwhole\n")


def test_the_list_names_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(catalogue.CATALOGUE)
    assert main(["check", "esc50", "--root", "x", "--show", "-1"]) == 2
    assert "--show" in capsys.readouterr().err
