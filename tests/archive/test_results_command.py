"""``engine archive results`` writes what ``write_results`` does."""

from __future__ import annotations

import io

import pytest

from engine.archive import open_archive, run, write_results
from engine.archive.formats import FORMATS
from engine.cli.archive import RESULT_FORMATS
from tests.encoded_audio import encoded, noise
from tests.tiny_models import RATE, save


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    (folder / "clip.wav").write_bytes(encoded(noise(3 * RATE)))
    run([folder / "clip.wav"], folder / "out", save(folder / "tiny.onnx"), workers=1)
    return folder / "out"


def expected(out, *choice):
    stream = io.BytesIO()
    write_results(open_archive(out), stream, *choice)
    return stream.getvalue()


def test_every_format_is_offered():
    assert set(RESULT_FORMATS) == set(FORMATS)


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_formats_go_to_standard_output_and_to_files(engine, out, tmp_path, kind):
    assert engine("archive", "results", out, "--format", kind) == (0, expected(out, kind), "")
    assert engine("archive", "results", out, "--format", kind, "-o", tmp_path / "file") == (0, b"", "")
    assert (tmp_path / "file").read_bytes() == expected(out, kind)


def test_labels_and_scores_are_chosen(engine, out):
    everything = expected(out, "csv").splitlines()
    scores = sorted(float(line.rsplit(b",", 1)[1]) for line in everything[1:])
    between = (scores[2] + scores[3]) / 2
    chosen = engine("archive", "results", out, "--label", "high", "--label", "low", "--min-score", between)[1]
    assert chosen == expected(out, "csv", ("high", "low"), between)
    assert 1 < len(chosen.splitlines()) < len(everything)


def test_mistakes_are_one_sentence(engine, out, tmp_path):
    for arguments, code in (
        ((out, "--label", "cat"), 2),
        ((tmp_path,), 2),
        ((out, "-o", out / "manifest.jsonl"), 1),
    ):
        got, text, err = engine("archive", "results", *arguments)
        assert (got, text, err.count("\n")) == (code, b"", 1)
        assert err.startswith("engine: expected")
