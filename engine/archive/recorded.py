"""When a recording was made: from what its recorder wrote into it, or from its name.

A recorder's clock is taken as it is. What it is ahead of UTC is kept beside the time where the recorder says so; where
it does not, nothing is assumed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.archive.riff import info_comment, read_chunks
from engine.archive.uri import file_name
from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

# Best first: editors rewrite the Broadcast Wave chunk, and names are changed by anybody.
_ORIGINS = ("guano", "audiomoth", "bext", "name")
# The first AudioMoth was sold in 2017; what an 8-digit name would mean before that is something else.
_FIRST_HEX_NAME = 0x58684680
_GUANO_TIME = re.compile(r"^Timestamp\s*:[ \t]*(\d{4}-\d\d-\d\d[T ][^\r\n\0]*)", re.MULTILINE)
_BEXT_TIME = re.compile(r"(\d{4})[-_:. /](\d\d)[-_:. /](\d\d)(\d\d)[-_:. ](\d\d)[-_:. ](\d\d)")
_BEXT_TIME_BYTES = slice(320, 338)
_AUDIOMOTH_TIME = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(\.\d{1,6})? (\d\d)/(\d\d)/(\d{4}) "
    r"(\(UTC(?:([+-])(\d{1,2})(?::(\d\d))?)?\) )?by \S*Moth"
)
_NAME_TIME = re.compile(r"(?<!\d)((?:19|20)\d{6})([_T-]?)(\d{6})(Z|[+-]\d{4}(?!\d))?(?!\d)")
# What the codes of strptime stand for in a name.
_CODES = {
    **dict.fromkeys(("%m", "%d", "%H", "%M", "%S", "%y"), r"\d\d"),
    "%Y": r"\d{4}",
    "%j": r"\d{3}",
    "%f": r"\d{1,6}",
    "%z": r"(?:Z|[+-]\d\d:?\d\d)",
    "%%": "%",
}
_HEX_NAME = re.compile(r"([0-7][0-9A-F]{7})\.[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Recorded:
    """When a recording began.

    Attributes
    ----------
    begin : datetime
        By the recorder's clock, without a time zone.
    utc_offset_min : int or None
        What that clock is ahead of UTC in minutes, where known.
    origin : str
        "guano", "audiomoth", "bext" or "name".
    """

    begin: datetime
    utc_offset_min: int | None
    origin: str


def recorded_at(uri: str, source: Any, pattern: str | None = None) -> Recorded | None:
    """Return when a recording was made, None where nothing says so.

    A pattern that is given comes first. What is inside a WAV file comes before the names that are known: GUANO, then
    AudioMoth's comment, then the Broadcast Wave chunk (``bext``). A time that cannot be is passed over.

    Names that are known hold YYYYMMDD_HHMMSS, as Song Meters and AudioMoths write them, also with "T", "-" or nothing
    for "_", followed by "Z" for UTC, or after "T" by an offset such as +1000; or they are eight hexadecimal digits,
    the seconds since 1970 in UTC of the first AudioMoths.

    Parameters
    ----------
    uri : str
        The name.
    source : path or binary file object
        The recording; a file object keeps its position.
    pattern : str, optional
        How names hold the time, in the codes of ``strptime`` from %Y %y %m %d %j %H %M %S %f %z, with at least a date
        and an hour: "%d-%m-%Y %Hh%M" finds it in "hut 06-04-2018 19h17 b.wav".

    Raises
    ------
    ConfigError
        The pattern has other codes, one of them twice, or no whole date and hour.
    """
    if pattern is not None and (recorded := _by_pattern(file_name(uri), pattern)) is not None:
        return recorded
    if not hasattr(source, "read"):
        with Path(source).open("rb") as file:
            return _from_chunks(file) or _from_name(file_name(uri))
    position = source.tell()
    try:
        return _from_chunks(source) or _from_name(file_name(uri))
    finally:
        source.seek(position)


def _from_chunks(file: Any) -> Recorded | None:
    times = [_READERS[identifier](content) for identifier, content in read_chunks(file, _READERS)]
    return min((time for time in times if time is not None), key=lambda time: _ORIGINS.index(time.origin), default=None)


def _from_guano(content: bytes) -> Recorded | None:
    """Read the field Timestamp of the GUANO specification 1.0, ISO 8601 with or without an offset."""
    field = _GUANO_TIME.search(content.decode("utf-8", "replace"))
    try:
        time = datetime.fromisoformat(field[1].strip()) if field else None
    except ValueError:
        time = None
    return None if time is None else _recorded(time, "guano")


def _from_bext(content: bytes) -> Recorded | None:
    """Read OriginationDate and OriginationTime of EBU Tech 3285, which have no time zone."""
    field = _BEXT_TIME.fullmatch(content[_BEXT_TIME_BYTES].decode("latin-1"))
    return _recorded_parts(*map(int, field.groups()), origin="bext") if field else None


def _from_info(content: bytes) -> Recorded | None:
    """Read the sentence that AudioMoths write; their earliest firmware said no time zone."""
    field = _AUDIOMOTH_TIME.match(info_comment(content) or "")
    if field is None:
        return None
    hour, minute, second, fraction, day, month, year, zone, sign, hours, minutes = field.groups()
    offset = None
    if zone:
        # The sign covers hours and minutes.
        offset = (int(hours or 0) * 60 + int(minutes or 0)) * (-1 if sign == "-" else 1)
    return _recorded_parts(
        *map(int, (year, month, day, hour, minute, second)),
        microsecond=round(float(fraction or 0) * 1e6),
        offset=offset,
        origin="audiomoth",
    )


_READERS: dict[bytes, Callable[[bytes], Recorded | None]] = {
    b"guan": _from_guano,
    b"bext": _from_bext,
    b"LIST": _from_info,
}


def _from_name(name: str) -> Recorded | None:
    for field in _NAME_TIME.finditer(name):
        date, separator, time, zone = field.groups()
        # Behind "_", digits with a sign are a number of something; an offset belongs to ISO 8601, with its "T".
        known = zone if zone == "Z" or separator == "T" else None
        try:
            begin = datetime.strptime(f"{date}{time}{known or ''}", "%Y%m%d%H%M%S" + ("%z" if known else ""))  # noqa: DTZ007
        except ValueError:
            continue
        return _recorded(begin, "name")
    hexadecimal = _HEX_NAME.fullmatch(name)
    seconds = int(hexadecimal[1], 16) if hexadecimal else 0
    return _recorded(datetime.fromtimestamp(seconds, UTC), "name") if seconds >= _FIRST_HEX_NAME else None


def _by_pattern(name: str, pattern: str) -> Recorded | None:
    for field in name_expression(pattern).finditer(name):
        try:
            return _recorded(datetime.strptime(field[0], pattern), "name")  # noqa: DTZ007 - the recorder's clock
        except ValueError:
            continue
    return None


@lru_cache(maxsize=8)
def name_expression(pattern: str) -> re.Pattern[str]:
    """Return what a pattern of times finds in names; a ConfigError for one that ``recorded_at`` cannot use."""
    parts = re.split(r"(%.?)", pattern)
    codes = set(parts[1::2])
    repeated = any(parts.count(code) > 1 for code in codes - {"%%"})
    dated = bool(codes & {"%Y", "%y"}) and (codes >= {"%m", "%d"} or "%j" in codes) and "%H" in codes
    if not codes <= set(_CODES) or not dated or repeated:
        raise ConfigError(
            f"expected a pattern of {' '.join(_CODES)}, each once, with a date and an hour, got {pattern!r}; write "
            "'%Y%m%d_%H%M%S' for example"
        )
    expression = "".join(_CODES[part] if part in _CODES else re.escape(part) for part in parts)
    return re.compile(rf"(?<!\d){expression}(?!\d)")


def _recorded_parts(*parts: int, origin: str, microsecond: int = 0, offset: int | None = None) -> Recorded | None:
    year, month, day, hour, minute, second = parts
    try:
        begin = datetime(year, month, day, hour, minute, second, microsecond)  # noqa: DTZ001 - the recorder's clock
    except ValueError:
        return None
    return Recorded(begin, offset, origin)


def _recorded(time: datetime, origin: str) -> Recorded:
    offset = time.utcoffset()
    return Recorded(time.replace(tzinfo=None), None if offset is None else offset // timedelta(minutes=1), origin)
