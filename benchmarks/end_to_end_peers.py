"""The shipped network under other front ends and runtimes: what a user would put together from well-known parts."""

from __future__ import annotations

import importlib
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from benchmarks.frontend_peers import import_torchaudio
from engine.bench.stages import StagedModel
from engine.card import read_card
from engine.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.card import ModelCard

PACKAGES = ["sound-engine", "numpy", "onnxruntime-gpu", "onnxruntime", "torch", "torchaudio", "librosa", "scipy"]


class Pipeline(Protocol):
    """Decoded audio to the scores of a clip, with the time that two stages took.

    Attributes
    ----------
    log_mel_s, network_s : float
        Seconds of the last run in the front end and in the runtime of the network, all windows together.
    """

    log_mel_s: float
    network_s: float

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of a clip, shape (n_labels,)."""


def cut(samples: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Return windows one after the other, the last one filled with zeros, shape (n_windows, window)."""
    windows = np.zeros((-(-len(samples) // window), window), np.float32)
    windows.reshape(-1)[: len(samples)] = samples
    return windows


class Engine:
    """Ours: a call of the model as ``Tagger`` makes it, the network timed where onnxruntime is called."""

    def __init__(self, path: Path) -> None:
        self.session = _TimedSession(path, "cpu", 1)
        self.model = StagedModel(self.session, read_card(self.session.metadata))
        self.log_mel_s = self.network_s = 0.0

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of a clip."""
        self.model.forget()
        self.session.seconds = 0.0
        scores = self.model((samples, self.model.sample_rate)).scores
        self.log_mel_s, self.network_s = self.model.log_mel_s, self.session.seconds
        return scores


class _TimedSession(Session):
    seconds = 0.0

    def run(self, outputs: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        begin = time.perf_counter()
        values = super().run(outputs, feeds)
        self.seconds += time.perf_counter() - begin
        return values


class Peer(ABC):
    """Windows through a front end, then through a network, then the maximum over them."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.log_mel_s = self.network_s = 0.0

    @abstractmethod
    def log_mel(self, windows: NDArray[np.float32]) -> Any:
        """Return what the network takes for windows of shape (n_windows, n_samples)."""

    @abstractmethod
    def network(self, features: Any) -> NDArray[np.float32]:
        """Return the scores of the windows, shape (n_windows, n_labels)."""

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of a clip."""
        windows = cut(samples, self.card.window)
        begin = time.perf_counter()
        features = self.log_mel(windows)
        between = time.perf_counter()
        scores = self.network(features)
        self.log_mel_s, self.network_s = between - begin, time.perf_counter() - between
        whole: NDArray[np.float32] = scores.max(axis=0)
        return whole


class Librosa(Peer):
    """librosa under onnxruntime, window by window: batches are no faster on one thread."""

    def __init__(self, path: Path) -> None:
        super().__init__(card_of(path))
        self.session = onnx_session(path)
        self.librosa = importlib.import_module("librosa")
        assert self.card.outputs.scores is not None
        self.outputs = [self.card.outputs.scores.name, *(port.name for port in self.session.get_outputs())]
        self.outputs = list(dict.fromkeys(self.outputs))

    def log_mel(self, windows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the frames of each window."""
        c = self.card.frontend
        assert c is not None
        features = []
        for window in windows:
            mel = self.librosa.feature.melspectrogram(
                y=window, sr=c.sample_rate, n_fft=c.n_fft, hop_length=c.hop_length, win_length=c.win_length,
                n_mels=c.n_mels, fmin=c.f_min, fmax=c.f_max, htk=True, norm=None, pad_mode="reflect",
            )  # fmt: skip
            decibels = self.librosa.power_to_db(mel, ref=np.max, amin=c.log_floor, top_db=c.log_range).T
            features.append(((decibels - np.array(c.mean, np.float32)) / np.array(c.std, np.float32))[np.newaxis])
        return features

    def network(self, features: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the scores of the windows; the embedding is computed with them."""
        return np.concatenate([self.session.run(self.outputs, {self.card.input.name: one})[0] for one in features])


class Torch(Peer):
    """torchaudio under the network in torch, eager, all windows in one batch.

    Parameters
    ----------
    path : Path
        The weights come from its initialisers, whose convolutions hold their batch normalisation. ``folded`` leaves
        them so; otherwise normalisation layers stand behind them, as they do in training.
    folded : bool
    """

    def __init__(self, path: Path, *, folded: bool) -> None:
        super().__init__(card_of(path))
        self.torch = importlib.import_module("torch")
        self.torch.set_num_threads(1)
        self.torch.set_grad_enabled(False)
        c = self.card.frontend
        assert c is not None
        self.transform = import_torchaudio().transforms.MelSpectrogram(
            c.sample_rate, c.n_fft, c.win_length, c.hop_length, c.f_min, c.f_max, n_mels=c.n_mels
        )
        self.mean, self.std = (self.torch.tensor(values) for values in (c.mean, c.std))
        self.floor, self.range = c.log_floor, c.log_range or 0.0
        self.eager = network_of(path, len(self.card.labels), folded=folded)

    def log_mel(self, windows: NDArray[np.float32]) -> Any:
        """Return the frames of all windows, shape (n_windows, n_frames, n_mels)."""
        mel = self.transform(self.torch.from_numpy(windows))
        decibels = 10 * self.torch.log10(mel.clamp(min=self.floor)).transpose(1, 2)
        decibels = (decibels - decibels.amax(dim=(1, 2), keepdim=True)).clamp(min=-self.range)
        return (decibels - self.mean) / self.std

    def network(self, features: Any) -> NDArray[np.float32]:
        """Return the scores of the windows; embedding and scores of steps are computed with them."""
        logits, _, _ = self.eager(features)
        scores: NDArray[np.float32] = logits.sigmoid().numpy()
        return scores


def card_of(path: Path) -> ModelCard:
    """Return a model's card."""
    return read_card(Session(path, "cpu", 1).metadata)


def onnx_session(path: Path) -> Any:
    """Return a session of onnxruntime on one thread of the CPU."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def network_of(path: Path, n_labels: int, *, folded: bool) -> Any:
    """Return the shipped network in torch, with the weights of the file.

    Its convolutions are read in the order in which the exporter walks the layers, which is that of their registration:
    the stem, then three of each block, whose last is the skip.
    """
    torch = importlib.import_module("torch")
    graph = onnx.load(path).graph
    weights = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}
    convolutions = [[weights[name] for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"]
    channels = tuple(len(bias) for _, bias in [convolutions[0], *convolutions[1::3]])
    learnt = importlib.import_module("training.networks.residual").FrameTagger(n_labels, channels)
    network = importlib.import_module("training.networks.discriminant").DiscriminantTagger(learnt, n_labels).eval()
    pairs = [
        module
        for module in network.modules()
        if isinstance(module, torch.nn.Sequential) and isinstance(module[0], torch.nn.Conv2d)
    ]
    for pair, (weight, bias) in zip(pairs, convolutions, strict=True):
        pair[0].weight.data.copy_(weight)
        if folded:
            pair[0].bias = torch.nn.Parameter(bias)
            pair[1] = torch.nn.Identity()
        else:
            pair[1].running_var.fill_(1 - pair[1].eps)
            pair[1].bias.data.copy_(bias)
    # Products of more than two dimensions, whose weights have lost their names, in the order of the graph.
    products = [node.input[1] for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    for layer, name in zip((learnt.embed[0], network.classify_steps, learnt.classify_steps), products, strict=True):
        layer.weight.data.copy_(weights[name].T)
    named = {name.removeprefix("network."): value for name, value in weights.items() if name.startswith("network.")}
    network.load_state_dict(named, strict=False)
    return network
