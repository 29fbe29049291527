"""Export: what torch computes comes out of the engine, and a wrong export comes out of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx
import pytest
import soundfile
import torch
from torch import Tensor, nn

from engine import LogMel, Tagger
from engine.errors import ModelError
from engine.verify import verify_model
from tests.training.cards import FRONTEND, LABELS, small_card, small_network
from training.export import MAX_IR_VERSION, OPSET, Scored, check_parity, export, parity_shapes, to_onnx

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.card import ModelCard


@pytest.mark.parametrize("score", ["sigmoid", "softmax"])
def test_the_engine_gives_what_torch_gives(tmp_path: Path, score: str) -> None:
    network = small_network()
    card = export(network, small_card(score=score), tmp_path / "deep" / "small.onnx")
    waveform = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    clip = Tagger(tmp_path / "deep" / "small.onnx", device="cpu", threads=1)((waveform, 8000))
    with torch.no_grad():
        logits, embedding = network(torch.from_numpy(LogMel(FRONTEND)(waveform))[None])
    expected = logits.softmax(1) if score == "softmax" else logits.sigmoid()
    np.testing.assert_allclose(clip.scores, expected[0].numpy(), atol=1e-5)
    assert clip.embedding is not None
    np.testing.assert_allclose(clip.embedding, embedding[0].numpy(), atol=1e-5)
    assert card.golden is not None
    assert verify_model(tmp_path / "deep" / "small.onnx").card == card


def test_the_file_is_one_every_runtime_reads_and_tells_nothing_of_its_maker(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    export(small_network(), small_card(), path)
    model = onnx.load(path)
    assert [opset.version for opset in model.opset_import] == [OPSET]
    assert model.ir_version <= MAX_IR_VERSION
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert str(Path(__file__).resolve().parents[2]).encode() not in path.read_bytes()
    assert [entry.key for entry in model.metadata_props] == ["engine_card"]
    assert list(tmp_path.iterdir()) == [path]


def test_variants_are_written_beside_it(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    generator = np.random.default_rng(0)
    for index in range(3):
        noise = generator.normal(0, 0.1, 4000 + index)
        soundfile.write(tmp_path / f"audio/{index}.wav", noise, 8000, subtype="FLOAT")
    path = tmp_path / "run" / "small.onnx"
    card = export(small_network(), small_card(), path, variants=("waveform", "fp16"), calibration=tmp_path / "audio")
    names = {path.name, f"{card.name}-waveform.onnx", f"{card.name}-fp16.onnx"}
    assert {written.name for written in path.parent.iterdir()} == names
    metrics = verify_model(path.with_name(f"{card.name}-waveform.onnx")).card.metrics
    assert metrics["made_from"]["model_sha256"] == card.model_sha256
    assert metrics["agreement"]["recordings"] == 3


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export(small_network(), small_card(), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_network_in_training_mode_is_exported_as_it_evaluates(tmp_path: Path) -> None:
    export(small_network(), small_card(), tmp_path / "a.onnx")
    export(small_network().train(), small_card(), tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_parity_is_checked_at_four_shapes_and_more() -> None:
    shapes = parity_shapes(small_card())
    assert len(set(shapes)) >= 4
    assert {1, 2, 3} <= {batch for batch, _ in shapes}
    assert FRONTEND.n_frames(4000) in {time for _, time in shapes}
    assert {1, 37} <= {time for _, time in shapes}


class Faulty(nn.Module):
    """A network with a fault that tracing does not see."""

    def __init__(self, fault: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fault = fault
        self.network = small_network()

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        logits, embedding = self.network(log_mel)
        return logits + self.fault(log_mel).mean(), embedding


FAULTS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "time fixed at tracing": (lambda x: x.sum(dim=1) / float(x.shape[1]), "difference"),
    "batch fixed at tracing": (lambda x: x.sum() / float(x.shape[0]), "difference"),
    "branch fixed at tracing": (lambda x: x * 0 + (1.0 if x.shape[1] > 40 else 0.0), "difference"),
    "shape fixed at tracing": (lambda x: x.reshape(int(x.shape[0]), int(x.shape[1]), -1), "runs at batch"),
}


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_export_is_refused_and_leaves_no_trace(tmp_path: Path, fault: str) -> None:
    function, message = FAULTS[fault]
    path = tmp_path / "small.onnx"
    path.write_bytes(b"an older model")
    with pytest.raises(ModelError, match=message):
        export(Faulty(function), small_card(), path)
    assert path.read_bytes() == b"an older model"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="difference of nan"):
        export(Faulty(lambda log_mel: torch.sqrt(log_mel * 0 - 1)), small_card(), tmp_path / "small.onnx")


def test_one_changed_weight_is_seen() -> None:
    card = small_card()
    scored = Scored(small_network(), card).eval()
    model = to_onnx(scored, card)
    check_parity(scored, model, parity_shapes(card))
    with torch.no_grad():
        scored.network.classify[2].bias[0] += 1e-3  # type: ignore[union-attr, index]
    with pytest.raises(ModelError, match="'scores' as torch gives it"):
        check_parity(scored, model, parity_shapes(card))


@pytest.mark.parametrize("card", [small_card(labels=(*LABELS, "more")), small_card(embedding_size=7)])
def test_a_card_at_odds_with_the_network_is_refused(tmp_path: Path, card: ModelCard) -> None:
    with pytest.raises(ModelError):
        export(small_network(), card, tmp_path / "small.onnx")
    assert list(tmp_path.iterdir()) == []


class Joined(nn.Module):
    """A convolutional embedder and a recurrent tagger over its sequence, as one network."""

    def __init__(self, gives: str) -> None:
        super().__init__()
        self.gives = gives
        self.embedder = nn.Sequential(nn.Conv1d(FRONTEND.n_mels, 6, 3, padding=1), nn.BatchNorm1d(6), nn.ReLU())
        self.tagger = nn.GRU(6, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.dense = nn.Linear(8, 3)

    def forward(self, log_mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sequence = self.embedder(log_mel.transpose(1, 2)).transpose(1, 2)
        hidden, _ = self.tagger(sequence)
        embedding = nn.functional.normalize(sequence.mean(dim=1))
        frames = self.dense(hidden)
        return (frames.sigmoid() if self.gives == "scores" else frames).mean(dim=1), embedding


@pytest.mark.parametrize("gives", ["logits", "scores"])
def test_an_embedder_and_a_recurrent_tagger_become_one_model(
    tmp_path: Path, gives: Literal["logits", "scores"]
) -> None:
    torch.manual_seed(0)
    network = Joined(gives).eval()
    card = export(network, small_card(), tmp_path / "joined.onnx", gives=gives)
    assert card.golden is not None
    waveform = np.random.default_rng(0).standard_normal(3000).astype(np.float32) * 0.1
    clip = Tagger(tmp_path / "joined.onnx", device="cpu", threads=1)((waveform, 8000))
    padded = np.concatenate([waveform, np.zeros(1000, np.float32)])
    with torch.no_grad():
        given, _ = network(torch.from_numpy(LogMel(FRONTEND)(padded))[None])
    expected = given if gives == "scores" else given.sigmoid()
    np.testing.assert_allclose(clip.scores, expected[0].numpy(), atol=2e-5)
