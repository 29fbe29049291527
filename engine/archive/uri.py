"""How recordings are named: by a path, by the URL of an object store, or as a member of a zip or tar file.

``zip://MEMBER::CONTAINER`` and ``tar://MEMBER::CONTAINER`` are fsspec's chained URLs; the container is a path or a URL.
The last ``::`` separates, so that a member may have any name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.errors import ConfigError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_MEMBER = re.compile(r"(zip|tar)://")
# The authority of a URL with a password in it.
_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")


@dataclass(frozen=True, slots=True)
class Member:
    """A name inside a zip or tar file.

    Attributes
    ----------
    kind : str
        "zip" or "tar".
    name : str
        Of the member; empty where the whole container is meant.
    container : str
        A path or a URL.
    """

    kind: str
    name: str
    container: str

    @property
    def uri(self) -> str:
        """The name of the member for the outside."""
        return f"{self.kind}://{self.name}::{self.container}"


def member_of(uri: str) -> Member | None:
    """Return what a URI names inside a container, None where it names a file of its own.

    Examples
    --------
    >>> member_of("zip://day/a.wav::/archives/2024.zip")
    Member(kind='zip', name='day/a.wav', container='/archives/2024.zip')
    >>> member_of("tar://s3://bucket/2024.tar.gz")
    Member(kind='tar', name='', container='s3://bucket/2024.tar.gz')
    >>> member_of("/archives/2024.zip") is None
    True
    """
    scheme = _MEMBER.match(uri)
    if scheme is None:
        return None
    name, _, container = uri[scheme.end() :].rpartition("::")
    return Member(scheme[1], name, container)


def is_url(name: str) -> bool:
    """Return whether a name is a URL; everything else is a path."""
    return _URL.match(name) is not None


def file_name(uri: str) -> str:
    """Return the last part of the path that a URI has."""
    member = member_of(uri)
    return re.split(r"[/\\]" if "://" not in uri else "/", uri if member is None else member.name)[-1]


def check_storable(name: str) -> None:
    """Raise a ConfigError for a name with a password in it: an archive's files keep names, and are passed on."""
    password = _PASSWORD.search(name) if is_url(name) else None
    if password is not None:
        shown = name[: password.start()] + "://...@" + name[password.end() :]
        raise ConfigError(
            f"expected a URL without a password, got {shown!r}; give credentials by the environment or the store's own "
            "settings"
        )
