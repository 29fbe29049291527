"""Tags for sound: the first verb over a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import ModelError
from engine.model import Model

if TYPE_CHECKING:
    import os

    from engine.card import ModelCard
    from engine.results import Clip


class Tagger:
    """Says what is heard in a recording. Threads may share one; it can be pickled.

    Parameters
    ----------
    model : str, path or None
        The name of a shipped model or the path of an .onnx file with a card; None is the shipped default.
    device : str
        "auto", "cpu", "cuda" or "cuda:N". A device asked for by name runs or raises; "auto" logs once what it took.
    threads : int or None
        Threads that one call may use; None is every CPU this process may use. Results do not depend on it.

    Raises
    ------
    ModelError
        The model cannot be used, or gives no scores.
    DeviceError
        The device was asked for by name and cannot run here.

    Examples
    --------
    >>> tagger = Tagger()
    >>> clip = tagger("examples/rain.flac")
    >>> clip.top(1)[0].label
    'rain'
    """

    def __init__(
        self, model: str | os.PathLike[str] | None = None, device: str = "auto", threads: int | None = None
    ) -> None:
        self._model = Model.open(model, device, threads)
        if self.card.outputs.scores is None:
            raise ModelError(f"expected a model that scores labels, {self.card.name!r} has none; use engine.Embedder")

    def __call__(self, source: Any, channel: int | None = None) -> Clip:
        """Return scores, and the embedding where the model has one, for a recording and for each of its windows.

        Parameters
        ----------
        source : path, bytes, binary file, (samples, sample_rate) or {"array", "sampling_rate"}
            Arrays have the shape (n_samples,) or (n_samples, n_channels); any sample rate.
        channel : int or None
            The channel to take; None averages all.

        Returns
        -------
        Clip

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
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the scores."""
        return self.card.labels

    @property
    def device(self) -> str:
        """Where the network runs: "cpu" or "cuda:N", read back from the runtime."""
        return self._model.device

    @property
    def threads(self) -> int:
        """How many threads one call may use."""
        return self._model.threads

    def __repr__(self) -> str:
        return f"Tagger({self.card.name!r}, device={self.device!r}, threads={self.threads})"
