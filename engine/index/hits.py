"""What a search gives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hit:
    """One stretch of a recording that a search found.

    Attributes
    ----------
    rank : int
        From 1; pages go on counting.
    item : int
        Its row in ``Index.items`` and ``Index.vectors``; valid for this version of the index.
    path : str
    start_s, end_s : float
        Where in the recording, in seconds.
    score : float
        Higher is nearer: the cosine, the inner product, or 1 / (1 + Euclidean distance).
    tags : tuple of str
    recording_id : int
        The same for all items of one recording.
    n_alike : int
        How many near-duplicates this hit stands for, itself left out.
    """

    rank: int
    item: int
    path: str
    start_s: float
    end_s: float
    score: float
    tags: tuple[str, ...] = ()
    recording_id: int = 0
    n_alike: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON."""
        return asdict(self) | {"tags": list(self.tags)}
