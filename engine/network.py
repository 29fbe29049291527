"""A model's network, fed as its card says: the content of windows goes in, scores, embeddings and frames come out."""

from __future__ import annotations

import logging
import math
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.batch_sweep import BatchSweep, sweep_batches
from engine.card_parts import CONTENT_AXES
from engine.errors import ModelError
from engine.structure import check_structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.card import ModelCard
    from engine.card_parts import ModelOutput
    from engine.session import Session


logger = logging.getLogger("engine")


class WindowOutputs(NamedTuple):
    """What the network gives for one window.

    Attributes
    ----------
    scores : ndarray, shape (n_labels,), float32
        Empty for a model without labels.
    embedding : ndarray, shape (embedding_size,), float32, or None
    frames : ndarray, shape (n_frames, n_labels), float32, or None
    """

    scores: NDArray[np.float32]
    embedding: NDArray[np.float32] | None
    frames: NDArray[np.float32] | None


class Network:
    """A session with the card that says how to use it. Threads may share it: what is carried over is the caller's.

    Parameters
    ----------
    session : Session
    card : ModelCard

    Attributes
    ----------
    takes_batches : bool
        Whether several windows may go into one call.
    fixed_time : int or None
        The length of the input's time axis, where the network has only one.
    fixed_width : int or None
        The features of a row, for a network that takes rows of only one width.

    Raises
    ------
    ModelError
        The network does not have the inputs and outputs that the card describes.
    """

    def __init__(self, session: Session, card: ModelCard) -> None:
        check_structure(card, session.inputs, session.outputs)
        self.session = session
        self.card = card
        wanted, content = card.input.axes, ("batch", *CONTENT_AXES[card.input.kind])
        self._order = [content.index(axis) for axis in wanted if axis in content]
        self._channel = wanted.index("channel") if "channel" in wanted else None
        shape = next(port.shape for port in session.inputs if port.name == card.input.name)
        lengths = dict(zip(wanted, shape, strict=True))
        self.takes_batches = not card.input.states and not isinstance(lengths.get("batch", 1), int)
        time = lengths["time"]
        self.fixed_time = time if isinstance(time, int) else None
        width = lengths.get("feature")
        self.fixed_width = width if isinstance(width, int) else None
        outputs = card.outputs
        self._outputs = {
            kind: _Output(output, len(card.labels) if "label" in output.axes else (card.embedding_size or 0))
            for kind, output in (
                ("scores", outputs.scores),
                ("embedding", outputs.embedding),
                ("frames", outputs.frames),
            )
            if output is not None
        }
        self._names = [output.name for output in self._outputs.values()]
        self._names += [state.output for state in card.input.states]
        self._sweeps: dict[tuple[int, ...], BatchSweep] = {}
        self._sweeping = threading.Lock()
        self._constants = {
            constant.name: np.full(constant.shape, constant.value, constant.dtype) for constant in card.input.constants
        }

    @property
    def batch_sweeps(self) -> tuple[BatchSweep, ...]:
        """What ``batch_size`` has measured, one for each shape of window."""
        return tuple(self._sweeps.values())

    def batch_size(self, content: NDArray[np.float32]) -> int:
        """Return how many windows like this one are worth running at a time, measured once for each shape.

        Parameters
        ----------
        content : ndarray, float32
            As for ``run``; its values do not matter.

        Raises
        ------
        ModelError, DeviceError
            The network failed.
        """
        with self._sweeping:  # two threads that measure at a time would measure each other
            found = self._sweeps.get(content.shape)
            if found is None:
                found = sweep_batches(lambda size: self.run([content] * size, {}), content.shape, content.nbytes)
                self._sweeps[content.shape] = found
                logger.info("%s on %s: batches of %s", self.card.name, self.session.device, found)
        return found.size

    def initial_state(self) -> dict[str, NDArray[np.float32]]:
        """Return what the network remembers before a recording: zeros, by the names of its inputs."""
        return {state.name: np.zeros(state.shape, np.float32) for state in self.card.input.states}

    def run(
        self, contents: Sequence[NDArray[np.float32]], state: dict[str, NDArray[np.float32]]
    ) -> list[WindowOutputs]:
        """Return the outputs of each window, and update ``state`` to what the network remembers after them.

        Parameters
        ----------
        contents : sequence of ndarray, float32
            One per window and all of one shape: samples, log-mel frames or rows, as the card's input says. More than
            one only where the network takes batches.
        state : dict
            As ``initial_state`` made it or the window before left it.

        Raises
        ------
        ModelError, DeviceError
            The network failed, or gave something else than the card says.
        """
        values = self.session.run(
            self._names, {self.card.input.name: self._arranged(contents)} | self._constants | state
        )
        for held, value in zip(self.card.input.states, values[len(self._outputs) :], strict=True):
            state[held.name] = value
        found = {
            kind: output.read(value, len(contents))
            for (kind, output), value in zip(self._outputs.items(), values, strict=False)
        }
        return [self._window(found, index) for index in range(len(contents))]

    def _arranged(self, contents: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        batch = contents[0][np.newaxis] if len(contents) == 1 else np.stack(contents)
        # A network without a batch axis gets its one window as it is.
        ordered = batch.transpose(self._order) if 0 in self._order else batch[0].transpose([i - 1 for i in self._order])
        return np.ascontiguousarray(ordered if self._channel is None else np.expand_dims(ordered, self._channel))

    def _window(self, found: dict[str, NDArray[np.float32]], index: int) -> WindowOutputs:
        scores = found["scores"][index] if "scores" in found else None
        embedding = found["embedding"][index] if "embedding" in found else None
        frames = found["frames"][index] if "frames" in found else None
        if embedding is not None and embedding.ndim == 2:
            embedding = mean_embedding(list(embedding), normalised=self.card.embedding_normalised)
        if scores is None:
            scores = np.zeros(0, np.float32) if frames is None else reduced(list(frames), self.card.reduce)
        return WindowOutputs(scores, embedding, frames)


class _Output:
    """How to read one output: as (n_windows, width) or (n_windows, time, width)."""

    def __init__(self, output: ModelOutput, width: int) -> None:
        self.name = output.name
        self._axes = output.axes
        self._width = width
        order = [output.axes.index(axis) for axis in ("batch", "time", "label", "feature") if axis in output.axes]
        self._order = None if order == sorted(order) else order

    def read(self, value: NDArray[Any], n_windows: int) -> NDArray[np.float32]:
        """Return the value of a run; another shape than the card's, NaN or infinity is a ModelError."""
        if value.ndim == len(self._axes):
            ordered = value if self._order is None else value.transpose(self._order)
            ordered = ordered if "batch" in self._axes else ordered[np.newaxis]
            if len(ordered) == n_windows and ordered.shape[-1] == self._width and ordered.size:
                # The square of the length is finite only if all values are; it takes a tenth of looking at each.
                if not math.isfinite(np.vdot(ordered, ordered)) and not np.isfinite(ordered).all():
                    raise ModelError(
                        f"expected finite values in the output {self.name!r}, got NaN or infinity; the weights are "
                        "damaged"
                    )
                return ordered
        raise ModelError(
            f"expected {self._width} values for each of {n_windows} windows in the output {self.name!r}, axes "
            f"{self._axes} as the card says, got the shape {value.shape}; correct the card"
        )


def reduced(scores: Sequence[NDArray[np.float32]], reduce: str) -> NDArray[np.float32]:
    """Return scores, each of shape (n_labels,), reduced by "max" or "mean", the latter in float64."""
    if len(scores) == 1:
        return scores[0]
    if reduce == "max":
        highest: NDArray[np.float32] = np.maximum.reduce(scores)
        return highest
    return _mean(scores).astype(np.float32)


def mean_embedding(embeddings: Sequence[NDArray[np.float32]], *, normalised: bool) -> NDArray[np.float32]:
    """Return the mean of embeddings, each of shape (size,), brought to length one where they are ``normalised``."""
    if len(embeddings) == 1:
        return embeddings[0]
    mean = _mean(embeddings)
    length = np.sqrt(mean @ mean)
    # Embeddings that cancel have no direction: their mean stays zero.
    return (mean / length if normalised and length > 0 else mean).astype(np.float32)


def _mean(values: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the mean of arrays of one shape; numpy's own takes three times as long for a few of them."""
    total: NDArray[np.float64] = np.add.reduce(values, dtype=np.float64)
    return total / len(values)
