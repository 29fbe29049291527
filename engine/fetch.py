"""Downloads that are asked for by address and checksum: resumed where they broke off, and never trusted unchecked.

A connection that breaks leaves what has arrived, and the next call asks for the rest. There is no other network code in
the engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import http
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import ModelError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    Progress = Callable[[int, int | None], None]

# An ONNX file, being one protocol buffer, ends at 2 GiB.
MAX_BYTES = 1 << 31
MAX_SECONDS = 3600.0
# Without a byte for this long a server is gone.
STALL_SECONDS = 30.0
MAX_REDIRECTS = 5
CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a download that would not end by itself.

    Attributes
    ----------
    size : int
        Largest size of the file in bytes.
    seconds : float
        Longest time for one call.
    stall_s : float
        Longest time without a byte.
    """

    size: int = MAX_BYTES
    seconds: float = MAX_SECONDS
    stall_s: float = STALL_SECONDS


DEFAULT_LIMITS = Limits()


def fetch_file(
    url: str, sha256: str, part: Path, progress: Progress | None = None, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Download ``url`` into ``part``, which then has the SHA-256 asked for.

    Parameters
    ----------
    url : str
        https, http or file.
    sha256 : str
        64 hexadecimal digits, from somebody you trust.
    part : Path
        Where the bytes go. What it holds already is taken for the beginning of the file: only the rest is asked for,
        and nothing at all where it is complete. After an interruption it keeps what has arrived; with a wrong checksum
        or beyond the size limit it is deleted.
    progress : callable or None
        Called with the bytes that are there and the size of the whole in bytes, None where the server does not say.
    limits : Limits

    Raises
    ------
    ModelError
        The address or checksum is none, the server refuses or breaks off, a limit is exceeded, the content has another
        checksum, or ``part`` cannot be written.
    """
    check_url(url)
    sha256 = parse_sha256(sha256)
    name = shown_url(url)
    try:
        if part.exists() and file_sha256(part) == sha256:
            return
        _download(url, name, part, progress, limits)
        got = file_sha256(part)
        if got != sha256:
            part.unlink()
            raise ModelError(
                f"expected {name} to have the SHA-256 {sha256}, got {got}, and deleted it: it is another file or was "
                "changed; check address and checksum with whoever gave them"
            )
    except OSError as error:
        raise ModelError(f"expected to keep the download in {part}, got {error}; check disc and permissions") from error


def parse_sha256(text: str) -> str:
    """Return a SHA-256 in lower case; a ModelError unless it is 64 hexadecimal digits."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", str(text)):
        raise ModelError(f"expected a SHA-256 of 64 hexadecimal digits, got {str(text)[:80]!r}; copy all of it")
    return str(text).lower()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_url(url: str) -> None:
    """Raise a ModelError unless ``url`` is an address of https, http or of a local file."""
    try:
        parts = urllib.parse.urlsplit(url)
        schemes = ("https", "http") if parts.hostname else ("file",)
        # Asking for the port checks it.
        right = (
            parts.scheme in schemes
            and parts.port != 0
            and parts.username is None
            and not re.search(r"[\x00-\x20\x7f]", url)
        )
    except ValueError:
        right = False
    if not right:
        raise ModelError(
            f"expected an address https://..., http://... or file:///... without a user name, got {shown_url(url)!r}; "
            "correct it"
        )


def shown_url(url: str) -> str:
    """Return an address as messages show it: without user name, query and fragment, which may hold secrets."""
    bare = re.sub(r"//[^/@]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])
    return bare if len(bare) <= 200 else bare[:197] + "..."


def _download(url: str, name: str, part: Path, progress: Progress | None, limits: Limits) -> None:
    """Complete ``part``; what a broken connection leaves stays in it."""
    deadline = time.monotonic() + limits.seconds
    with contextlib.ExitStack() as stack:
        answer = _ask(url, name, part.stat().st_size if part.exists() else 0, limits, stack)
        _check_size(answer.total or 0, name, part, limits)
        file = stack.enter_context(part.open("r+b" if answer.start else "wb"))
        done = file.seek(answer.start)
        file.truncate()
        while chunk := _read(answer.stream, name):
            done += len(chunk)
            _check_size(done, name, part, limits)
            file.write(chunk)
            if progress is not None:
                progress(done, answer.total)
            if time.monotonic() > deadline:
                raise ModelError(
                    f"expected {name} within {limits.seconds:g} s, got {done} bytes; fetch it again for the rest"
                )
    if answer.total is not None and done < answer.total:
        raise ModelError(
            f"expected {answer.total} bytes from {name}, the connection broke after {done}; fetch it again for the rest"
        )


def _check_size(size: int, name: str, part: Path, limits: Limits) -> None:
    if size > limits.size:
        part.unlink(missing_ok=True)
        raise ModelError(f"expected at most {limits.size} bytes from {name}, got more; check the address")


class _Answer(NamedTuple):
    """What comes from byte ``start`` of a file on, and the size of the whole file where it is known."""

    stream: http.client.HTTPResponse | io.BufferedReader
    start: int
    total: int | None


def _ask(url: str, name: str, start: int, limits: Limits, stack: contextlib.ExitStack) -> _Answer:
    """Open ``url`` from byte ``start`` on, or from byte 0 where that cannot be had; ``stack`` closes it."""
    if url.startswith("file:"):
        path = Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
        if not path.is_file():
            raise ModelError(f"expected a file at {name}, found none; check the address")
        file = stack.enter_context(path.open("rb"))
        size = path.stat().st_size
        return _Answer(file, file.seek(min(start, size)), size)
    headers = {"User-Agent": "sound-engine", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  (check_url lets only https and http pass)
    try:
        response = stack.enter_context(urllib.request.build_opener(_Redirects).open(request, timeout=limits.stall_s))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return _ask(url, name, 0, limits, stack)
        raise ModelError(
            f"expected a file at {name}, the server answered {error.code} {_one_line(error.reason)}; check the address"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ModelError(
            f"expected an answer from {name}, got none: {_one_line(reason)}; check address and connection"
        ) from error
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return _Answer(response, 0, response.length)
    range_ = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not start or range_ is None or int(range_[1]) != start:
        if not start:
            raise ModelError(f"expected the whole file from {name}, the server sends a part of it; check the address")
        return _ask(url, name, 0, limits, stack)
    return _Answer(response, start, None if range_[2] == "*" else int(range_[2]))


def _read(stream: http.client.HTTPResponse | io.BufferedReader, name: str) -> bytes:
    try:
        return stream.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(
            f"expected the rest of {name}, the connection broke: {_one_line(error)}; fetch it again for the rest"
        ) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, none of which leaves http and https or gives up encryption."""

    max_redirections = MAX_REDIRECTS
    max_repeats = 1

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        before, after = (urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl))
        if after not in ("https", before):
            fp.close()
            raise ModelError(
                f"expected {shown_url(req.full_url)} to lead to another address of {before}, it leads to "
                f"{shown_url(newurl)}; name that address, if you trust it"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _one_line(reason: object) -> str:
    text = " ".join(str(reason).split()) or type(reason).__name__
    return text if len(text) <= 200 else text[:197] + "..."
