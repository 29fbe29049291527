"""Speed: each part is timed, and per second of audio what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.training import trees
from tests.training.cards import small_card, small_network
from training.examine.speed import speed
from training.export import export

if TYPE_CHECKING:
    from pathlib import Path


def test_every_part_is_timed(tmp_path: Path) -> None:
    export(small_network(), small_card(), tmp_path / "small.onnx")
    trees.write_clip(tmp_path / "clip.ogg", 300.0, 0.5, seed=0)
    found = speed(tmp_path / "small.onnx", seconds=2.0, calls=5, clip=tmp_path / "clip.ogg")
    assert found["bytes"] == (tmp_path / "small.onnx").stat().st_size
    for part in ("tagger", "resampling", "decoding"):
        assert 0 < found[part]["min_ms"] <= found[part]["median_ms"]
    assert found["tagger"]["median_ms_per_second"] == pytest.approx(found["tagger"]["median_ms"] / 2)
    assert "decoding" not in speed(tmp_path / "small.onnx", seconds=0.5, calls=1)
