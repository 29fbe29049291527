"""What stands between the network and the page: who may ask, for what, and with how much.

Gradio is a general server: it fetches addresses for its visitors, edits its own source, and takes paths from them. The
guard lets through what this page needs and nothing else.
"""

from __future__ import annotations

import hmac
import json
import os
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

COOKIE = "engine_app"
API = "/gradio_api"
FILE = f"{API}/file="
_READ = (
    *("/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", "/assets/", "/static/", "/sound/"),
    *(f"{API}/{name}" for name in ("queue/data", "heartbeat/", "upload_progress", "startup-events", "info", "app_id")),
)
_WRITTEN = tuple(f"{API}/{name}" for name in ("upload", "queue/join", "reset", "cancel", "stream/"))
# What is not a recording: which event, and the values of the page's controls.
_MAX_VALUES = 4_000_000
# Beside a recording the form has its boundaries.
_FORM = 100_000
# The page is made of its own files only; Gradio starts itself by inline scripts, and its plots compile expressions.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_DOOR = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>engine app</title></head>
<body style="font-family: system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem">
<h1>engine app</h1><p>{sentence}</p>
<form method="get" action="/"><label>Token <input name="token" type="password" autofocus></label>
<button>Open the page</button></form></body></html>"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer instead of what was asked for.

    Attributes
    ----------
    status : int
    sentence : str
    """

    status: int
    sentence: str


class Guard:
    """Wraps an ASGI application.

    Parameters
    ----------
    application : ASGI application
    uploads : Path
        Where visitors' files lie: no other path is served, or taken from a visitor.
    max_bytes : int
        Of one upload.
    token : str or None
        What a visitor must know.
    hosts : frozenset of str or None
        The names by which the page may be asked for, None for any. On a page without a token they keep out the pages
        of others that had their own name lead here.
    secure : bool
        Whether cookies go over HTTPS only.
    """

    def __init__(
        self,
        application: Application,
        uploads: Path,
        *,
        max_bytes: int,
        token: str | None = None,
        hosts: frozenset[str] | None = None,
        secure: bool = False,
    ) -> None:
        self._application = application
        self._uploads = Path(os.path.realpath(uploads))
        self._max_bytes = max_bytes
        self._token = token
        self._hosts = hosts
        self._secure = secure

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":  # the page has no web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._stranger(headers)
        if refusal is not None:
            await _answer(send, refusal)
            return
        if self._token is not None:
            if self._knows(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1]):
                await self._welcome(send)
                return
            if not self._knows(_cookie(headers)):
                await _answer(send, Refusal(401, "This page asks for the token that engine app printed."), door=True)
                return
        refusal = self._unwanted(scope, headers)
        if refusal is None and scope["method"] == "POST" and scope["path"] != f"{API}/upload":
            body = await _body(receive)
            refusal = self._foreign(body)
            receive = _again(body, receive)
        if refusal is not None:
            await _answer(send, refusal)
            return
        await self._application(scope, receive, _with_headers(send))

    def _stranger(self, headers: dict[str, str]) -> Refusal | None:
        """Return why a request does not come from this page, None where it may."""
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self._hosts is not None and name.strip("[]").lower() not in self._hosts:
            return Refusal(403, f"expected a request to this machine, got one to {name!r}; open the printed address")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return Refusal(403, f"expected a request of this page, got one of {origin!r}; open the printed address")
        return None

    def _unwanted(self, scope: Message, headers: dict[str, str]) -> Refusal | None:
        """Return why a request is not one that the page makes, None where it is."""
        path, method = scope["path"], scope["method"]
        if method in ("GET", "HEAD"):
            if path.startswith(FILE):
                if self._is_upload(path.removeprefix(FILE)):
                    return None
                return Refusal(403, "expected a file that this page made or was given, got another path")
            if path == "/" or path.startswith(_READ):
                return None
        elif method == "POST" and path.startswith(_WRITTEN):
            length = headers.get("content-length", "")
            if not length.isdigit():
                return Refusal(411, "expected a request that says its length, got one that does not")
            is_upload = path == f"{API}/upload"
            if int(length) > (self._max_bytes + _FORM if is_upload else _MAX_VALUES):
                return Refusal(413, f"expected at most {self._max_bytes / 1e6:g} MB, got more; cut the recording")
            return None
        return Refusal(404, "expected a part of this page, got another address")

    def _foreign(self, body: bytes) -> Refusal | None:
        """Return why the values that a visitor sends name a file that is not the visitor's, None where none does."""
        try:
            values = json.loads(body)
        except ValueError:
            return Refusal(400, "expected JSON, got something else")
        if all(self._is_upload(path) for path in _paths(values)):
            return None
        return Refusal(403, "expected a file that was uploaded, got another path")

    def _is_upload(self, path: str) -> bool:
        return (
            "\0" not in path and Path(os.path.realpath(path)).is_relative_to(self._uploads) and Path(path).is_absolute()
        )

    def _knows(self, said: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(said.encode(), self._token.encode())

    async def _welcome(self, send: Send) -> None:
        cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Lax{'; Secure' * self._secure}"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), *_HEADERS]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body"})


def _cookie(headers: dict[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _paths(values: Any) -> Iterator[str]:
    """Yield every path that stands in the values of Gradio's controls, at any depth."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                yield value["path"]
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


async def _body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read once more, and then what comes after it."""
    given = False

    async def give() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await send(message)

    return sending


async def _answer(send: Send, refusal: Refusal, *, door: bool = False) -> None:
    text = _DOOR.format(sentence=refusal.sentence) if door else f"{refusal.sentence}\n"
    kind = b"text/html; charset=utf-8" if door else b"text/plain; charset=utf-8"
    headers = [(b"content-type", kind), (b"content-length", str(len(text.encode())).encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
