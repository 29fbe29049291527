"""When a recording was made: from what its recorder wrote into it, or from its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


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
        "guano", "bext", "audiomoth" or "name".
    """

    begin: datetime
    utc_offset_min: int | None
    origin: str


def recorded_at(uri: str, source: Any) -> Recorded | None:
    """Return when a recording was made, None where nothing says so."""
    return None
