"""What the page shows, to whom, and how much it takes."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

HERE = "127.0.0.1"
PORT = 7860
LEAST_TOKEN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings:
    """The settings of ``engine app``.

    Attributes
    ----------
    model : str or None
        Name or path of the model to tag with; None is the default model.
    index : Path or None
        To search in.
    archives : tuple of Path
        Folders of archive runs.
    reports : tuple of Path
        Of ``engine bench``.
    host : str
        The address to listen at.
    port : int
        0 is any that is free.
    token : str or None
        What a visitor must know; made up where it is needed and not given.
    certfile, keyfile : Path or None
        For HTTPS.
    max_mb, max_minutes : float
        The largest and the longest recording that is taken from a visitor.
    shares_recordings : bool
        Whether visitors hear and see the recordings of indexes and archives, or their names only.
    device : str
    threads : int or None
    """

    model: str | None = None
    index: Path | None = None
    archives: tuple[Path, ...] = ()
    reports: tuple[Path, ...] = ()
    host: str = HERE
    port: int = PORT
    token: str | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    max_mb: float = 100.0
    max_minutes: float = 10.0
    shares_recordings: bool = True
    device: str = "auto"
    threads: int | None = None

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine reach the page."""
        return is_loopback(self.host)

    @property
    def scheme(self) -> str:
        """http, or https with a certificate."""
        return "http" if self.certfile is None else "https"

    @property
    def has_microphone(self) -> bool:
        """Whether browsers let the page record: they ask for HTTPS, or for a page of their own machine."""
        return self.is_local or self.certfile is not None

    @property
    def max_bytes(self) -> int:
        """The largest recording in bytes."""
        return round(self.max_mb * 1e6)

    @property
    def max_s(self) -> float:
        """The longest recording in seconds."""
        return 60.0 * self.max_minutes

    def needed_token(self) -> str | None:
        """Return what visitors must know: the given token, one made up for other machines, or None on this one."""
        if self.token is not None or self.is_local:
            return self.token
        return secrets.token_urlsafe(18)


def check_settings(settings: AppSettings) -> None:
    """Raise a ConfigError for settings that cannot be served."""
    if not 0 <= settings.port <= 65_535:
        raise ConfigError(f"expected a port from 0 to 65535, got {settings.port}; choose another with --port")
    if settings.token is not None and len(settings.token) < LEAST_TOKEN:
        raise ConfigError(
            f"expected a token of at least {LEAST_TOKEN} characters, got {len(settings.token)}; choose a longer one, "
            "or leave --token out to have one made up"
        )
    if settings.token is not None and not re.fullmatch(r"[A-Za-z0-9._~-]*", settings.token):
        raise ConfigError(
            "expected a token of letters, digits, '.', '_', '~' and '-', which an address holds as they are, got "
            "others as well; choose another"
        )
    if (settings.certfile is None) != (settings.keyfile is None):
        given, missing = ("--certfile", "--keyfile") if settings.keyfile is None else ("--keyfile", "--certfile")
        raise ConfigError(f"expected --certfile together with --keyfile, got {given} alone; add {missing}")
    for name, value in (("--max-mb", settings.max_mb), ("--max-minutes", settings.max_minutes)):
        if not 0 < value < 1e6:
            raise ConfigError(f"expected {name} above 0 and below a million, got {value:g}; change it")
    if settings.certfile is not None and settings.keyfile is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.certfile, settings.keyfile)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(
                f"expected a certificate and its key in PEM files, cannot use {settings.certfile} and "
                f"{settings.keyfile} ({error.strerror or error}); check the paths and that they belong together"
            ) from error


def listening(settings: AppSettings) -> socket.socket:
    """Return a socket that listens at the settings' address.

    Raises
    ------
    ConfigError
        The address is not this machine's, or the port is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(
            f"expected an address of this machine, got {settings.host!r} ({error.strerror}); use 127.0.0.1, or 0.0.0.0 "
            "for all of them"
        ) from error
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)
    except OSError as error:
        opened.close()
        raise ConfigError(
            f"expected a free port, cannot listen at {settings.host} port {settings.port} ({error.strerror}); choose "
            "another with --port, or 0 for any"
        ) from error
    return opened


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from its own machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
