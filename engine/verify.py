"""Whether a model file is what its maker wrote, and whether this machine computes with it what the maker's did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from engine.card import read_card, write_card
from engine.card_parts import Golden
from engine.errors import ModelError
from engine.fingerprint import model_sha256
from engine.golden import synthetic_clip
from engine.model import Model
from engine.registry import find_model
from engine.session import Session
from engine.two_tower import TwoTower

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from engine.card import ModelCard
    from engine.results import Clip

GOLDEN_CLIP = "bursts-chirp-clicks"
GOLDEN_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Verification:
    """A model that passed.

    Attributes
    ----------
    path : Path
    card : ModelCard
    golden_error : float or None
        Largest absolute difference from the golden outputs, at most ``card.golden.tolerance``; None where there was no
        golden check and none was needed.
    """

    path: Path
    card: ModelCard
    golden_error: float | None


def verify_model(
    model: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    golden_needed: bool = True,
) -> Verification:
    """Recompute a model's hashes and its golden check, the latter through the whole engine.

    Parameters
    ----------
    model, device, threads
        As for ``Tagger``, except that the CPU is the default.
    golden_needed : bool
        Whether a card without a golden check is refused; without one only the hashes are checked.

    Raises
    ------
    ModelError
        The file is unusable, its card or its network was changed, it has no golden check, or its outputs differ.
    DeviceError
        The device was asked for by name and cannot run here.
    """
    path = find_model(model)
    opened = Model.open(path, device, threads)
    card = opened.card
    if model_sha256(_load(path)) != card.model_sha256:
        raise ModelError(
            f"{path}: expected the network as it was written, got one that does not fit the card's model_sha256: "
            "weights or graph were changed; get the model again"
        )
    if card.golden is None:
        if not golden_needed:
            return Verification(path, card, None)
        raise ModelError(f"{path}: expected a card with a golden check, got one without; export the model again")
    clip = _run_golden(opened, card.golden.clip)
    error = max(
        _largest_difference(clip.scores, card.golden.scores), _largest_difference(clip.embedding, card.golden.embedding)
    )
    if card.golden.similarity is not None:
        similarity = _golden_similarity(opened.session, card, card.golden.clip, clip)
        error = max(error, abs(similarity - card.golden.similarity))
    if error > card.golden.tolerance:
        raise ModelError(
            f"{path}: expected outputs within {card.golden.tolerance:g} of the card's golden check, got them "
            f"{error:.2g} off: the front end or the runtime computes something else here; reinstall sound-engine"
        )
    return Verification(path, card, error)


def record_golden(model: onnx.ModelProto, card: ModelCard) -> ModelCard:
    """Return ``card`` with the golden check of ``model`` recorded: its outputs for one window of a synthetic clip.

    Raises
    ------
    ModelError
        The engine cannot run ``model`` with ``card``.
    """
    carrier = write_card(model, replace(card, golden=None))
    session = Session(carrier.SerializeToString(), device="cpu", threads=1)
    clip = _run_golden(Model(session, read_card(session.metadata)), GOLDEN_CLIP)
    similarity = None if card.query is None else _golden_similarity(session, card, GOLDEN_CLIP, clip)
    values = np.concatenate([clip.scores, () if clip.embedding is None else clip.embedding])
    golden = Golden(
        clip=GOLDEN_CLIP,
        scores=tuple(clip.scores.tolist()) if card.labels else None,
        embedding=None if clip.embedding is None else tuple(clip.embedding.tolist()),
        # Rounding grows with the values: embeddings that are not normalised may hold large ones.
        tolerance=GOLDEN_TOLERANCE * max(1.0, float(np.abs(values).max())),
        similarity=similarity,
    )
    return replace(card, golden=golden)


def _run_golden(model: Model, name: str) -> Clip:
    """Return the outputs for one window of a synthetic clip; for rows of embeddings, the clip cut into rows."""
    window = model.card.window
    if model.card.input.kind != "embedding":
        return model((synthetic_clip(name, window, model.sample_rate), model.sample_rate))
    width = model.n_features
    if width is None:
        raise ModelError(
            f"expected a network whose rows have one width, for its golden check, {model.card.name!r} takes any; "
            "export it with that axis fixed"
        )
    # The clip's clicks come four times a "second": one per row.
    rows = synthetic_clip(name, window * width, 4 * width).reshape(window, width)
    return model.rows(rows, row_s=model.card.input.row_s or 1.0)


def _golden_similarity(session: Session, card: ModelCard, name: str, reference: Clip) -> float:
    """Return the similarity of a synthetic clip, as a query, to what the reference tower gave for it."""
    towers = TwoTower(session, card)
    query = _run_golden(towers.query, name).embedding
    assert query is not None
    assert reference.embedding is not None
    return float(towers.similarities(query, reference.embedding[np.newaxis])[0])


def _largest_difference(got: NDArray[np.float32] | None, expected: tuple[float, ...] | None) -> float:
    if got is None or expected is None:
        return 0.0
    return float(np.max(np.abs(got - np.asarray(expected, np.float64))))


def _load(path: Path) -> onnx.ModelProto:
    import onnx

    return onnx.load(path, load_external_data=False)
