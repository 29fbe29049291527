from __future__ import annotations

from pathlib import Path

import pytest

from engine import registry
from engine.errors import ModelError
from engine.registry import DEFAULT_MODEL, find_model, model_names, models_folder


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Two models come with the engine; the working directory is another folder."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("birds.onnx", "birds.md", f"{DEFAULT_MODEL}.onnx"):
        (folder / name).write_bytes(b"x")
    monkeypatch.setattr(registry, "models_folder", lambda: folder)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def test_names_are_those_of_the_onnx_files(shipped):
    assert model_names() == ("birds", DEFAULT_MODEL)


def test_names_and_none_are_found(shipped):
    assert find_model("birds") == shipped / "birds.onnx"
    assert find_model() == find_model(None) == shipped / f"{DEFAULT_MODEL}.onnx"


def test_paths_are_found(shipped):
    own = Path("own.onnx")
    own.write_bytes(b"x")
    assert find_model("own.onnx") == own
    assert find_model(own) == own


def test_a_name_wins_over_a_file_but_not_over_a_path(shipped):
    Path("birds").write_bytes(b"x")
    assert find_model("birds") == shipped / "birds.onnx"
    assert find_model(Path("birds")) == find_model("./birds") == Path("birds")


@pytest.mark.parametrize("model", ["brids", "brids.onnx", Path("brids.onnx")])
def test_unknown_model_lists_the_known_ones(shipped, model):
    with pytest.raises(ModelError, match=f"birds, {DEFAULT_MODEL}.*brids"):
        find_model(model)


@pytest.mark.parametrize("model", ["", 3, b"birds"])
def test_what_cannot_name_a_model_is_refused(shipped, model):
    with pytest.raises(ModelError, match="expected the name of a model"):
        find_model(model)


def test_the_default_model_is_shipped():
    assert DEFAULT_MODEL in model_names()
    assert find_model().parent == models_folder()
