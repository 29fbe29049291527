"""The library that ``make demo`` indexes: what is in it, and that like finds like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from engine import Index
from engine.audio import load

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "make_library.py"


def test_sounds_of_a_kind_find_each_other(tmp_path):
    subprocess.run([sys.executable, SCRIPT, tmp_path / "library"], check=True)
    paths = sorted((tmp_path / "library").rglob("*.wav"))
    assert len(paths) == 128
    assert all(0.5 < np.abs(load(path)[0]).max() < 0.75 for path in paths[::7])
    with Index.create(tmp_path / "lib.index") as index:
        index.add(paths, lambda path: [Path(path).parent.name])
        kinds = [tags[0] for tags in index.items["tags"].to_pylist()]
        assert len(set(kinds)) == 16
        nearest = [
            next(hit for hit in index.search(item, k=2) if hit.item != item).tags[0] for item in range(len(index))
        ]
    # By chance it would be 7 of 127.
    assert np.mean([found == kind for found, kind in zip(nearest, kinds, strict=True)]) > 0.85
