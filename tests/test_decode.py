"""From a source to its decoder: every kind of source, names, and one sentence for everything that is no audio."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.decode import open_decoder
from tests.encoded_audio import drained, encoded, noise, refusal


def test_names_and_rates():
    decoder = open_decoder(encoded(noise(10, 2), rate=12345))
    assert (decoder.name, decoder.sample_rate, decoder.channels) == (None, 12345, 2)


@pytest.mark.parametrize("name", ["new\nline.wav", "naïve 名前 🐦.wav", "-dash.wav", "[1-2]*?.wav", "no suffix"])
def test_any_name_that_the_file_system_takes(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encoded(noise(10)))
    assert len(drained(path)) == 10
    assert open_decoder(path).name == str(path)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_not_unicode(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    try:
        path.write_bytes(encoded(noise(10)))
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    assert len(drained(path)) == 10
    assert open_decoder(path).name == str(path)
    path.write_bytes(b"not audio")
    assert r"caf\udce9.wav" in refusal(path)


def test_paths_that_hold_no_audio(tmp_path):
    def wrote(name, data):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    assert "does not exist" in refusal(tmp_path / "missing.wav")
    assert "is a folder" in refusal(tmp_path)
    assert "cannot be opened" in refusal("nul\0.wav")
    assert "cannot be opened" in refusal("x" * 5000)
    assert "empty (0 bytes)" in refusal(wrote("empty.wav", b""))
    assert "no format that libsndfile knows" in refusal(wrote("page.mp3", b"<html>404</html>" * 99))
    assert "without a header" in refusal(wrote("samples.raw", bytes(100)))
    assert "missing.wav" in refusal(tmp_path / "missing.wav")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_named_pipe_is_refused_without_waiting_for_its_other_end(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert "pipe or a device" in refusal(tmp_path / "pipe.wav")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "secret.wav"
    path.write_bytes(encoded(noise(10)))

    def denied(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # the user who runs this may be root, who may read everything
    assert "may not be read" in refusal(path)
