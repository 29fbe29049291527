"""Where the time of a call goes: decode, resample, log-mel, host-to-device, network, and what comes after."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.audio import load
from engine.bench.clip import ENCODINGS, clip, encoded, recording_rate
from engine.bench.sampling import Repeated
from engine.device_buffers import DeviceInputs
from engine.frontend import LogMel
from engine.model import Model
from engine.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.bench.sampling import Probe
    from engine.card import ModelCard
    from engine.frontend import FrontendConfig
    from engine.network import WindowOutputs
    from engine.session import Session


class StagedModel(Model):
    """A model that tells how long the stages of its last call took. For one thread at a time.

    Attributes
    ----------
    log_mel_s, network_s : float
        Seconds in the front end and in the network, all windows of a call together.
    fed : list of tuple of int
        The shape of what went into each call of the network: (n_windows, ...).
    """

    def __init__(self, session: Session, card: ModelCard) -> None:
        super().__init__(session, card)
        self._network = _TimedNetwork(self._session, card, self)
        if card.frontend is not None:
            self._front_end = _TimedLogMel(card.frontend, self)
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.log_mel_s = self.network_s = 0.0
        self.fed: list[tuple[int, ...]] = []


class _TimedNetwork(Network):
    def __init__(self, session: Session, card: ModelCard, staged: StagedModel) -> None:
        super().__init__(session, card)
        self._staged = staged

    def run(
        self, contents: Sequence[NDArray[np.float32]], state: dict[str, NDArray[np.float32]]
    ) -> list[WindowOutputs]:
        begin = time.perf_counter()
        outputs = super().run(contents, state)
        self._staged.network_s += time.perf_counter() - begin
        self._staged.fed.append((len(contents), *contents[0].shape))
        return outputs


class _TimedLogMel(LogMel):
    def __init__(self, config: FrontendConfig, staged: StagedModel) -> None:
        super().__init__(config)
        self._staged = staged

    def __call__(self, waveform: Any, out: Any = None) -> Any:
        begin = time.perf_counter()
        frames = super().__call__(waveform, out)
        self._staged.log_mel_s += time.perf_counter() - begin
        return frames


class CallStages:
    """The stages of calls with samples at the model's rate, each measured inside the call it is part of.

    "post" is what a call takes beyond front end and network: cutting windows before them, results after.
    """

    def __init__(self, model: StagedModel, samples: NDArray[np.float32]) -> None:
        self._model = model
        self._source = (samples, model.sample_rate)
        self._has_front_end = model.card.frontend is not None
        self.measures = ("log-mel", "network", "post") if self._has_front_end else ("network", "post")

    def repeat(self, times: int) -> list[list[float]]:
        """Return the seconds of so many calls, a list for each stage."""
        model, clock = self._model, time.perf_counter
        stages: list[list[float]] = [[] for _ in self.measures]
        for _ in range(times):
            model.forget()
            begin = clock()
            model(self._source)
            post_s = clock() - begin - model.log_mel_s - model.network_s
            parts = (model.log_mel_s, model.network_s, post_s) if self._has_front_end else (model.network_s, post_s)
            for stage, seconds in zip(stages, parts, strict=True):
                stage.append(seconds)
        return stages


def stage_probes(model: StagedModel, seconds: float) -> list[Probe]:
    """Return what measures the stages for a clip of so many seconds.

    Decoding is that of a recording at ``recording_rate``, mono, from memory; resampling takes its samples to the
    model's rate.
    """
    rate = recording_rate(model.sample_rate)
    recording = clip(seconds, rate)
    probes: list[Probe] = [
        Repeated(f"decode {encoding}", partial(load, encoded(recording, rate, encoding))) for encoding in ENCODINGS
    ]
    probes.append(Repeated("resample", partial(load, (recording, rate), model.sample_rate)))
    samples = clip(seconds, model.sample_rate)
    if model.device != "cpu":
        probes.append(_host_to_device(model, samples))
    probes.append(CallStages(model, samples))
    return probes


def windows_per_run(model: StagedModel, samples: NDArray[np.float32], batch_size: int) -> int:
    """Return how many windows go into the network at a time when a call asks for ``batch_size``."""
    model.forget()
    model((samples, model.sample_rate), batch_size=batch_size)
    return max(shape[0] for shape in model.fed)


def copy_to_device(fed: Sequence[tuple[int, ...]], device: str) -> Probe:
    """Return what measures the copies of a call's inputs to a device, given the shapes that went into the network."""
    inputs = DeviceInputs(device)
    # Each run by a name of its own, since memory is kept for one shape by name.
    arrays = {str(number): np.zeros(shape, np.float32) for number, shape in enumerate(fed)}

    def copy() -> None:
        for name, array in arrays.items():
            inputs.put(name, array)

    return Repeated("host-to-device", copy)


def _host_to_device(model: StagedModel, samples: NDArray[np.float32]) -> Probe:
    model.forget()
    model((samples, model.sample_rate))
    return copy_to_device(model.fed, model.device)
