"""A network of two towers and its card become one .onnx file that ``engine.Ranker`` runs, or nothing.

The file is the whole network, pair by pair: two inputs, the two embeddings, and the similarity. Whoever has only a
runtime feeds it pairs; the engine cuts it at the embeddings.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs, QueryTower
from engine.errors import ModelError
from engine.frontend import preset
from training.export import MAX_IR_VERSION, OPSET, PARITY_TOLERANCE, write_model
from training.networks.two_tower import QUERY_FEATURES, REFERENCE_FEATURES, REFERENCE_KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from training.networks.two_tower import TwoTower

BATCHES = (1, 2, 3, 5)
IMINET_SECONDS = 4  # of a query and of a reference


def export_two_tower(network: TwoTower, card: ModelCard, path: Path) -> ModelCard:
    """Write ``network`` with ``card`` to ``path``, by temporary name and rename; return the card as written.

    Both towers take the number of frames that their windows in the card give, any batch. Wherever several pairs are
    compared at once, one query may stand against a batch of references.

    Parameters
    ----------
    network : TwoTower
    card : ModelCard
        With a query tower. Its golden check is computed here, through the engine.
    path : Path

    Raises
    ------
    ModelError
        The card has no query tower, torch and onnxruntime disagree, or the engine refuses the file: nothing is written.
    """
    compared = Compared(network).eval()
    examples = examples_for(card, 2)
    model = to_onnx(compared, card, examples)
    for batch in BATCHES:
        check_pairs(compared, model, examples_for(card, batch))
    return write_model(model, card, path)


def iminet_card(
    name: str,
    *,
    training_data: str,
    licence: str,
    attribution: str,
    commit: str,
    metrics: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Return the card of a TL-IMINET: both front ends, and windows of four seconds.

    Those of a reference start 2.97 s apart, as far as the reference tower looks into each: what is beyond in one window
    is heard in the next.
    """
    imitation, recording = preset("iminet_imitation"), preset("iminet_reference")
    return ModelCard(
        name=name,
        task="rank",
        labels=(),
        score=None,
        frontend=recording,
        input=ModelInput("reference_log_mel", "log_mel", ("batch", "time", "mel")),
        outputs=ModelOutputs(embedding=ModelOutput("reference", ("batch", "feature"))),
        window=IMINET_SECONDS * recording.sample_rate,
        hop=REFERENCE_KEPT * recording.hop_length,
        pad="zeros",
        reduce="mean",
        embedding_size=REFERENCE_FEATURES,
        embedding_normalised=False,
        query=QueryTower(
            frontend=imitation,
            input=ModelInput("query_log_mel", "log_mel", ("batch", "time", "mel")),
            embedding=ModelOutput("query", ("batch", "feature")),
            embedding_size=QUERY_FEATURES,
            window=IMINET_SECONDS * imitation.sample_rate,
            similarity="similarity",
        ),
        training_data=training_data,
        licence=licence,
        attribution=attribution,
        commit=commit,
        metrics=dict(metrics or {}),
    )


class Compared(nn.Module):
    """Two towers with all that the card names: both embeddings, and the sigmoid of the logits."""

    def __init__(self, network: TwoTower) -> None:
        super().__init__()
        self.network = network

    def forward(self, query: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the embeddings of queries and of references, and their similarities (batch,)."""
        ours, theirs = self.network.query(query), self.network.reference(reference)
        return ours, theirs, self.network.head(ours, theirs).sigmoid()


def examples_for(card: ModelCard, batch: int) -> tuple[Tensor, Tensor]:
    """Return random log-mel of either tower, of the lengths of their windows."""
    query = card.query
    if query is None or query.frontend is None or card.frontend is None or card.outputs.embedding is None:
        raise ModelError(
            f"expected a card with a query tower and two front ends, that of {card.name!r} lacks one; describe both "
            "towers in it"
        )
    generator = torch.Generator().manual_seed(batch)
    sizes = [
        (frontend.n_frames(window), frontend.n_mels)
        for frontend, window in ((query.frontend, query.window), (card.frontend, card.window))
    ]
    left, right = (torch.randn(batch, *size, generator=generator) for size in sizes)
    return left, right


def to_onnx(compared: Compared, card: ModelCard, examples: tuple[Tensor, Tensor]) -> onnx.ModelProto:
    """Return the traced graph, its batch axes free, without the exporter's notes (they hold file paths)."""
    query, embedding = card.query, card.outputs.embedding
    assert query is not None
    assert embedding is not None
    with torch.no_grad():
        ours, theirs, similarity = compared(*examples)
    given, sizes = [ours.shape[1], theirs.shape[1]], [query.embedding_size, card.embedding_size]
    if given != sizes or similarity.shape != (len(ours),):
        raise ModelError(
            f"expected embeddings of the card's sizes {sizes} and one similarity a pair, got {given} and "
            f"{tuple(similarity.shape)}; correct card or network"
        )
    file = io.BytesIO()
    # The two axes have names of their own: one query meets many references.
    axes = {name: {0: "queries"} for name in (query.input.name, query.embedding.name)}
    axes |= {name: {0: "references"} for name in (card.input.name, embedding.name, query.similarity)}
    with warnings.catch_warnings():
        # As in training.export.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="Constant folding", category=UserWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning, module=r"torch\.nn\.modules\.rnn")
        warnings.filterwarnings("ignore", message="Exporting a model to ONNX with a batch_size", category=UserWarning)
        torch.onnx.export(
            compared,
            examples,
            file,  # type: ignore[arg-type]  # the stub knows only paths
            dynamo=False,
            opset_version=OPSET,
            input_names=[query.input.name, card.input.name],
            output_names=[query.embedding.name, embedding.name, query.similarity],
            dynamic_axes=axes,
        )
    model = onnx.load_from_string(file.getvalue())
    for output, size in zip(model.graph.output, given, strict=False):
        output.type.tensor_type.shape.dim[1].dim_value = size
    onnx.checker.check_model(model, full_check=True)
    if model.ir_version > MAX_IR_VERSION:
        raise ModelError(f"expected ONNX IR {MAX_IR_VERSION} at most, got {model.ir_version}; install torch 2.13")
    return model


def check_pairs(compared: Compared, model: onnx.ModelProto, examples: Sequence[Tensor]) -> None:
    """Raise ModelError unless onnxruntime gives what torch gives for these pairs, and for one query with them all."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    for queries in (examples[0], examples[0][:1]):
        with torch.no_grad():
            expected = compared(queries, examples[1])
        got = session.run(None, dict(zip(names, (queries.numpy(), examples[1].numpy()), strict=True)))
        for output, want, have in zip(session.get_outputs(), expected, got, strict=True):
            fits = have.shape == tuple(want.shape)
            difference = float(np.abs(have - want.numpy()).max()) if fits else np.inf
            if not difference <= PARITY_TOLERANCE * max(1.0, float(want.abs().max())):
                raise ModelError(
                    f"expected {output.name!r} as torch gives it for {len(queries)} queries and {len(examples[1])} "
                    f"references within {PARITY_TOLERANCE:g}, got a difference of {difference:g}; the export is wrong "
                    "and was not written"
                )
