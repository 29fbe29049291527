from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine import registry
from engine.errors import ModelError
from engine.registry import (
    DEFAULT_MODEL,
    find_model,
    installed_models,
    model_names,
    models_folder,
    user_models_folder,
)


def put(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Two models come with the engine, the user has none; the working directory is another folder."""
    folder = put(tmp_path / "shipped", "birds.onnx", "birds.md", f"{DEFAULT_MODEL}.onnx")
    monkeypatch.setattr(registry, "models_folder", lambda: folder)
    monkeypatch.setattr(registry, "_data_home", lambda: tmp_path / "data")
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


# Three places


@pytest.fixture
def own(shipped):
    return put(user_models_folder(), "birds.onnx", "frogs.onnx", ".birds.onnx", "frogs.part")


@pytest.fixture
def listed(shipped, tmp_path, monkeypatch):
    folders = [put(tmp_path / "first", "frogs.onnx"), put(tmp_path / "second", "frogs.onnx", "bats.onnx")]
    monkeypatch.setenv("ENGINE_MODELS", os.pathsep.join(["", *map(str, folders), str(tmp_path / "absent")]))
    return folders


def test_a_model_of_ones_own_stands_in_front_of_a_shipped_one(shipped, own):
    assert find_model("birds") == own / "birds.onnx"
    assert find_model("frogs") == own / "frogs.onnx"
    assert find_model(DEFAULT_MODEL) == shipped / f"{DEFAULT_MODEL}.onnx"
    put(own, f"{DEFAULT_MODEL}.onnx")
    assert find_model() == own / f"{DEFAULT_MODEL}.onnx"


def test_listed_folders_come_first_in_their_order(own, listed):
    assert find_model("frogs") == listed[0] / "frogs.onnx"
    assert find_model("bats") == listed[1] / "bats.onnx"
    assert find_model("birds") == own / "birds.onnx"


def test_every_model_is_listed_with_its_place_and_whether_it_is_hidden(shipped, own, listed):
    first, second = listed
    assert [(m.path, m.origin, m.hidden) for m in installed_models()] == [
        (first / "frogs.onnx", "ENGINE_MODELS", False),
        (second / "bats.onnx", "ENGINE_MODELS", False),
        (second / "frogs.onnx", "ENGINE_MODELS", True),
        (own / "birds.onnx", "user", False),
        (own / "frogs.onnx", "user", True),
        (shipped / "birds.onnx", "package", True),
        (shipped / f"{DEFAULT_MODEL}.onnx", "package", False),
    ]
    assert model_names() == ("bats", "birds", DEFAULT_MODEL, "frogs")


def test_a_listed_folder_that_is_none_is_told_where_a_name_is_not_found(listed, tmp_path):
    with pytest.raises(ModelError, match=f"bats, .*check the spelling; ENGINE_MODELS names {tmp_path / 'absent'}, "):
        find_model("brids")


def test_a_text_too_long_for_a_name_is_refused(shipped):
    with pytest.raises(ModelError, match="neither; check the spelling"):
        find_model("x" * 10_000)


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/sound-engine/models"),
        ("linux", {"XDG_DATA_HOME": "data"}, "/home/ada/.local/share/sound-engine/models"),
        ("linux", {}, "/home/ada/.local/share/sound-engine/models"),
        ("darwin", {"XDG_DATA_HOME": "/data"}, "/home/ada/Library/Application Support/sound-engine/models"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/sound-engine/models"),
        ("win32", {}, "/home/ada/AppData/Local/sound-engine/models"),
    ],
)
def test_the_users_folder_is_where_the_platform_keeps_data(monkeypatch, platform, variables, folder):
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    monkeypatch.setattr(sys, "platform", platform)
    assert user_models_folder() == Path(folder)


def test_without_a_home_there_are_the_other_places(monkeypatch, shipped):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(registry, "_data_home", homeless)
    assert model_names() == ("birds", DEFAULT_MODEL)
    with pytest.raises(ModelError, match=r"home folder.*set HOME"):
        user_models_folder()
