"""Which items a search may find."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.archive.arrow import pyarrow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Filters:
    """Which items may be found; what is not given allows all.

    Attributes
    ----------
    tags : sequence of str
        At least one of them.
    without_tags : sequence of str
        None of them.
    paths, without_paths : sequence of str
        Patterns with ``*`` and ``?`` for the whole path: one of the first, none of the second.
    min_duration_s, max_duration_s : float or None
        Of the recording.
    exclude_same_recording : bool
        Leave out the recordings that the query or an example was cut from: the same item's, path's or bytes'.
    """

    tags: Sequence[str] = field(default=())
    without_tags: Sequence[str] = field(default=())
    paths: Sequence[str] = field(default=())
    without_paths: Sequence[str] = field(default=())
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    exclude_same_recording: bool = False

    def allowed(self, items: Any) -> NDArray[np.bool_] | None:
        """Return which items any query may find, shape (n_items,); None where all may.

        Parameters
        ----------
        items : pyarrow.Table
        """
        if self == Filters(exclude_same_recording=self.exclude_same_recording):
            return None
        allowed = np.ones(len(items), bool)
        if self.tags:
            allowed &= _tagged(items, self.tags)
        if self.without_tags:
            allowed &= ~_tagged(items, self.without_tags)
        if self.paths or self.without_paths:
            coded = items["path"].combine_chunks().dictionary_encode()
            names = coded.dictionary.to_pylist()
            fits = [
                (not self.paths or any(fnmatch(name, pattern) for pattern in self.paths))
                and not any(fnmatch(name, pattern) for pattern in self.without_paths)
                for name in names
            ]
            allowed &= np.array(fits, bool)[np.asarray(coded.indices)]
        duration = np.asarray(items["duration_s"])
        if self.min_duration_s is not None:
            allowed &= duration >= self.min_duration_s
        if self.max_duration_s is not None:
            allowed &= duration <= self.max_duration_s
        return allowed


def _tagged(items: Any, tags: Sequence[str]) -> NDArray[np.bool_]:
    """Return which items have one of the tags."""
    compute, column = pyarrow().compute, items["tags"].combine_chunks()
    wanted = compute.is_in(compute.list_flatten(column), value_set=pyarrow().array(tags, pyarrow().string()))
    tagged = np.zeros(len(items), bool)
    tagged[np.asarray(compute.list_parent_indices(column))[np.asarray(wanted)]] = True
    return tagged
