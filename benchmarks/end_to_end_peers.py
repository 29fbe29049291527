"""The shipped network under other front ends and runtimes: what a user would put together from well-known parts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from benchmarks.frontend_peers import import_torchaudio
from engine.frontend import LogMel
from engine.tagger import Tagger

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.card import ModelCard

PACKAGES = ["sound-engine", "numpy", "onnxruntime-gpu", "onnxruntime", "torch", "torchaudio", "librosa", "scipy"]


class Pipeline(Protocol):
    """Decoded audio to the scores of a clip, in stages that can be called apart.

    A peer's ``run`` is its two stages, one after the other, between cutting windows and the maximum over them.
    """

    def log_mel(self, windows: NDArray[np.float32]) -> Any:
        """Return what the network takes for windows of shape (n_windows, n_samples)."""

    def network(self, features: Any) -> Any:
        """Return the scores of each window."""

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of a clip, shape (n_labels,)."""


def cut(samples: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Return windows one after the other, the last one filled with zeros, shape (n_windows, window)."""
    windows = np.zeros((-(-len(samples) // window), window), np.float32)
    windows.reshape(-1)[: len(samples)] = samples
    return windows


class Engine:
    """Ours: the stages from the front end and from onnxruntime itself, the whole from a call of ``Tagger``."""

    def __init__(self, path: Path) -> None:
        self.tagger = Tagger(path, "cpu", 1)
        self.card = self.tagger.card
        assert self.card.frontend is not None
        self.front_end = LogMel(self.card.frontend)
        self.session = _session(path)

    def log_mel(self, windows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the frames of each window."""
        return [self.front_end(window) for window in windows]

    def network(self, features: list[NDArray[np.float32]]) -> list[Any]:
        """Return scores and embedding of each window."""
        return _run_each(self.session, self.card, features)

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of a clip."""
        return self.tagger((samples, self.card.sample_rate)).scores


class Librosa:
    """librosa under onnxruntime."""

    def __init__(self, path: Path) -> None:
        self.card = Tagger(path, "cpu", 1).card
        self.session = _session(path)
        self.librosa = importlib.import_module("librosa")

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
            features.append(((decibels - np.float32(c.mean)) / np.float32(c.std)).astype(np.float32))
        return features

    def network(self, features: list[NDArray[np.float32]]) -> list[Any]:
        """Return scores and embedding of each window."""
        return _run_each(self.session, self.card, features)

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of a clip."""
        outputs = self.network(self.log_mel(cut(samples, self.card.window)))
        return np.max([scores[0] for scores, _ in outputs], axis=0)


class Torch:
    """torchaudio under the network in torch, eager, all windows in one batch.

    Parameters
    ----------
    path : Path
        The weights come from its initialisers, whose convolutions hold their batch normalisation. ``folded`` leaves
        them so; otherwise normalisation layers stand behind them, as they do in training.
    folded : bool
    """

    def __init__(self, path: Path, *, folded: bool) -> None:
        self.torch = importlib.import_module("torch")
        self.torch.set_num_threads(1)
        self.torch.set_grad_enabled(False)
        self.card = Tagger(path, "cpu", 1).card
        c = self.card.frontend
        assert c is not None
        self.transform = import_torchaudio().transforms.MelSpectrogram(
            c.sample_rate, c.n_fft, c.win_length, c.hop_length, c.f_min, c.f_max, n_mels=c.n_mels
        )
        self.mean, self.std = (self.torch.tensor(values) for values in (c.mean, c.std))
        self.floor, self.range = c.log_floor, c.log_range
        self.eager = _network_of(path, len(self.card.labels), folded=folded)

    def log_mel(self, windows: NDArray[np.float32]) -> Any:
        """Return the frames of all windows, shape (n_windows, n_frames, n_mels)."""
        mel = self.transform(self.torch.from_numpy(windows))
        decibels = 10 * self.torch.log10(mel.clamp(min=self.floor)).transpose(1, 2)
        decibels = (decibels - decibels.amax(dim=(1, 2), keepdim=True)).clamp(min=-self.range)
        return (decibels - self.mean) / self.std

    def network(self, features: Any) -> Any:
        """Return the scores of each window; the embedding is computed with them."""
        logits, _ = self.eager(features)
        return logits.sigmoid()

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of a clip."""
        scores: NDArray[np.float32] = self.network(self.log_mel(cut(samples, self.card.window))).amax(dim=0).numpy()
        return scores


def _session(path: Path) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def _run_each(session: Any, card: ModelCard, features: list[NDArray[np.float32]]) -> list[Any]:
    names = [port.name for port in session.get_outputs()]
    ordered = sorted(names, key=lambda name: card.outputs.scores is None or name != card.outputs.scores.name)
    return [session.run(ordered, {card.input.name: frames[np.newaxis]}) for frames in features]


def _network_of(path: Path, n_labels: int, *, folded: bool) -> Any:
    """Return the shipped network in torch, with the weights of the file."""
    torch = importlib.import_module("torch")
    network = importlib.import_module("training.networks.residual").ResidualTagger(n_labels).eval()
    graph = onnx.load(path).graph
    weights = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}
    # The exporter walks the layers in the order in which they are registered.
    convolutions = iter([node for node in graph.node if node.op_type == "Conv"])
    pairs = [
        module
        for module in network.modules()
        if isinstance(module, torch.nn.Sequential) and isinstance(module[0], torch.nn.Conv2d)
    ]
    for pair in pairs:
        _, weight, bias = next(convolutions).input
        pair[0].weight.data.copy_(weights[weight])
        if folded:
            pair[0].bias = torch.nn.Parameter(weights[bias])
            pair[1] = torch.nn.Identity()
        else:
            pair[1].running_var.fill_(1 - pair[1].eps)
            pair[1].bias.data.copy_(weights[bias])
    (projection,) = [node for node in graph.node if node.op_type == "MatMul"]
    network.embed[0].weight.data.copy_(weights[projection.input[1]].T)
    named = {name.removeprefix("network."): value for name, value in weights.items() if name.startswith("network.")}
    network.load_state_dict(named, strict=False)
    return network
