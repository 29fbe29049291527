"""Tags for sound: the first verb over a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from engine.errors import ModelError
from engine.verb import Verb

if TYPE_CHECKING:
    import os

    from engine.options import CallOptions
    from engine.results import Clip


class Tagger(Verb):
    """Says what is heard in a recording.

    Parameters
    ----------
    model, device, threads
        As for ``Verb``.

    Raises
    ------
    ModelError
        The model cannot be used, or gives no scores.
    DeviceError
        The device was asked for by name and cannot run here.

    Examples
    --------
    >>> with Tagger() as tagger:
    ...     clip = tagger("examples/rain.flac", top_k=1)
    >>> clip.tags[0].label
    'rain'
    """

    def __init__(
        self, model: str | os.PathLike[str] | None = None, device: str = "auto", threads: int | None = None
    ) -> None:
        super().__init__(model, device, threads)
        if not self.card.labels:
            raise ModelError(f"expected a model that scores labels, {self.card.name!r} has none; use engine.Embedder")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the scores."""
        return self.card.labels

    def embed(self, source: Any, *, channel: int | None = None, **options: Unpack[CallOptions]) -> Clip:
        """Return tags and embeddings of a recording in one pass; parameters and errors as for a call.

        Raises
        ------
        ModelError
            The model has no embedding.
        """
        if self.card.embedding_size is None:
            raise ModelError(f"expected a model with an embedding, {self.card.name!r} has none; choose another model")
        return self._model(source, channel=channel, **options)

    def from_embeddings(self, rows: Any, *, row_s: float | None = None, **options: Unpack[CallOptions]) -> Clip:
        """Return the result for a recording that is given as embeddings, for a model that takes those.

        Parameters
        ----------
        rows : array_like, shape (n_frames, n_features)
        row_s : float or None
            Seconds from one row to the next; the card's by default.
        **options
            As for a call.

        Raises
        ------
        AudioError
            Rows of another shape, none at all, or not finite.
        ModelError
            The model takes sound.
        """
        return self._model.rows(rows, row_s, **options)
