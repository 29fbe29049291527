"""Export of two towers: what torch computes comes out of ``engine.Ranker``, and a wrong export comes out of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from engine import LogMel, Ranker
from engine.errors import ModelError
from engine.frontend import preset
from engine.take import prepared_take
from engine.verify import verify_model
from tests.training.ranker_cards import iminet, iminet_card
from training.export import MAX_IR_VERSION, OPSET
from training.export_two_tower import IMINET_SECONDS, Compared, check_pairs, examples_for, export_two_tower, to_onnx
from training.networks.two_tower import REFERENCE_FEATURES, TwoTower

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("deep") / "run" / "tl-iminet.onnx"
    export_two_tower(iminet(), iminet_card(), path)
    return path


def sound(seconds: float, rate: int, seed: int) -> NDArray[np.float32]:
    """A chirp in noise that grows louder."""
    time = np.arange(round(seconds * rate)) / rate
    chirp = np.sin(2 * np.pi * (200 + 300 * (seed + 1) * time) * time)
    noise = np.random.default_rng(seed).standard_normal(time.size)
    return ((0.3 * chirp + 0.05 * noise) * (0.2 + time / seconds)).astype(np.float32)


def four_seconds(wave: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    filled = np.zeros(IMINET_SECONDS * rate, np.float32)
    filled[: wave.size] = wave[: filled.size]
    return filled


def test_ranks_through_the_engine_are_those_of_torch(exported: Path) -> None:
    network = iminet()
    imitation, reference = preset("iminet_imitation"), preset("iminet_reference")
    queries = [sound(seconds, 16000, seed) for seed, seconds in enumerate((0.8, 2.5, 4.0))]
    references = [sound(seconds, 44100, seed) for seed, seconds in enumerate((0.5, 1.3, 3.0, 4.0, 2.2, 4.0))]
    ranker = Ranker(exported, device="cpu", threads=1)
    library = ranker.encode([(wave, 44100) for wave in references])
    right = torch.from_numpy(np.stack([LogMel(reference)(four_seconds(wave, 44100)) for wave in references]))
    for wave in queries:
        left = LogMel(imitation)(four_seconds(prepared_take(wave, 16000), 16000))
        with torch.no_grad():
            expected = [
                float(network(torch.from_numpy(left)[None], right[i : i + 1]).sigmoid()) for i in range(len(references))
            ]
        scores = ranker.scores((wave, 16000), library)
        np.testing.assert_allclose(scores, expected, atol=2e-6)
        assert np.argsort(-scores).tolist() == np.argsort(-np.array(expected)).tolist()


def test_a_long_reference_is_heard_throughout(exported: Path) -> None:
    """The tower looks at 2.97 s of each window: a change anywhere but in the last second must reach a vector."""
    ranker = Ranker(exported, device="cpu", threads=1)
    wave = sound(9.5, 44100, 1)
    vectors = ranker.encode([(wave, 44100)]).vectors
    assert len(vectors) == 3
    for second in range(9):
        changed = wave.copy()
        changed[second * 44100 + 20000 : second * 44100 + 30000] *= 0.2
        assert np.abs(ranker.encode([(changed, 44100)]).vectors - vectors).max() > 1e-3


def test_silent_references_are_scored_too(exported: Path) -> None:
    ranker = Ranker(exported, device="cpu", threads=1)
    library = ranker.encode([(np.zeros(44100, np.float32), 44100)])
    assert np.isfinite(ranker.scores((sound(1, 16000, 0), 16000), library)).all()


def test_the_file_verifies_and_tells_nothing_of_its_maker(exported: Path) -> None:
    verified = verify_model(exported)
    assert verified.card.golden is not None
    assert verified.card.golden.similarity is not None
    assert verified.golden_error is not None
    assert verified.golden_error < 1e-6
    model = onnx.load(exported)
    assert [opset.version for opset in model.opset_import] == [OPSET]
    assert model.ir_version <= MAX_IR_VERSION
    assert str(Path(__file__).resolve().parents[2]).encode() not in exported.read_bytes()
    assert [entry.key for entry in model.metadata_props] == ["engine_card"]
    assert list(exported.parent.iterdir()) == [exported]


class Faulty(nn.Module):
    """A head that was traced for one number of references."""

    def forward(self, query: Tensor, reference: Tensor) -> Tensor:
        return query.mean() + reference.mean(dim=1) / float(reference.shape[0])


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_wrong_export_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    network = iminet()
    with pytest.raises(ModelError, match=r"'similarity' as torch gives it for 1 queries and 1 references"):
        export_two_tower(TwoTower(network.query, network.reference, Faulty()), iminet_card(), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_one_changed_weight_is_seen() -> None:
    compared, card = Compared(iminet()).eval(), iminet_card()
    model = to_onnx(compared, card, examples_for(card, 2))
    check_pairs(compared, model, examples_for(card, 3))
    with torch.no_grad():
        compared.network.head.compare.bias += 1e-3  # type: ignore[union-attr, operator]
    with pytest.raises(ModelError, match="'similarity' as torch gives it for 3 queries"):
        check_pairs(compared, model, examples_for(card, 3))


def test_a_card_at_odds_with_the_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"sizes \[2640, 7\]"):
        export_two_tower(iminet(), iminet_card(embedding_size=7), tmp_path / "a.onnx")
    with pytest.raises(ModelError, match="query tower and two front ends"):
        export_two_tower(iminet(), iminet_card(task="embed", query=None), tmp_path / "a.onnx")
    assert iminet_card().embedding_size == REFERENCE_FEATURES
    assert list(tmp_path.iterdir()) == []
