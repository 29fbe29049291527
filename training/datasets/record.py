"""What every loader returns: one small value per recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled recording.

    Attributes
    ----------
    path : Path
        The audio file.
    label : str
        A readable word.
    fold : int
        The publisher's cross-validation fold; no source is in two of them.
    source : str
        What the clip was cut from; clips of one source belong to the same side of every split.
    """

    path: Path
    label: str
    fold: int
    source: str
