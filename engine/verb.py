"""What every verb over a model can do: whole recordings, windows one by one, batches and live audio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, Unpack

from engine.batch import OnError, run_batch
from engine.model import Cancel, Model
from engine.stream import WindowStream

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterable, Iterator
    from types import TracebackType

    from engine.batch_sweep import BatchSweep
    from engine.card import ModelCard
    from engine.options import CallOptions
    from engine.results import Clip, Window


class Verb:
    """A model put to use; see ``Tagger`` and ``Embedder``. Threads may share one.

    It can be pickled, and used after a fork: the other process opens the model again.

    Parameters
    ----------
    model : str, path or None
        The name of an installed model or the path of an .onnx file with a card; None is the shipped default.
    device : str
        "auto", "cpu", "cuda" or "cuda:N". A device asked for by name runs or raises; "auto" logs once what it took.
    threads : int or None
        Threads that one call may use; None is every CPU this process may use. Results do not depend on it.

    Raises
    ------
    ModelError
        The model cannot be used.
    DeviceError
        The device was asked for by name and cannot run here.
    """

    def __init__(
        self, model: str | os.PathLike[str] | None = None, device: str = "auto", threads: int | None = None
    ) -> None:
        self._model = Model.open(model, device, threads)

    def __call__(
        self,
        source: Any,
        *,
        channel: int | None = None,
        progress: Callable[[float], object] | None = None,
        cancel: Cancel | None = None,
        **options: Unpack[CallOptions],
    ) -> Clip:
        """Return what the model gives, scores, an embedding or both, for a recording and for each of its windows.

        Parameters
        ----------
        source : path, bytes, binary file, (samples, sample_rate) or {"array", "sampling_rate"}
            Arrays have the shape (n_samples,) or (n_samples, n_channels); any sample rate.
        channel : int or None
            The channel to take; None averages all.
        progress : callable, optional
            Called after each window with the seconds of the recording that are done.
        cancel : threading.Event, optional
            Once set, the call ends with ``Cancelled`` before the next window.
        **options
            ``window_s``, ``hop_s``, ``batch_size``, ``top_k``, ``threshold``, ``labels_allow`` and ``labels_deny``: see
            ``engine.CallOptions``.

        Returns
        -------
        Clip
            ``labels`` and ``scores`` are empty where the model has none, ``embedding`` is None.

        Raises
        ------
        AudioError
            The audio is unreadable, empty or not finite.
        ConfigError
            An option is out of range or names an unknown label.
        """
        return self._model(source, channel=channel, progress=progress, cancel=cancel, **options)

    def windows(self, source: Any, *, channel: int | None = None, **options: Unpack[CallOptions]) -> Iterator[Window]:
        """Yield the windows of a recording one by one, in constant memory, reading as far as they are taken.

        Parameters and errors as for a call.
        """
        return self._model.windows(source, channel=channel, **options)

    def batch(
        self,
        sources: Iterable[Any],
        *,
        on_error: OnError = "return",
        workers: int | None = None,
        channel: int | None = None,
        progress: Callable[[int], object] | None = None,
        cancel: Cancel | None = None,
        **options: Unpack[CallOptions],
    ) -> Generator[Clip, None, None]:
        """Yield the result for each of many recordings, in their order, decoding and running several at a time.

        Parameters
        ----------
        sources : iterable
            Whatever the model can be called with; read as far as there is work for, so it may be endless. Closing the
            generator ends the recordings in work.
        on_error : str
            "return": a recording that cannot be used gives a clip whose ``error`` says why. "raise": its error ends the
            batch.
        workers : int or None
            Recordings in work at a time; ``threads`` by default.
        channel : int or None
            The channel to take; None averages all.
        progress : callable, optional
            Called with the number of recordings that are done.
        cancel : threading.Event, optional
            Once set, the batch ends with ``Cancelled``.
        **options
            As for a call.

        Examples
        --------
        >>> from engine import Tagger
        >>> clips = Tagger(threads=2).batch(["examples/rain.flac", "examples/no_such_file.flac"])
        >>> [clip.top(1)[0].label if clip.error is None else "failed" for clip in clips]
        ['rain', 'failed']
        """
        return run_batch(
            self._model,
            sources,
            on_error=on_error,
            workers=workers,
            progress=progress,
            cancel=cancel,
            channel=channel,
            options=options,
        )

    def stream(self, sample_rate: int, channel: int | None = None, **options: Unpack[CallOptions]) -> WindowStream:
        """Return a stream for live audio, which comes in blocks of any size.

        Parameters
        ----------
        sample_rate : int
            Of the blocks, in Hz.
        channel : int or None
            The channel to take; None averages all.
        **options
            As for a call; ``hop_s`` says how often there is a result.

        Examples
        --------
        >>> import numpy as np
        >>> from engine import Tagger
        >>> with Tagger().stream(sample_rate=48000, hop_s=0.5) as stream:
        ...     for _ in range(12):
        ...         for window in stream.push(np.zeros(24000, np.float32)):
        ...             print(f"{window.start_s} to {window.end_s} s")
        0.0 to 5.12 s
        0.5 to 5.62 s
        """
        return WindowStream(self._model, sample_rate, channel, **options)

    def warmup(self, **options: Unpack[CallOptions]) -> None:
        """Run windows of silence, so that the first recording is no slower than the next ones.

        With ``batch_size="auto"``, as for the calls that follow, the best size of batches on a GPU is measured here.
        """
        self._model.warmup(**options)

    def close(self) -> None:
        """Let go of the model and its memory; a call after that is a ModelError."""
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def card(self) -> ModelCard:
        """What the model says about itself."""
        return self._model.card

    @property
    def device(self) -> str:
        """Where the network runs: "cpu" or "cuda:N", read back from the runtime."""
        return self._model.device

    @property
    def threads(self) -> int:
        """How many threads one call may use."""
        return self._model.threads

    @property
    def batch_sweeps(self) -> tuple[BatchSweep, ...]:
        """What ``batch_size="auto"`` has measured so far, one for each shape of window; empty on a CPU.

        Examples
        --------
        >>> from engine import Tagger
        >>> tagger = Tagger(device="cpu")
        >>> tagger.warmup(batch_size="auto")
        >>> tagger.batch_sweeps
        ()
        """
        return self._model.batch_sweeps

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, device={self.device!r}, threads={self.threads})"
