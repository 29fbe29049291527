from __future__ import annotations

import hashlib
import os
import stat

import onnx
import pytest

from engine import registry
from engine.errors import ModelError
from engine.install import add_model, fetch_model, remove_model
from engine.model import Model
from engine.registry import find_model, user_models_folder
from tests.file_server import serving
from tests.tiny_models import log_mel_card, log_mel_network, save, write_card


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """The user's folder, empty; nothing is shipped but a model called shipped."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(registry, "_data_home", lambda: tmp_path / "data")
    (tmp_path / "package").mkdir()
    save(tmp_path / "package" / "shipped.onnx")
    monkeypatch.setattr(registry, "models_folder", lambda: tmp_path / "package")
    return user_models_folder()


@pytest.fixture
def tiny(tmp_path):
    return save(tmp_path / "downloaded.onnx")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.suffix != ".onnx"] if folder.exists() else []


def test_an_added_model_is_found_by_the_name_in_its_card(own, tiny):
    added = add_model(tiny, sha256=sha256(tiny).upper())
    assert (added.name, added.path, added.origin, added.hidden) == ("tiny", own / "tiny.onnx", "user", False)
    assert find_model("tiny") == own / "tiny.onnx"
    assert added.path.read_bytes() == tiny.read_bytes()
    assert Model.open("tiny", device="cpu").card.name == "tiny"
    assert leftovers(own) == []


def test_another_name_may_be_given(own, tiny):
    assert add_model(tiny, name="mine-2.0").path == own / "mine-2.0.onnx"
    assert find_model("mine-2.0").exists()


def test_a_model_without_golden_check_may_be_added(own, tmp_path):
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(write_card(log_mel_network(), log_mel_card()).SerializeToString())
    assert add_model(bare).name == "tiny"


def test_a_name_that_is_taken_is_kept_unless_overwriting_is_allowed(own, tiny):
    add_model(tiny)
    other = save(tiny.with_name("other.onnx"), card=log_mel_card(attribution="another"))
    with pytest.raises(ModelError, match=r"new name, got 'tiny', which means .*tiny\.onnx"):
        add_model(other)
    assert find_model("tiny").read_bytes() == tiny.read_bytes()
    with pytest.raises(ModelError, match="new name, got 'shipped'"):
        add_model(other, name="shipped")
    add_model(other, overwrite=True)
    assert find_model("tiny").read_bytes() == other.read_bytes()
    assert add_model(other, name="shipped", overwrite=True).path == find_model("shipped") == own / "shipped.onnx"
    assert leftovers(own) == []


def test_a_model_behind_a_listed_one_is_said_to_be_hidden(own, tiny, tmp_path, monkeypatch):
    (tmp_path / "listed").mkdir()
    save(tmp_path / "listed" / "tiny.onnx")
    monkeypatch.setenv("ENGINE_MODELS", str(tmp_path / "listed"))
    assert add_model(tiny, overwrite=True).hidden


def changed_weights(path):
    model = onnx.load(path)
    model.graph.initializer[0].raw_data = b"\x00" * len(model.graph.initializer[0].raw_data)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda path: b"", "is empty"),
        (lambda path: b"<html>not found</html>", "none that onnxruntime can load"),
        (lambda path: path.read_bytes()[:-100], "none that onnxruntime can load"),
        (lambda path: log_mel_network().SerializeToString(), "a model with a card"),
        (changed_weights, "model_sha256: weights or graph were changed"),
    ],
    ids=["empty", "page", "cut", "bare", "changed"],
)
@pytest.mark.parametrize("way", ["add", "fetch"])
def test_what_is_not_usable_is_refused_and_leaves_nothing(own, tiny, way, content, words):
    tiny.write_bytes(content(tiny))
    with pytest.raises(ModelError, match=words) as caught:
        add_model(tiny) if way == "add" else fetch_model(tiny.as_uri(), sha256(tiny))
    assert "downloaded.onnx" in str(caught.value)
    assert ".part" not in str(caught.value)
    assert list(own.iterdir()) == []


def test_another_checksum_is_refused(own, tiny):
    with pytest.raises(ModelError, match=f"SHA-256 {'0' * 64}, got {sha256(tiny)}; get the file again"):
        add_model(tiny, sha256="0" * 64)
    assert list(own.iterdir()) == []


@pytest.mark.parametrize("name", ["", "a b", "../evil", "a/b", ".hidden", "-x"])
def test_names_that_are_none_are_refused(own, tiny, name):
    with pytest.raises(ModelError, match="expected a short name of letters"):
        add_model(tiny, name=name)
    with pytest.raises(ModelError, match="expected a short name of letters"):
        fetch_model(tiny.as_uri(), sha256(tiny), name=name)
    assert not own.exists()


def test_a_file_that_is_not_there_is_told(own, tmp_path):
    for path in (tmp_path / "absent.onnx", tmp_path):
        with pytest.raises(ModelError, match="found none at"):
            add_model(path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that this user may not write to")
def test_a_folder_that_cannot_be_written_is_told(own, tiny):
    own.mkdir(parents=True)
    own.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(ModelError, match="check disc and permissions"):
        add_model(tiny)


def test_a_folder_that_is_a_file_is_told(own, tiny):
    own.parent.mkdir(parents=True)
    own.write_bytes(b"")
    for install in (lambda: add_model(tiny), lambda: fetch_model(tiny.as_uri(), sha256(tiny))):
        with pytest.raises(ModelError, match="check disc and permissions"):
            install()


def test_removing_takes_only_the_users_own(own, tiny, tmp_path):
    add_model(tiny)
    for name in ("shipped", "absent", "../../downloaded", ""):
        with pytest.raises(ModelError, match=r"a model in .* \(tiny\), got"):
            remove_model(name)
    assert remove_model("tiny") == own / "tiny.onnx"
    assert not (own / "tiny.onnx").exists()
    assert (tmp_path / "package" / "shipped.onnx").exists()
    with pytest.raises(ModelError, match=r"\(none\)"):
        remove_model("tiny")


def test_a_model_is_fetched_by_address_and_checksum(own, tiny):
    seen = []
    with serving(tiny.read_bytes()) as server:
        fetched = fetch_model(server.url, sha256(tiny), progress=lambda done, total: seen.append((done, total)))
    assert fetched.path == own / "tiny.onnx"
    assert fetched.path.read_bytes() == tiny.read_bytes()
    assert seen[-1] == (tiny.stat().st_size, tiny.stat().st_size)
    assert leftovers(own) == []


def test_an_interrupted_download_goes_on(own, tiny):
    with serving(tiny.read_bytes()) as server:
        server.drop_after = 1000
        with pytest.raises(ModelError, match="fetch it again for the rest"):
            fetch_model(server.url, sha256(tiny), name="mine")
        assert leftovers(own) == [f".{sha256(tiny)}.part"]
        server.drop_after = None
        assert fetch_model(server.url, sha256(tiny), name="mine").name == "mine"
        assert [asked for _, asked in server.requests] == [None, "bytes=1000-"]
    assert leftovers(own) == []


def test_a_download_whose_name_is_taken_is_not_repeated(own, tiny):
    add_model(tiny)
    with serving(tiny.read_bytes()) as server:
        with pytest.raises(ModelError, match="new name, got 'tiny'"):
            fetch_model(server.url, sha256(tiny), name="tiny")
        assert server.requests == []
        with pytest.raises(ModelError, match="new name, got 'tiny'"):
            fetch_model(server.url, sha256(tiny))
        assert fetch_model(server.url, sha256(tiny), overwrite=True).name == "tiny"
        assert len(server.requests) == 1
    assert leftovers(own) == []


def test_addresses_and_checksums_are_checked_before_a_folder_is_made(own, tiny):
    with pytest.raises(ModelError, match="expected an address"):
        fetch_model("tiny.onnx", sha256(tiny))
    with pytest.raises(ModelError, match="64 hexadecimal digits"):
        fetch_model(tiny.as_uri(), "abc")
    with pytest.raises(ModelError, match="64 hexadecimal digits"):
        add_model(tiny, sha256="abc")
    assert not own.exists()
