"""What files, folders and patterns name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import AudioError
from engine.scan import AUDIO_SUFFIXES, find_audio


@pytest.fixture
def library(tmp_path):
    names = [
        "b.wav",
        "a.FLAC",
        "notes.txt",
        "deep/er/c.mp3",
        "deep/d.ogg",
        ".hidden.wav",
        ".trash/e.wav",
        "deep/._d.ogg",
    ]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def found(*inputs):
    return list(find_audio(inputs))


def test_a_folder_gives_its_audio_files_sorted_hidden_ones_left_out(library):
    assert found(library) == [library / name for name in ("a.FLAC", "b.wav", "deep/d.ogg", "deep/er/c.mp3")]


def test_a_named_file_is_always_taken_in_the_order_given(library):
    named = [library / "notes.txt", library / ".hidden.wav", library / "missing.wav", library / "b.wav"]
    assert found(*named) == named


def test_patterns(library):
    assert found(str(library / "*.*")) == [library / name for name in ("a.FLAC", "b.wav", "notes.txt")]
    assert found(str(library / "**/*.ogg")) == [library / "deep/d.ogg"]
    assert found(str(library / "de?p")) == [library / "deep/d.ogg", library / "deep/er/c.mp3"]


def test_a_file_whose_name_looks_like_a_pattern(library):
    (library / "take[1].wav").touch()
    assert found(str(library / "take[1].wav")) == [library / "take[1].wav"]


def test_folders_and_patterns_without_audio_are_refused(library):
    (library / "empty").mkdir()
    for given in (library / "empty", str(library / "*.aiff"), str(library / "emp*")):
        with pytest.raises(AudioError, match="got none"):
            found(library / "b.wav", given)


def test_the_order_does_not_depend_on_the_file_system(tmp_path):
    names = [f"{folder}/{n * 7 % 23}.wav" for folder in "cab" for n in range(23)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path) == sorted(tmp_path / name for name in names)


def test_relative_inputs_stay_relative(library, monkeypatch):
    monkeypatch.chdir(library)
    assert found("deep") == [Path("deep/d.ogg"), Path("deep/er/c.mp3")]
    assert found(".")[0] == Path("a.FLAC")


def test_every_suffix_counts_in_either_case(tmp_path):
    for suffix in AUDIO_SUFFIXES:
        (tmp_path / f"x{suffix}").touch()
        (tmp_path / f"y{suffix.upper()}").touch()
    assert len(found(tmp_path)) == 2 * len(AUDIO_SUFFIXES)


def test_films_are_read_where_they_are_named_and_not_searched_for(tmp_path):
    for name in ("memo.m4a", "memo.webm", "film.mkv", "film.MOV", "film.avi"):
        (tmp_path / name).touch()
    assert found(tmp_path) == [tmp_path / "memo.m4a", tmp_path / "memo.webm"]
    assert found(tmp_path / "film.mkv", str(tmp_path / "*.avi")) == [tmp_path / "film.mkv", tmp_path / "film.avi"]


def test_a_folder_that_cannot_be_listed_is_an_error_not_a_gap(library, monkeypatch):
    real = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("er"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(AudioError, match=r"deep/er.*Permission denied"):
        found(library)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_unicode(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9\n.wav"
    try:
        Path(os.fsdecode(raw)).touch()
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    assert [os.fsencode(path) for path in found(tmp_path)] == [raw]
