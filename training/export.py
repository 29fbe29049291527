"""The only way out of training: a network and its card become one .onnx file that the engine runs, or nothing.

Nothing is written unless onnxruntime gives what torch gave, at several batch sizes and lengths, and the engine can run
the file by its card.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from engine.card import ModelCard, write_card
from engine.convert import convert_model, read_recordings
from engine.errors import ModelError
from engine.verify import record_golden, verify_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.card import ModelOutput

# The newest that every onnxruntime the engine accepts can read.
OPSET, MAX_IR_VERSION = 18, 10
# Largest difference between torch and onnxruntime, relative to the largest value where that is above one: float32 sums
# in another order, through a dozen layers.
PARITY_TOLERANCE = 2e-5


def export(
    network: nn.Module,
    card: ModelCard,
    path: Path,
    variants: Sequence[str] = (),
    calibration: Path | None = None,
    *,
    shortest: int | None = 1,
    gives: Literal["logits", "scores"] = "logits",
) -> ModelCard:
    """Write ``network`` with ``card`` to ``path``, by temporary name and rename; return the card as written.

    Parameters
    ----------
    network : Module
        log-mel (batch, n_frames, n_mels) to logits (batch, n_labels), embedding (batch, embedding_size) and, where it
        scores steps of time as well, their logits (batch, n_steps, n_labels).
    card : ModelCard
        Of the network's outputs those that it names are written. Its golden check is computed here, through the engine;
        its score kind is applied to the logits.
    path : Path
    variants : sequence of str
        Variants to write beside it, as ``engine.convert.convert_model`` does.
    calibration : Path or None
        Folder of the recordings that those are calibrated on and compared with; int8 needs one.
    shortest : int or None
        The fewest frames that the network takes; None where it takes those of the card's window and no other number,
        which is then written into the graph.
    gives : "logits" or "scores"
        "scores" for a network that applies the card's score kind itself, as one that averages the scores of frames.

    Raises
    ------
    ModelError
        When torch and onnxruntime disagree, or the engine refuses the file: nothing is written then. When a variant
        does not agree with the model: that variant is not written.
    """
    scored = Scored(network, card, gives).eval()
    model = to_onnx(scored, card, free_time=shortest is not None)
    check_parity(scored, model, parity_shapes(card, shortest))
    written = write_model(model, card, path)
    recordings = read_recordings(calibration, written) if variants and calibration else ()
    for variant in variants:
        convert_model(path, variant, path.parent, recordings, overwrite=True)
    return written


def write_model(model: onnx.ModelProto, card: ModelCard, path: Path) -> ModelCard:
    """Write a graph with its card, golden check included, by temporary name and rename; return the card as written.

    Raises
    ------
    ModelError
        The engine refuses the file: nothing is written.
    """
    card = record_golden(model, card)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.part.onnx")
    try:
        onnx.save(write_card(model, card), temporary)
        written = verify_model(temporary).card
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return written


class Scored(nn.Module):
    """A network whose logits, if it gives logits, have become the scores that its card promises."""

    def __init__(self, network: nn.Module, card: ModelCard, gives: Literal["logits", "scores"] = "logits") -> None:
        super().__init__()
        self.network = network
        self.gives = gives
        self.softmax = card.score == "softmax"
        self.wanted = [output is not None for output in _in_order(card)]

    def forward(self, log_mel: Tensor) -> tuple[Tensor, ...]:
        """Map log-mel to the outputs of the card: scores, embedding, scores of steps."""
        logits, embedding, *steps = self.network(log_mel)
        outputs = (self._scores(logits), embedding, *map(self._scores, steps))
        return tuple(output for output, wanted in zip(outputs, self.wanted, strict=False) if wanted)

    def _scores(self, logits: Tensor) -> Tensor:
        if self.gives == "scores":
            return logits
        return logits.softmax(dim=-1) if self.softmax else logits.sigmoid()


def _in_order(card: ModelCard) -> tuple[ModelOutput | None, ...]:
    """Return the card's outputs in the order in which a network gives them."""
    return card.outputs.scores, card.outputs.embedding, card.outputs.frames


def to_onnx(scored: nn.Module, card: ModelCard, *, free_time: bool = True) -> onnx.ModelProto:
    """Return the traced graph, batch and time free, without the exporter's notes (they hold file paths)."""
    assert card.frontend is not None
    outputs = [output for output in _in_order(card) if output is not None]
    sizes = [len(card.labels) if "label" in output.axes else card.embedding_size for output in outputs]
    example = torch.zeros(2, card.frontend.n_frames(card.window), card.frontend.n_mels)
    with torch.no_grad():
        given = [output.shape[-1] for output in scored(example)]
    if given != sizes:
        raise ModelError(f"expected outputs of the card's sizes {sizes}, got {given}; correct card or network")
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter cannot do recurrent layers before torch 2.15; this one is right for them and for the rest.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        # What the exporter does not fold into constants, onnxruntime folds when it loads the file.
        warnings.filterwarnings("ignore", message="Constant folding", category=UserWarning)
        # Recurrent layers check their input when they are traced, and get their batch size when they run; the parity
        # check tries several.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning, module=r"torch\.nn\.modules\.rnn")
        warnings.filterwarnings("ignore", message="Exporting a model to ONNX with a batch_size", category=UserWarning)
        torch.onnx.export(
            scored,
            (example,),
            file,  # type: ignore[arg-type]  # the stub knows only paths
            dynamo=False,
            opset_version=OPSET,
            input_names=[card.input.name],
            output_names=[output.name for output in outputs],
            dynamic_axes={card.input.name: {0: "batch"} | ({1: "time"} if free_time else {})}
            | {output.name: {0: "batch"} | ({1: "step"} if "time" in output.axes else {}) for output in outputs},
        )
    model = onnx.load_from_string(file.getvalue())
    for output, size in zip(model.graph.output, sizes, strict=True):
        output.type.tensor_type.shape.dim[-1].dim_value = size
    onnx.checker.check_model(model, full_check=True)
    if model.ir_version > MAX_IR_VERSION:
        raise ModelError(f"expected ONNX IR {MAX_IR_VERSION} at most, got {model.ir_version}; install torch 2.13")
    return model


def parity_shapes(card: ModelCard, shortest: int | None = 1) -> list[tuple[int, int]]:
    """Return the (batch, time) shapes to compare at: the engine's own, the shortest, and awkward lengths."""
    assert card.frontend is not None
    frames = card.frontend.n_frames(card.window)
    if shortest is None:
        return [(batch, frames) for batch in (1, 2, 3, 5)]
    return [(1, frames), (1, shortest), (2, shortest + 36), (3, frames + 1), (5, 2 * frames - 1)]


def check_parity(scored: nn.Module, model: onnx.ModelProto, shapes: Sequence[tuple[int, int]]) -> None:
    """Raise ModelError unless onnxruntime gives what torch gives, on random input of each (batch, time) shape."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (port,) = session.get_inputs()
    generator = torch.Generator().manual_seed(0)
    for batch, time in shapes:
        log_mel = torch.randn(batch, time, port.shape[2], generator=generator)
        with torch.no_grad():
            expected = scored(log_mel)
        try:
            got = session.run(None, {port.name: log_mel.numpy()})
        except Exception as error:  # onnxruntime's exceptions share no narrower base
            raise ModelError(
                f"expected an export that runs at batch {batch} and {time} frames, onnxruntime says: {error}; "
                "write the network without sizes fixed at tracing"
            ) from error
        for output, want, have in zip(session.get_outputs(), expected, got, strict=True):
            fits = have.shape == tuple(want.shape)
            difference = float(np.abs(have - want.numpy()).max()) if fits else np.inf
            if not difference <= PARITY_TOLERANCE * max(1.0, float(want.abs().max())):
                raise ModelError(
                    f"expected {output.name!r} as torch gives it at batch {batch} and {time} frames within "
                    f"{PARITY_TOLERANCE:g}, got a difference of {difference:g}; the export is wrong and was not written"
                )
