"""Whether an index is what its header says: every byte of it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.errors import ArchiveError
from engine.index.layout import sha256_of

if TYPE_CHECKING:
    from engine.index.contents import Contents

_BLOCK = 65_536
# Rows of a cosine index have length one but for rounding to float32.
_LENGTH_TOLERANCE = 1e-5


def verify(index: Contents) -> None:
    """Raise ArchiveError where a file was changed, or a vector is not one that the index keeps."""
    header, folder = index.header, index.folder
    for name, expected in ((header.vectors_name, header.vectors_sha256), (header.items_name, header.items_sha256)):
        found = sha256_of(folder / name)
        if found != expected:
            raise ArchiveError(
                f"expected {folder / name} with the hash {expected[:12]}, got {found[:12]}; build the index again"
            )
    for start in range(0, len(index), _BLOCK):
        block = np.asarray(index.vectors[start : start + _BLOCK])
        bad = ~np.isfinite(block).all(axis=1)
        if header.metric == "cosine":
            lengths = np.linalg.norm(block, axis=1)
            bad |= (np.abs(lengths - 1) > _LENGTH_TOLERANCE) & (lengths > 0)
        if bad.any():
            item = start + int(np.flatnonzero(bad)[0])
            raise ArchiveError(
                f"expected finite vectors of length one in {folder}, got another at item {item}; build the index again"
            )
