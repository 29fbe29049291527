"""Embeddings of sound: the second verb over a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import ModelError
from engine.verb import Verb

if TYPE_CHECKING:
    import os


class Embedder(Verb):
    """Turns recordings into vectors, near for sounds that are alike.

    Parameters
    ----------
    model, device, threads
        As for ``Verb``.

    Raises
    ------
    ModelError
        The model cannot be used, or gives no embedding.
    DeviceError
        The device was asked for by name and cannot run here.

    Examples
    --------
    >>> embedder = Embedder()
    >>> clip = embedder("examples/rain.flac")
    >>> clip.embedding.shape == (embedder.embedding_size,)
    True
    """

    def __init__(
        self, model: str | os.PathLike[str] | None = None, device: str = "auto", threads: int | None = None
    ) -> None:
        super().__init__(model, device, threads)
        if self.card.embedding_size is None:
            raise ModelError(f"expected a model with an embedding, {self.card.name!r} has none; use engine.Tagger")
        self._embedding_size = self.card.embedding_size

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""
        return self._embedding_size
