"""Downloads against a server on this machine that drops, drips, lies and never ends."""

from __future__ import annotations

import hashlib
import io
import time
from urllib.request import Request

import numpy as np
import pytest

from engine.errors import ModelError
from engine.fetch import Limits, _Redirects, fetch_file, file_sha256, parse_sha256, shown_url
from tests.file_server import serving

CONTENT = np.random.default_rng(1).bytes(700_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG = "0" * 64


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def part(tmp_path):
    return tmp_path / "model.part"


def at(server, name):
    return server.url.replace("model.onnx", name)


def test_the_file_arrives_with_its_progress(server, part):
    seen = []
    fetch_file(server.url, SHA256.upper(), part, lambda done, total: seen.append((done, total)))
    assert part.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert server.requests == [("/model.onnx", None)]


def test_a_dropped_connection_is_resumed_where_it_broke(server, part):
    server.drop_after = 300_000
    with pytest.raises(ModelError, match=r"700000 bytes.*broke after 300000; fetch it again"):
        fetch_file(server.url, SHA256, part)
    assert part.read_bytes() == CONTENT[:300_000]
    with pytest.raises(ModelError, match="broke after 600000"):
        fetch_file(server.url, SHA256, part)
    server.drop_after = None
    seen = []
    fetch_file(server.url, SHA256, part, lambda done, total: seen.append((done, total)))
    assert part.read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=300000-", "bytes=600000-"]
    assert seen[0][0] > 600_000
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_server_without_ranges_sends_all_of_it_again(server, part):
    server.ranges, server.drop_after = False, 300_000
    with pytest.raises(ModelError, match="broke after 300000"):
        fetch_file(server.url, SHA256, part)
    server.drop_after = None
    fetch_file(server.url, SHA256, part)
    assert part.read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=300000-"]


def test_another_range_than_asked_for_is_not_appended(server, part):
    part.write_bytes(CONTENT[:1000])
    server.offset = 7
    fetch_file(server.url, SHA256, part)
    assert part.read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == ["bytes=1000-", None]


def test_a_longer_part_of_something_else_is_replaced(server, part):
    part.write_bytes(bytes(len(CONTENT) + 5))
    fetch_file(server.url, SHA256, part)
    assert part.read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == ["bytes=700005-", None]


def test_a_complete_part_needs_no_server(part):
    part.write_bytes(CONTENT)
    fetch_file("http://127.0.0.1:1/model.onnx", SHA256, part)


@pytest.mark.parametrize("start", [0, 1000])
def test_a_wrong_checksum_deletes_and_refuses(server, part, start):
    part.write_bytes(CONTENT[:start])
    with pytest.raises(ModelError, match=f"SHA-256 {WRONG}, got {SHA256}, and deleted it"):
        fetch_file(server.url, WRONG, part)
    assert not part.exists()


def test_a_part_of_something_else_is_found_out(server, part):
    part.write_bytes(b"x" * 1000)
    with pytest.raises(ModelError, match="deleted it"):
        fetch_file(server.url, SHA256, part)
    fetch_file(server.url, SHA256, part)
    assert part.read_bytes() == CONTENT


def test_chunks_without_a_length_arrive(server, part):
    seen = []
    fetch_file(at(server, "chunked.onnx"), SHA256, part, lambda done, total: seen.append(total))
    assert part.read_bytes() == CONTENT
    assert set(seen) == {None}


def test_chunks_that_break_off_are_kept(server, part):
    server.drop_after = 0
    with pytest.raises(ModelError, match=r"the rest of .*chunked\.onnx, the connection broke: .*fetch it again"):
        fetch_file(at(server, "chunked.onnx"), SHA256, part)
    assert part.read_bytes() == CONTENT


def test_redirects_are_followed(server, part):
    fetch_file(at(server, "moved.onnx"), SHA256, part)
    assert part.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.onnx?token=secret", r"absent\.onnx, the server answered 404 Not Found; check the address"),
        ("loop.onnx", "the server answered 302 "),
        ("away.onnx", "another address of http, it leads to ftp://127"),
        ("local.onnx", "(another address of http, it leads to file:|answered 302)"),
        ("garbage.onnx", r"expected an answer from .*garbage\.onnx, got none"),
        ("unasked.onnx", "the server sends a part of it"),
    ],
)
def test_answers_that_are_no_file_are_refused(server, part, name, words):
    with pytest.raises(ModelError, match=words) as caught:
        fetch_file(at(server, name), SHA256, part)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not part.exists()
    assert len(server.requests) <= 7


def test_encryption_is_not_given_up_on_the_way():
    def redirect(before, after):
        return _Redirects().redirect_request(Request(before), io.BytesIO(), 302, "Found", {}, after)

    assert redirect("http://a.example/x", "https://b.example/x").full_url == "https://b.example/x"
    with pytest.raises(ModelError, match="https, it leads to http://b"):
        redirect("https://a.example/x", "http://b.example/x?key=1")


def test_a_body_without_end_is_cut_off_and_deleted(server, part):
    with pytest.raises(ModelError, match="expected at most 100000 bytes from"):
        fetch_file(at(server, "endless.onnx"), SHA256, part, limits=Limits(size=100_000))
    assert not part.exists()


def test_a_length_beyond_the_limit_is_refused_before_it_is_read(server, part):
    with pytest.raises(ModelError, match="expected at most 2147483648 bytes"):
        fetch_file(at(server, "huge.onnx"), SHA256, part)
    assert not part.exists()


def test_a_dripping_server_runs_out_of_time_and_what_came_is_kept(server, part):
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"within 0\.3 s, got \d+ bytes; fetch it again"):
        fetch_file(at(server, "dripping.onnx"), SHA256, part, limits=Limits(seconds=0.3))
    assert time.monotonic() - start < 3
    assert part.stat().st_size > 1


def test_a_silent_server_is_given_up(server, part):
    start = time.monotonic()
    with pytest.raises(ModelError, match="the connection broke: timed out"):
        fetch_file(at(server, "silent.onnx"), SHA256, part, limits=Limits(stall_s=0.2))
    assert time.monotonic() - start < 3
    assert part.read_bytes() == b"x"


def test_nobody_there(part):
    with pytest.raises(ModelError, match=r"expected an answer from .*:1/model\.onnx, got none: .*refused"):
        fetch_file("http://127.0.0.1:1/model.onnx", SHA256, part)


def test_local_files_are_copied_and_completed(tmp_path, part):
    source = tmp_path / "with space.onnx"
    source.write_bytes(CONTENT)
    fetch_file(source.as_uri(), SHA256, part)
    assert part.read_bytes() == CONTENT
    part.write_bytes(CONTENT[:1000])
    fetch_file(source.as_uri(), SHA256, part)
    assert part.read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["absent", "", "%00"])
def test_local_addresses_of_no_file_are_refused(tmp_path, part, name):
    with pytest.raises(ModelError, match="expected a file at file:///"):
        fetch_file(f"{tmp_path.as_uri()}/{name}", SHA256, part)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "model.onnx",
        "/etc/passwd",
        "ftp://host/model.onnx",
        "data:,x",
        "file://host/model.onnx",
        "http:///model.onnx",
        "https://user:secret@host/model.onnx",
        "https://user@host/model.onnx",
        "http://host:port/model.onnx",
        "http://host:99999/model.onnx",
        "http://[::1/model.onnx",
        "http://host/a b",
        "http://host/\r\nX: y",
    ],
)
def test_addresses_that_are_none_are_refused(part, url):
    with pytest.raises(ModelError, match="expected an address https://") as caught:
        fetch_file(url, SHA256, part)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://host.invalid/caf\u00e9.onnx", "http://" + "x" * 70 + ".invalid/model.onnx"])
def test_addresses_that_cannot_be_sent_are_refused(part, url):
    with pytest.raises(ModelError, match="expected an answer from"):
        fetch_file(url, SHA256, part)


@pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 65, "g" * 64, f" {'0' * 64}", None])
def test_checksums_that_are_none_are_refused(sha256):
    with pytest.raises(ModelError, match="64 hexadecimal digits"):
        parse_sha256(sha256)


def test_a_disc_that_refuses_is_told(server, tmp_path):
    with pytest.raises(ModelError, match=r"expected to keep the download in .*check disc"):
        fetch_file(server.url, SHA256, tmp_path / "absent" / "model.part")


def test_messages_show_addresses_without_secrets():
    assert shown_url("https://a:b@host/x?token=1#y") == "https://host/x"
    assert len(shown_url("https://host/" + "x" * 1000)) == 200


def test_checksum_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    assert file_sha256(tmp_path / "file") == SHA256
