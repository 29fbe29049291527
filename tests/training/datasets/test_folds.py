"""Folds of speakers."""

from __future__ import annotations

from training.datasets.folds import speaker_folds


def test_a_speaker_is_in_one_fold_and_folds_are_alike():
    sources = ["a"] * 10 + ["b"] * 6 + ["c"] * 5 + ["d"] * 4 + ["e"] * 3
    folds = speaker_folds(sources, 2)
    assert all(len({f for f, s in zip(folds, sources, strict=True) if s == name}) == 1 for name in "abcde")
    assert sorted(folds.count(fold) for fold in (0, 1)) == [14, 14]  # 10 + 4 and 6 + 5 + 3
    assert folds == speaker_folds(sources, 2)
