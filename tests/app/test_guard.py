"""The guard: what it lets through, against a list of what the page needs and what an attacker would like."""

from __future__ import annotations

import asyncio
import json

import pytest

from engine.app.guard import COOKIE, Guard

TOKEN = "a-token-of-ours"


async def page(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-body", body)]})
    await send({"type": "http.response.body", "body": b"the page"})


@pytest.fixture
def uploads(tmp_path):
    folder = tmp_path / "uploads"
    folder.mkdir()
    (folder / "mine.wav").write_bytes(b"sound")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret.txt")
    return folder


def ask(guard, path="/", method="GET", body=b"", query="", **headers):
    """Return status, headers and text of the answer."""
    sent = []
    given = {"host": "127.0.0.1:7860", "content-length": str(len(body))} | headers
    scope = {
        "type": "http",
        "path": path,
        "method": method,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
    }
    parts = [{"type": "http.request", "body": body[:3], "more_body": True}, {"type": "http.request", "body": body[3:]}]

    async def receive():
        return parts.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(each.get("body", b"") for each in sent[1:]).decode()


def local(uploads, **options):
    hosts = frozenset({"127.0.0.1", "localhost", "::1"})
    return Guard(page, uploads, **{"max_bytes": 1_000_000, "hosts": hosts} | options)


@pytest.mark.parametrize("path", ["/", "/config", "/theme.css", "/assets/a.js", "/static/js/x.js", "/sound/hit/1.wav"])
def test_the_parts_of_the_page_are_given_with_a_policy(uploads, path):
    status, headers, text = ask(local(uploads), path)
    assert (status, text) == (200, "the page")
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert b"http" not in headers[b"content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        *("/gradio_api/proxy=https://example.org/x", "/gradio_api/vibe-edit/", "/gradio_api/run/predict"),
        *("/gradio_api/call/tag", "/gradio_api/api/predict", "/gradio_api/runs", "/monitoring", "/login", "/docs"),
        *("/gradio_api/process_recording", "/gradio_api/component_server", "/gradio_api/deep_link", "/nothing"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_gradio_does_besides_is_not_there(uploads, path, method):
    assert ask(local(uploads), path, method)[0] == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_not_there(uploads, method):
    assert ask(local(uploads), "/", method)[0] == 404


def test_only_files_of_visitors_are_served(uploads):
    def status(path):
        return ask(local(uploads), f"/gradio_api/file={path}")[0]

    assert status(uploads / "mine.wav") == 200
    for path in (
        *("/etc/passwd", uploads.parent / "secret.txt", f"{uploads}/../secret.txt", f"{uploads}/link", "secret.txt"),
        *("https://example.org/", "http:/example.org", "", "mine.wav", f"{uploads}-other/x", f"{uploads}/mine.wav\0"),
    ):
        assert status(path) == 403, path


def test_values_of_visitors_name_their_own_files_only(uploads):
    def status(path, method="queue/join"):
        body = json.dumps({"data": [1, {"value": [{"path": str(path), "meta": {"_type": "gradio.FileData"}}]}]})
        return ask(local(uploads), f"/gradio_api/{method}", "POST", body.encode())[0]

    assert status(uploads / "mine.wav") == 200
    for path in ("/etc/passwd", uploads / "link", f"{uploads}/../secret.txt", "https://example.org/a.wav", "mine.wav"):
        assert status(path) == 403, path
        assert status(path, "stream/0123") == 403, path
    assert ask(local(uploads), "/gradio_api/queue/join", "POST", b"no JSON")[0] == 400


def test_a_body_that_was_looked_at_arrives_whole(uploads):
    body = b'{"data": [0.5, "rain"]}'
    assert ask(local(uploads), "/gradio_api/queue/join", "POST", body)[1][b"x-body"] == body


def test_uploads_are_limited_before_they_are_read(uploads):
    guard = local(uploads)
    assert ask(guard, "/gradio_api/upload", "POST", content_length="1050000")[0] == 200  # the form around it
    status, _, text = ask(guard, "/gradio_api/upload", "POST", content_length="1200000")
    assert (status, text) == (413, "expected at most 1 MB, got more; cut the recording\n")
    assert ask(guard, "/gradio_api/queue/join", "POST", content_length="9000000")[0] == 413
    for length in ("", "many", "-1"):
        assert ask(guard, "/gradio_api/upload", "POST", content_length=length)[0] == 411


def test_pages_of_others_cannot_ask(uploads):
    guard = local(uploads)
    assert ask(guard, origin="http://127.0.0.1:7860")[0] == 200
    for origin in ("https://example.org", "null", "http://127.0.0.1:8000"):
        assert ask(guard, origin=origin)[0] == 403
    assert ask(guard, host="rebound.example.org:7860")[0] == 403
    assert ask(guard, host="localhost:7860")[0] == 200
    assert ask(guard, host="[::1]:7860")[0] == 200


def test_a_token_opens_the_page_once_and_a_cookie_from_then_on(uploads):
    guard = local(uploads, token=TOKEN, hosts=None)
    status, _, text = ask(guard)
    assert status == 401
    assert "token" in text
    assert TOKEN not in text
    assert ask(guard, "/gradio_api/upload", "POST", content_length="10")[0] == 401
    assert ask(guard, query="token=another")[0] == 401
    assert ask(guard, cookie=f"{COOKIE}=another")[0] == 401
    assert ask(guard, cookie="\x7f=;;;=")[0] == 401
    status, headers, _ = ask(guard, query=f"token={TOKEN}")
    assert (status, headers[b"location"]) == (303, b"/")
    cookie = headers[b"set-cookie"].decode()
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert ask(guard, cookie=cookie.partition(";")[0], host="any.name:7860")[0] == 200
    assert b"Secure" in ask(local(uploads, token=TOKEN, secure=True), query=f"token={TOKEN}")[1][b"set-cookie"]


def test_there_are_no_web_sockets(uploads):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(local(uploads)({"type": "websocket", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
