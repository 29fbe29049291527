"""A model in use: its card, its front end and its network. Sound goes in, the named outputs of every window come out.

On the CPU the network sees one window at a time: batches were never faster there, and so a window's outputs cannot
depend on its neighbours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Self, Unpack

import numpy as np

from engine.audio import AudioReader, open_audio
from engine.card import read_card
from engine.errors import AudioError, Cancelled, ConfigError, ModelError
from engine.frontend import LogMel
from engine.listener import Listener
from engine.network import Network, mean_embedding, reduced
from engine.options import CallOptions, ResolvedOptions, resolve
from engine.registry import find_model
from engine.results import Clip, Window
from engine.session import Session

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from numpy.typing import NDArray

    from engine.batch_sweep import BatchSweep
    from engine.card import ModelCard

BLOCK_SAMPLES = 1 << 16


class Cancel(Protocol):
    """What stops a long call: a ``threading.Event``, or anything else with ``is_set``."""

    def is_set(self) -> bool:
        """Return whether to stop."""


class Model:
    """A network with its card. Threads may share it; it pickles as what it was opened from.

    Of a network of two towers it is the reference tower; see ``engine.two_tower``.

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
        self.card = card
        if card.query is not None:
            assert card.outputs.embedding is not None
            session = session.cut((card.input.name,), (card.outputs.embedding.name,))
        self._session = session
        self._network = Network(session, card)
        self._front_end = None if card.frontend is None else LogMel(card.frontend, warn_empty=False)
        self._on_device = session.device != "cpu"
        self._batches = self._network.takes_batches and self._on_device
        self._plain = None if card.sample_rate is None else resolve(card, card.sample_rate, batches=self._batches)

    @classmethod
    def open(
        cls, model: str | os.PathLike[str] | None = None, device: str = "auto", threads: int | None = None
    ) -> Self:
        """Open a model by name or by path; None is the default model.

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
    def session(self) -> Session:
        """What runs the network."""
        return self._session

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
                f"expected a model that takes sound, {self.card.name!r} takes rows of embeddings; give them to "
                "Tagger.from_embeddings, or choose another model"
            )
        return self.card.sample_rate

    @property
    def n_features(self) -> int | None:
        """How many features each row must have; None for a model that takes sound, or rows of any width."""
        return self._network.fixed_width

    def __reduce__(self) -> tuple[Callable[[Session, ModelCard], Model], tuple[Session, ModelCard]]:
        return _opened_again, (self._session, self.card)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, device={self.device!r}, threads={self.threads})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the network and its memory; a call after that is a ModelError."""
        self._session.close()

    @property
    def batch_sweeps(self) -> tuple[BatchSweep, ...]:
        """What ``batch_size="auto"`` has measured so far, one for each shape of window; empty on a CPU."""
        return self._network.batch_sweeps

    def warmup(self, **options: Unpack[CallOptions]) -> None:
        """Run windows of silence, so that the first recording is no slower than the next ones.

        What a first call costs (memory to allocate, on a GPU algorithms to choose, with ``batch_size="auto"`` the
        measurement) is paid here. ``options`` are those that calls will have.
        """
        if self.card.sample_rate is None:
            return
        resolved = self._resolved(self.sample_rate, options)
        n_samples = (resolved.batch_size or 1) * resolved.hop + resolved.window
        self((np.zeros(n_samples, np.float32), self.sample_rate), **options)

    def __call__(
        self,
        source: Any,
        *,
        channel: int | None = None,
        progress: Callable[[float], object] | None = None,
        cancel: Cancel | None = None,
        **options: Unpack[CallOptions],
    ) -> Clip:
        """Return the outputs for a whole recording.

        Parameters
        ----------
        source, channel, **options
            As for ``windows``.
        progress : callable, optional
            Called after each window with the seconds of the recording that are done.
        cancel : threading.Event, optional
            Once set, the call ends with ``Cancelled`` before the next window.

        Raises
        ------
        AudioError, ModelError, ConfigError
            As for ``windows``.
        Cancelled
        """
        rate = self.sample_rate
        resolved = self._resolved(rate, options)
        with open_audio(source, sample_rate=rate, channel=channel) as reader:
            listener = self._listener(resolved, rate, reader.label)
            windows = []
            for window in listener.hear(self._blocks(reader, resolved)):
                windows.append(window)
                if progress is not None:
                    progress(window.end_s)
                if cancel is not None and cancel.is_set():
                    raise Cancelled(f"cancelled after {window.end_s:.3f} s of {reader.label}")
            return self._clip(reader.name, tuple(windows), resolved)

    def windows(self, source: Any, *, channel: int | None = None, **options: Unpack[CallOptions]) -> Iterator[Window]:
        """Yield the windows of a recording in time order, reading as far as is needed; memory stays constant.

        Parameters
        ----------
        source : path, bytes, binary file, (samples, sample_rate) or {"array", "sampling_rate"}
            See ``engine.audio.open_audio``.
        channel : int or None
            The channel to take; None averages all.
        **options
            See ``CallOptions``.

        Raises
        ------
        AudioError
            The audio is unreadable, empty or not finite.
        ModelError
            The model takes no sound, or fails on a window.
        ConfigError
            An option is out of range.
        """
        with open_audio(source, sample_rate=self.sample_rate, channel=channel) as reader:
            yield from self.listen(reader, **options)

    def listen(self, reader: AudioReader, **options: Unpack[CallOptions]) -> Iterator[Window]:
        """Yield the windows of a recording that is open at the model's rate; errors as for ``windows``."""
        resolved = self._resolved(self.sample_rate, options)
        listener = self._listener(resolved, self.sample_rate, reader.label)
        yield from listener.hear(self._blocks(reader, resolved))

    def windowing(self, window_s: float | None = None, hop_s: float | None = None) -> tuple[int, int]:
        """Return window and hop in samples for what a call asks for; errors as for ``windows``."""
        resolved = self._resolved(self.sample_rate, {"window_s": window_s, "hop_s": hop_s})
        return resolved.window, resolved.hop

    def live(self, **options: Unpack[CallOptions]) -> Listener:
        """Return a listener for audio that comes as it happens, at the model's rate: each window as soon as it is full.

        Raises
        ------
        ModelError
            The model takes no sound.
        ConfigError
            An option is out of range.
        """
        resolved = replace(self._resolved(self.sample_rate, options), batch_size=1)
        return Listener(self._network, self._front_end, resolved, self.sample_rate, "the stream")

    def rows(self, rows: NDArray[np.float32], row_s: float | None = None, **options: Unpack[CallOptions]) -> Clip:
        """Return the outputs for a recording that is given as rows of embeddings, for a model that takes those.

        Parameters
        ----------
        rows : array_like, shape (n_rows, n_features)
        row_s : float or None
            Seconds from one row to the next; the card's by default.
        **options
            See ``CallOptions``.

        Raises
        ------
        AudioError
            Rows of another shape, of no numbers, none at all or not finite.
        ModelError
            The model takes sound, or fails on a window.
        ConfigError
            An option is out of range, or nobody says how far rows are apart.
        """
        if self.card.input.kind != "embedding":
            raise ModelError(f"expected a model that takes embeddings, {self.card.name!r} takes sound; call it instead")
        row_s = self.card.input.row_s if row_s is None else row_s
        if row_s is None or not 0 < row_s < np.inf:
            raise ConfigError(
                f"expected row_s, the seconds from one row to the next, as a positive number, got {row_s!r}; give it, "
                f"the card of {self.card.name!r} has none"
            )
        values = _as_rows(rows)
        resolved = self._resolved(1 / row_s, options)
        listener = self._listener(resolved, 1 / row_s, "the given rows", values.shape[1])
        return self._clip(None, tuple(listener.hear([values])), resolved)

    def check_options(self, options: CallOptions) -> None:
        """Raise a ConfigError where a call with these options would, before any audio is read."""
        self._resolved(self.sample_rate, options)

    def _resolved(self, rate: float, options: CallOptions) -> ResolvedOptions:
        if not options and self._plain is not None:
            return self._plain
        resolved = resolve(self.card, rate, batches=self._batches, **options)
        self._check_window(resolved.window, rate)
        return resolved

    def _check_window(self, window: int, rate: float) -> None:
        fixed = self._network.fixed_time
        if fixed is None or window == self.card.window:
            return
        fed = window + self.card.input.context if self._front_end is None else self._front_end.n_frames(window)
        if fed != fixed:
            raise ConfigError(
                f"expected windows of {self.card.window / rate:g} s, the only length that {self.card.name!r} takes, "
                f"got window_s={window / rate:g}; leave window_s out"
            )

    def _listener(self, options: ResolvedOptions, rate: float, label: str, n_features: int | None = None) -> Listener:
        return Listener(
            self._network, self._front_end, options, rate, label, ahead=self._on_device, n_features=n_features
        )

    def _blocks(self, reader: AudioReader, options: ResolvedOptions) -> Iterator[NDArray[np.float32]]:
        # NaN and infinity that the front end notices anyway are not looked for before.
        front_end = self.card.frontend
        whole = self.card.pad in ("zeros", "repeat")
        noticed = front_end is not None and whole and front_end.hears_all_of(options.window + self.card.input.context)
        return reader.blocks(max(BLOCK_SAMPLES, options.window), checked=not noticed)

    def _clip(self, path: str | None, windows: tuple[Window, ...], options: ResolvedOptions) -> Clip:
        scores = reduced([window.scores for window in windows], self.card.reduce)
        embeddings = [window.embedding for window in windows if window.embedding is not None]
        embedding = mean_embedding(embeddings, normalised=self.card.embedding_normalised) if embeddings else None
        return Clip(path, windows[-1].end_s, scores, embedding, windows, options.labelling)


def _as_rows(rows: Any) -> NDArray[np.float32]:
    try:
        values = np.asarray(rows)
        numbers = values.dtype.kind in "fiu"
    except (ValueError, TypeError) as error:
        raise AudioError(f"expected rows of numbers, got {type(rows).__name__}: {error}; convert it") from None
    if not numbers or values.ndim != 2 or 0 in values.shape:
        raise AudioError(
            f"expected rows of shape (n_rows, n_features), one or more, got {values.dtype} {values.shape}; reshape them"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and that is refused
        values = np.ascontiguousarray(values, np.float32)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise AudioError(f"expected finite rows, got NaN or infinity in row {int(np.argmin(finite))}; leave it out")
    return values


def _opened_again(session: Session, card: ModelCard) -> Model:
    """Return a model from a pickle; its file may be another one by now."""
    if read_card(session.metadata) != card:
        raise ModelError(
            f"expected the model {card.name!r} that was pickled, its file has changed since; open it again"
        )
    return Model(session, card)
