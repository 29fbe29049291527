"""Embeddings of sound: the second verb over a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import ModelError
from engine.model import Model

if TYPE_CHECKING:
    import os

    from engine.card import ModelCard
    from engine.results import Clip


class Embedder:
    """Turns recordings into vectors, near for sounds that are alike. Threads may share one; it can be pickled.

    Parameters
    ----------
    model, device, threads
        As for ``Tagger``.

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
        self._model = Model.open(model, device, threads)
        if self.card.embedding_size is None:
            raise ModelError(f"expected a model with an embedding, {self.card.name!r} has none; use engine.Tagger")
        self._embedding_size = self.card.embedding_size

    def __call__(self, source: Any, channel: int | None = None) -> Clip:
        """Return the embedding of a recording and of each of its windows.

        Parameters
        ----------
        source : path, bytes, binary file, (samples, sample_rate) or {"array", "sampling_rate"}
            Arrays have the shape (n_samples,) or (n_samples, n_channels); any sample rate.
        channel : int or None
            The channel to take; None averages all.

        Returns
        -------
        Clip
            With ``embedding`` set, and in each of ``windows`` too. ``labels`` and ``scores`` are empty where the model
            has none.

        Raises
        ------
        AudioError
            The audio is unreadable, empty or not finite.
        """
        return self._model(source, channel)

    @property
    def card(self) -> ModelCard:
        """What the model says about itself."""
        return self._model.card

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""
        return self._embedding_size

    @property
    def device(self) -> str:
        """Where the network runs: "cpu" or "cuda:N", read back from the runtime."""
        return self._model.device

    @property
    def threads(self) -> int:
        """How many threads one call may use."""
        return self._model.threads

    def __repr__(self) -> str:
        return f"Embedder({self.card.name!r}, device={self.device!r}, threads={self.threads})"
