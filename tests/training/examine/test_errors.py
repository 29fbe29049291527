"""Errors by pairs of labels and by source."""

from __future__ import annotations

import numpy as np
import pytest

from training.examine.errors import errors


def test_errors_are_counted_by_pair_and_by_source() -> None:
    labels = ["a", "b", "c"]
    truth = np.array([0, 0, 0, 1, 1, 2])
    best = np.array([1, 1, 0, 2, 1, 2])
    scores = np.where(np.eye(3)[best] == 1, 0.8, 0.1)
    found = errors(scores, truth, labels, ["s1", "s1", "s1", "s2", "s2", "s3"])
    assert (found["n_clips"], found["n_errors"]) == (6, 3)
    assert found["expected_calibration_error"] == pytest.approx(0.8 - 0.5)
    assert found["confusions"] == [
        {"truth": "a", "given": "b", "n_errors": 2, "n_sources": 1},
        {"truth": "b", "given": "c", "n_errors": 1, "n_sources": 1},
    ]
    assert found["sources"] == [
        {"source": "s1", "truth": "a", "given": "b", "n_errors": 2, "n_clips": 3},
        {"source": "s2", "truth": "b", "given": "c", "n_errors": 1, "n_clips": 2},
    ]
    with pytest.raises(ValueError, match="each of 6 clips"):
        errors(scores, truth, labels, ["s"])
