"""Libraries that are ranked: encoded references, stored in an index or held in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Library(Protocol):
    """Encoded references: an ``engine.Index``, or what ``Ranker.encode`` gives."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Embeddings, shape (n, size); may be memory-mapped."""

    @property
    def items(self) -> Any:
        """What each vector stands for: a sequence of ``Reference``, or a pyarrow table with columns of those names."""

    @property
    def model_sha256(self) -> str:
        """That of the model whose embeddings they are."""

    @property
    def normalised(self) -> bool:
        """Whether the embeddings were brought to length one."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One window of a reference; ``path`` is empty for sound that came without one."""

    path: str
    start_s: float
    end_s: float
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """References encoded in memory; for a library that lasts make an ``engine.Index`` with the same model.

    Attributes
    ----------
    items : tuple of Reference
    vectors : ndarray, shape (n, embedding_size), float32
    model_sha256 : str
    normalised : bool
        False: they are what the model gave.
    """

    items: tuple[Reference, ...]
    vectors: NDArray[np.float32]
    model_sha256: str
    normalised: bool = False


def paths_of(items: Any) -> list[str]:
    """Return the path of every item of a library."""
    return items["path"].to_pylist() if hasattr(items, "take") else [item.path for item in items]


def items_at(items: Any, order: NDArray[np.intp]) -> list[Reference]:
    """Return the items of a library at these rows."""
    if not hasattr(items, "take"):
        return [items[int(i)] for i in order]
    rows = items.select(["path", "start_s", "end_s", "tags"]).take(order).to_pylist()
    return [Reference(**{**row, "tags": tuple(row["tags"] or ())}) for row in rows]
