"""A model in use: its card, its front end and its network. Sound goes in, the named outputs of every window come out.

On the CPU the network sees one window at a time: batches were never faster there, and so a window's outputs cannot
depend on its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.audio import AudioReader, open_audio
from engine.card import read_card
from engine.card_parts import CONTENT_AXES
from engine.errors import AudioError, ModelError
from engine.frontend import LogMel
from engine.registry import find_model
from engine.results import Clip, Window
from engine.session import Session
from engine.structure import check_structure
from engine.windows import cut_windows

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from engine.card import ModelCard

BLOCK_SAMPLES = 1 << 16


class Model:
    """A network with its card. Threads may share it; it pickles as what it was opened from.

    Parameters
    ----------
    session : Session
    card : ModelCard

    Raises
    ------
    ModelError
        The network does not have the inputs and outputs that the card describes.
    """

    def __init__(self, session: Session, card: ModelCard) -> None:
        check_structure(card, session.inputs, session.outputs)
        self.card = card
        self._session = session
        self._front_end = None if card.frontend is None else LogMel(card.frontend)

    @classmethod
    def open(
        cls, model: str | os.PathLike[str] | None = None, device: str = "auto", threads: int | None = None
    ) -> Model:
        """Open a model by the name of a shipped one or by path; None is the default model.

        Parameters
        ----------
        model : str, path or None
        device : str
            "auto", "cpu", "cuda" or "cuda:N"; see ``Session``.
        threads : int or None
            None is every CPU this process may use.

        Raises
        ------
        ModelError
            No such model, a damaged file, no card, or a card at odds with the network.
        DeviceError
            The device was asked for by name and cannot run here.
        """
        path = find_model(model)
        session = Session(path, device, threads)
        try:
            return cls(session, read_card(session.metadata))
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error

    @property
    def device(self) -> str:
        """Where the network runs: "cpu" or "cuda:N"."""
        return self._session.device

    @property
    def threads(self) -> int:
        """How many threads one call may use."""
        return self._session.threads

    @property
    def sample_rate(self) -> int:
        """The rate in Hz at which the model hears; a ModelError for one that takes embeddings instead of sound."""
        if self.card.sample_rate is None:
            raise ModelError(
                f"expected a model that takes sound, {self.card.name!r} takes rows of embeddings; choose another model"
            )
        return self.card.sample_rate

    def __reduce__(self) -> tuple[type[Model], tuple[Session, ModelCard]]:
        return type(self), (self._session, self.card)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, device={self.device!r}, threads={self.threads})"

    def __call__(self, source: Any, channel: int | None = None) -> Clip:
        """Return the outputs for a whole recording; see ``windows`` for parameters and errors."""
        with open_audio(source, sample_rate=self.sample_rate, channel=channel) as reader:
            windows = tuple(self._windows(reader))
            path = reader.name
        return Clip(
            path=path,
            duration_s=windows[-1].end_s,
            labels=self.card.labels,
            scores=self._reduce_scores(windows),
            embedding=self._reduce_embeddings(windows),
            windows=windows,
            thresholds=self.card.thresholds,
        )

    def windows(self, source: Any, channel: int | None = None) -> Iterator[Window]:
        """Yield the windows of a recording in time order, reading as far as is needed; memory stays constant.

        Parameters
        ----------
        source : path, bytes, binary file, (samples, sample_rate) or {"array", "sampling_rate"}
            See ``engine.audio.open_audio``.
        channel : int or None
            The channel to take; None averages all.

        Raises
        ------
        AudioError
            The audio is unreadable, empty or not finite.
        ModelError
            The model takes no sound, or fails on a window.
        """
        with open_audio(source, sample_rate=self.sample_rate, channel=channel) as reader:
            yield from self._windows(reader)

    def run_window(self, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return scores, shape (n_labels,), and embedding, shape (embedding_size,) or None, of one window.

        Parameters
        ----------
        samples : ndarray, shape (n_samples,), float32
            At the model's rate, padded as the card says.
        """
        outputs = self.card.outputs
        names = [output.name for output in (outputs.scores, outputs.embedding) if output is not None]
        feed = _arrange(self._content(samples), CONTENT_AXES[self.card.input.kind], self.card.input.axes)
        values = dict(zip(names, self._session.run(names, {self.card.input.name: feed}), strict=True))
        scores, embedding = np.zeros(0, np.float32), None
        if outputs.scores is not None:
            scores = _vector(outputs.scores.name, values[outputs.scores.name], len(self.card.labels))
        if outputs.embedding is not None:
            embedding = _vector(outputs.embedding.name, values[outputs.embedding.name], self.card.embedding_size)
        return scores, embedding

    def _windows(self, reader: AudioReader) -> Iterator[Window]:
        rate = self.sample_rate
        for cut in cut_windows(reader.blocks(BLOCK_SAMPLES), self.card.window, self.card.hop, self.card.pad):
            try:
                scores, embedding = self.run_window(cut.samples)
            except AudioError as error:  # samples beyond what the front end can square; it knows no names
                raise AudioError(f"{reader.label}, window from {cut.start / rate:.3f} s: {error}") from error
            yield Window(cut.start / rate, cut.end / rate, scores, embedding)

    def _content(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._front_end is None:
            return samples
        if self._front_end.n_frames(samples.size) == 0:
            # Only an unpadded last window is that short; zeros complete its one frame, so that nothing is dropped.
            shortest = max(self._front_end.config.win_length, self._front_end.config.hop_length)
            samples = np.pad(samples, (0, shortest - samples.size))
        return self._front_end(samples)

    def _reduce_scores(self, windows: Sequence[Window]) -> NDArray[np.float32]:
        scores = np.stack([window.scores for window in windows])
        reduced: NDArray[np.float64] = (
            scores.max(axis=0) if self.card.reduce == "max" else scores.mean(axis=0, dtype=np.float64)
        )
        return reduced.astype(np.float32)

    def _reduce_embeddings(self, windows: Sequence[Window]) -> NDArray[np.float32] | None:
        embeddings = [window.embedding for window in windows if window.embedding is not None]
        if not embeddings:
            return None
        mean: NDArray[np.float64] = np.mean(embeddings, axis=0, dtype=np.float64)
        length = np.linalg.norm(mean)
        # Embeddings that cancel have no direction: their mean stays zero.
        if self.card.embedding_normalised and length > 0:
            mean = mean / length
        return mean.astype(np.float32)


def _arrange(content: NDArray[np.float32], axes: Sequence[str], wanted: Sequence[str]) -> NDArray[np.float32]:
    """Return ``content`` with its axes in the wanted order, and an axis of length one for each that it lacks."""
    ordered = content.transpose([axes.index(axis) for axis in wanted if axis in axes])
    lengths = iter(ordered.shape)
    return np.ascontiguousarray(ordered.reshape([next(lengths) if axis in axes else 1 for axis in wanted]))


def _vector(name: str, value: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    """Return an output of one window as a vector; a wrong number of values, or one not finite, is a ModelError."""
    if value.size != size:
        raise ModelError(
            f"expected {size} values in the output {name!r} for one window, as the card says, got the shape "
            f"{value.shape}; correct the card"
        )
    if not np.isfinite(value).all():
        raise ModelError(f"expected finite values in the output {name!r}, got NaN or infinity; the weights are damaged")
    return value.reshape(-1)
