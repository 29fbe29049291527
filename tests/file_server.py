"""A web server on 127.0.0.1 that serves one file and misbehaves on request."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class FileServer(ThreadingHTTPServer):
    """Serves ``content`` at ``/model.onnx``; ``requests`` are the paths and ranges that were asked for.

    Attributes
    ----------
    ranges : bool
        Whether Range requests are answered with a part.
    drop_after : int or None
        Close the connection after that many bytes of an answer.
    offset : int
        Added to the start of every part: a server that answers another range than was asked for.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.ranges = True
        self.drop_after: int | None = None
        self.offset = 0
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/model.onnx"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about clients that went away."""


class Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        self.close_connection = True
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        route = getattr(self, "get_" + self.path.strip("/").partition(".")[0].partition("?")[0], None)
        if route is None:
            self.send_error(404)
        else:
            route(asked)

    def get_model(self, asked: str | None) -> None:
        content, start = self.server.content, 0
        if asked is not None and self.server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.answer(416, {"Content-Range": f"bytes */{len(content)}"})
                return
            start += self.server.offset
            headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            self.answer(206, headers | {"Content-Length": len(content) - start})
        else:
            self.answer(200, {"Content-Length": len(content)})
        self.wfile.write(content[start:][: self.server.drop_after])

    def get_unasked(self, asked: str | None) -> None:
        self.answer(206, {"Content-Range": "bytes 5-9/10", "Content-Length": 5})
        self.wfile.write(b"12345")

    def get_chunked(self, asked: str | None) -> None:
        self.answer(200, {"Transfer-Encoding": "chunked"})
        content = self.server.content
        for start in range(0, len(content), 1000):
            chunk = content[start : start + 1000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if self.server.drop_after is None:
            self.wfile.write(b"0\r\n\r\n")

    def get_endless(self, asked: str | None) -> None:
        self.answer(200, {"Transfer-Encoding": "chunked"})
        while True:
            self.wfile.write(b"1000\r\n%s\r\n" % bytes(0x1000))

    def get_dripping(self, asked: str | None) -> None:
        self.answer(200, {"Content-Length": 1_000_000})
        while True:
            self.wfile.write(b"x")
            time.sleep(0.01)

    def get_silent(self, asked: str | None) -> None:
        self.answer(200, {"Content-Length": 1_000_000})
        self.wfile.write(b"x")
        time.sleep(5)

    def get_huge(self, asked: str | None) -> None:
        self.answer(200, {"Content-Length": 1 << 40})

    def get_moved(self, asked: str | None) -> None:
        self.answer(302, {"Location": "/model.onnx", "Content-Length": 0})

    def get_loop(self, asked: str | None) -> None:
        self.answer(302, {"Location": f"/loop.onnx?{time.perf_counter_ns()}", "Content-Length": 0})

    def get_away(self, asked: str | None) -> None:
        self.answer(302, {"Location": "ftp://127.0.0.1/model.onnx", "Content-Length": 0})

    def get_local(self, asked: str | None) -> None:
        self.answer(302, {"Location": "file:///etc/hostname", "Content-Length": 0})

    def get_garbage(self, asked: str | None) -> None:
        self.wfile.write(b"\x00\xffnot http\r\n" * 10)

    def answer(self, status: int, headers: dict[str, Any]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.flush()


@contextlib.contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    """Serve ``content`` from a thread."""
    server = FileServer(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
