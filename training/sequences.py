"""Sequences of embeddings by a model of this project, and a network on them as one model with it.

A clip's log-mel is cut into stretches of equal length, a rest left out, and the model embeds each. The same graph does
that in training and in the model that ships, so that both see the same numbers.

    python -m training embed MODEL INPUT... -o sequences.npz --step-s 0.96 --seconds 10

The file holds ``sequences`` (n_clips, n_steps, size) float32, ``paths``, and the model's name and hash.
"""

from __future__ import annotations

import copy
import io
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, compose, helper
from torch import nn

from engine import LogMel
from engine.audio import load
from engine.errors import EngineError, ModelError
from engine.scan import find_audio
from engine.verify import verify_model
from training.cli_parser import PROG, Parser
from training.datasets.mixing import fitted
from training.export import OPSET, PARITY_TOLERANCE, write_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from engine.card import ModelCard

STEPS, SCORES, EMBEDDING = "sequences", "scores", "embedding"


class Embedding:
    """A model that embeds stretches of log-mel.

    Parameters
    ----------
    path : Path
        A model of this project with an embedding, whose input is log-mel as (batch, time, mel).
    step_s : float
        Length of a stretch; as many frames as fit into it.

    Raises
    ------
    ModelError
        Another kind of model.
    """

    def __init__(self, path: Path, step_s: float) -> None:
        self.card = verify_model(path).card
        self._model = onnx.load(path)
        card = self.card
        if card.frontend is None or card.outputs.embedding is None or card.input.axes != ("batch", "time", "mel"):
            raise ModelError(
                f"expected a model with an embedding whose input is log-mel as (batch, time, mel), got {card.name!r} "
                f"with {card.input.kind} as {card.input.axes}; choose another model"
            )
        self.n_frames = max(1, round(step_s * card.frontend.sample_rate / card.frontend.hop_length))
        self.size = int(card.embedding_size or 0)
        self.graph = self._steps()
        self._session = onnxruntime.InferenceSession(self.graph.SerializeToString(), providers=["CPUExecutionProvider"])

    def of(self, sounds: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the sequences of sounds of equal length, shape (n_sounds, n_steps, size)."""
        assert self.card.frontend is not None
        log_mel = LogMel(self.card.frontend)
        made = [self._session.run(None, {self.card.input.name: log_mel(sound)[None]})[0][0] for sound in sounds]
        return np.stack(made)

    def _steps(self) -> onnx.ModelProto:
        """Return the graph from log-mel (batch, time, mel) to sequences (batch, n_steps, size)."""
        card, embedding = self.card, self.card.outputs.embedding
        assert card.frontend is not None
        assert embedding is not None
        name = card.input.name
        constants = {
            "zero": np.array(0),
            "one": np.array(1),
            "frames": np.array(self.n_frames),
            "axis": np.array([0]),
            "first": np.array([0]),
            "time": np.array([1]),
            "stretch": np.array([-1, self.n_frames, card.frontend.n_mels]),
            "size": np.array([self.size]),
        }
        cut = [
            helper.make_node("Shape", [name], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["batch"]),
            helper.make_node("Gather", ["shape", "one"], ["length"]),
            helper.make_node("Div", ["length", "frames"], ["steps"]),
            helper.make_node("Mul", ["steps", "frames"], ["kept"]),
            helper.make_node("Unsqueeze", ["kept", "axis"], ["end"]),
            helper.make_node("Slice", [name, "first", "end", "time"], ["whole"]),
            helper.make_node("Reshape", ["whole", "stretch"], ["stretches"]),
            helper.make_node("Unsqueeze", ["batch", "axis"], ["batch_1"]),
            helper.make_node("Unsqueeze", ["steps", "axis"], ["steps_1"]),
            helper.make_node("Concat", ["batch_1", "steps_1", "size"], ["joined"], axis=0),
        ]
        inner = compose.add_prefix(self._model, "embed_")
        # Only what leads to the embedding: the embedder's own scores are nobody's here.
        inner = onnx.utils.Extractor(inner).extract_model([f"embed_{name}"], [f"embed_{embedding.name}"])
        begin = helper.make_node("Identity", ["stretches"], [f"embed_{name}"])
        end = helper.make_node("Reshape", [f"embed_{embedding.name}", "joined"], [STEPS])
        graph = helper.make_graph(
            [*cut, begin, *inner.graph.node, end],
            "sequences",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "time", card.frontend.n_mels])],
            [helper.make_tensor_value_info(STEPS, TensorProto.FLOAT, ["batch", "steps", self.size])],
            [*inner.graph.initializer, *(_constant(key, value) for key, value in constants.items())],
        )
        return _checked(graph, self._model)


def export_on(embedding: Embedding, network: nn.Module, card: ModelCard, path: Path) -> ModelCard:
    """Write a network on sequences together with what makes them, as one model; return its card as written.

    Parameters
    ----------
    embedding : Embedding
    network : Module
        Sequences (batch, n_steps, size) to scores (batch, n_labels).
    card : ModelCard
        Of the whole, with the embedder's front end; its embedding is the mean of the sequence.
    path : Path

    Raises
    ------
    ModelError
        torch and onnxruntime disagree, or the engine refuses the file: nothing is written.
    """
    network = network.eval()
    head = compose.add_prefix(_traced(network, embedding.size), "head_")
    mean = helper.make_node("ReduceMean", [STEPS, "time"], [EMBEDDING], keepdims=0)
    begin = helper.make_node("Identity", [STEPS], [f"head_{STEPS}"])
    end = helper.make_node("Identity", [f"head_{SCORES}"], [SCORES])
    base = embedding.graph.graph
    graph = helper.make_graph(
        [*base.node, begin, *head.graph.node, end, mean],
        card.name,
        list(base.input),
        [
            helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["batch", len(card.labels)]),
            helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["batch", embedding.size]),
        ],
        [*base.initializer, *head.graph.initializer],
    )
    model = _checked(graph, embedding.graph)
    _check(embedding, network, model)
    return write_model(model, replace(card, frontend=embedding.card.frontend, input=embedding.card.input), path)


def export_rows(network: nn.Module, card: ModelCard, path: Path, size: int) -> ModelCard:
    """Write a network on sequences by itself, for rows of embeddings that others make; return its card as written.

    Parameters
    ----------
    network : Module
        Sequences (batch, n_steps, size) to scores (batch, n_labels).
    card : ModelCard
        Whose input is of the kind "embedding".
    path : Path
    size : int

    Raises
    ------
    ModelError
        As ``export_on``.
    """
    network = network.eval()
    model = _traced(network, size)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    for shape in ((1, 1, size), (2, 3, size), (3, 10, size), (5, 7, size)):
        sequences = generator.standard_normal(shape).astype(np.float32)
        (scores,) = session.run(None, {STEPS: sequences})
        _compare(network, sequences, scores)
    return write_model(model, card, path)


def embed(arguments: Sequence[str]) -> int:
    """Write the sequences of recordings: ``python -m training embed``; 0 done, 1 failed, 2 wrong usage."""
    made = Parser(prog=f"{PROG} embed", description="Embed recordings as sequences.", allow_abbrev=False)
    made.add_argument("model", type=Path, help="an exported .onnx with an embedding")
    made.add_argument("inputs", nargs="+", metavar="INPUT", help="recordings, folders, patterns")
    made.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="a new .npz")
    made.add_argument("--step-s", type=float, default=0.96, metavar="SECONDS", help="length of a step")
    made.add_argument("--seconds", type=float, default=10.0, help="length of every recording: cut, or zeros behind it")
    options = made.parse_args(arguments)
    if options.output.exists():
        print(f"{PROG} embed: expected a new file, got {options.output}; remove it or name another", file=sys.stderr)
        return 2
    try:
        embedding = Embedding(options.model, options.step_s)
        assert embedding.card.frontend is not None
        rate = embedding.card.frontend.sample_rate
        paths = list(find_audio(options.inputs))
        sequences = embedding.of(fitted(load(path, rate)[0], round(options.seconds * rate)) for path in paths)
    except EngineError as error:
        print(f"{PROG} embed: {error}", file=sys.stderr)
        return 1
    np.savez(
        options.output,
        sequences=sequences,
        paths=np.array([str(path) for path in paths]),
        model=embedding.card.name,
        model_sha256=embedding.card.model_sha256,
    )
    print(f"{len(paths)} sequences of {sequences.shape[1]} steps of {sequences.shape[2]} in {options.output}")
    return 0


def _traced(network: nn.Module, size: int) -> onnx.ModelProto:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, size),),
            file,  # type: ignore[arg-type]  # the stub knows only paths
            dynamo=False,
            opset_version=OPSET,
            input_names=[STEPS],
            output_names=[SCORES],
            dynamic_axes={STEPS: {0: "batch", 1: "steps"}, SCORES: {0: "batch"}},
        )
    return onnx.load_from_string(file.getvalue())


def _check(embedding: Embedding, network: nn.Module, model: onnx.ModelProto) -> None:
    """Raise ModelError unless the joined model gives what the network gives on the embedder's sequences."""
    # Its sequences are looked at in the same run: those of another graph may be rounded elsewhere, which a network that
    # normalises embeddings of little variance enlarges.
    shown = onnx.ModelProto.FromString(model.SerializeToString())
    shown.graph.output.extend(embedding.graph.graph.output)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    (port,) = session.get_inputs()
    generator = np.random.default_rng(0)
    for batch, n_steps, rest in ((1, 1, 0), (2, 3, 1), (3, 10, 0), (5, 7, embedding.n_frames - 1)):
        shape = (batch, n_steps * embedding.n_frames + rest, port.shape[2])
        log_mel = generator.standard_normal(shape).astype(np.float32)
        scores, mean, sequences = session.run(None, {port.name: log_mel})
        if sequences.shape[1] != n_steps:
            raise ModelError(f"expected {n_steps} steps of {shape}, got {sequences.shape[1]}; it was not written")
        _compare(network, sequences, scores)
        if not np.allclose(mean, sequences.mean(axis=1), atol=1e-4):
            raise ModelError("expected the mean of the sequence as embedding, got another; it was not written")


def _compare(network: nn.Module, sequences: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
    """Raise ModelError unless scores are as near to those of 64 bits as torch's own are.

    Batch normalisation of embeddings that hardly vary enlarges their rounding, in torch as in onnxruntime.
    """
    with torch.no_grad():
        given = network(torch.from_numpy(sequences)).numpy()
        exact = copy.deepcopy(network).double()(torch.from_numpy(sequences).double()).numpy()
    allowed = max(PARITY_TOLERANCE, 4 * float(np.abs(given - exact).max()))
    difference = float(np.abs(scores - exact).max()) if scores.shape == exact.shape else np.inf
    if not difference <= allowed:
        raise ModelError(
            f"expected scores as torch gives them for sequences of {sequences.shape} within {allowed:g}, got a "
            f"difference of {difference:g}; the export is wrong and was not written"
        )


def _constant(name: str, value: NDArray[np.integer]) -> TensorProto:
    return onnx.numpy_helper.from_array(value.astype(np.int64), name)


def _checked(graph: onnx.GraphProto, like: onnx.ModelProto) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=list(like.opset_import), ir_version=like.ir_version)
    onnx.checker.check_model(model, full_check=True)
    return model
