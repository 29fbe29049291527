"""Cross-validation in which no recording is on both sides.

scikit-learn's StratifiedGroupKFold knows one label per clip; clips here may have several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

MAX_FOLDS = 5
# The fold of clips that are always taught and never measured.
NEVER_MEASURED = -1


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Which clips are measured together.

    Attributes
    ----------
    fold : ndarray of int, shape (n_clips,)
        From 0; -1 for clips that are on the taught side of every fold.
    n_folds : int
        0 where nothing can be measured.
    measured : ndarray of bool, shape (n_labels,)
        Whether a label has two recordings or more: one to teach and one to measure with.
    """

    fold: NDArray[np.intp]
    n_folds: int
    measured: NDArray[np.bool_]


def group_clips(keys: Sequence[Sequence[Hashable]]) -> NDArray[np.intp]:
    """Return the group of each clip, from 0: clips that share a key, directly or through others, are one group.

    Parameters
    ----------
    keys : sequence of sequences of hashable values
        What each clip has: the name of its recording, the hash of its file, what the model hears in it.

    Examples
    --------
    >>> group_clips([["night"], ["dawn"], ["noon"], ["night", "noon"]]).tolist()
    [0, 1, 0, 0]
    """
    parent = list(range(len(keys)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[Hashable, int] = {}
    for index, own in enumerate(keys):
        for key in own:
            one, other = root(first.setdefault(key, index)), root(index)
            parent[max(one, other)] = min(one, other)
    return np.unique([root(index) for index in range(len(keys))], return_inverse=True)[1]


def make_folds(targets: NDArray[np.bool_], groups: NDArray[np.intp], seed: int = 0) -> Folds:
    """Spread groups over up to five folds, so that each label is in as many folds as it can be.

    Parameters
    ----------
    targets : ndarray, shape (n_clips, n_labels), bool
    groups : ndarray of int, shape (n_clips,)
        From 0; clips of one group stay together.
    seed : int
        Another one deals equal groups in another order.

    Notes
    -----
    A label of which there is only one group cannot be taught and measured at once: its group is taught in every fold,
    so that the others are measured against it. Iterative stratification (Sechidis et al. 2011) over groups: the label
    with the fewest groups left is dealt first, each of its groups into the fold that has the fewest of that label.
    """
    n_groups = int(groups.max()) + 1
    held = np.zeros((n_groups, targets.shape[1]), np.intp)
    np.add.at(held, groups, targets)
    has: NDArray[np.bool_] = held > 0
    # Clips without any label are a kind of their own to be spread.
    has = np.hstack([has, ~has.any(axis=1, keepdims=True)])
    measured: NDArray[np.bool_] = has[:, :-1].sum(axis=0) >= 2
    free: NDArray[np.bool_] = np.logical_not(has[:, :-1][:, ~measured].any(axis=1))
    counts: NDArray[np.intp] = has[free].sum(axis=0)
    measured = measured & (counts[:-1] >= 2)
    if not measured.any():
        return Folds(np.full(len(targets), NEVER_MEASURED), 0, measured)
    n_folds = min(MAX_FOLDS, int(counts[:-1].max()))
    fold_of = np.full(n_groups, NEVER_MEASURED)
    order = np.random.default_rng(seed).permutation(n_groups)
    remaining = [group for group in order.tolist() if free[group]]
    in_fold = np.zeros((n_folds, has.shape[1]), np.intp)
    sizes = np.zeros(n_folds, np.intp)
    clips = np.bincount(groups, minlength=n_groups)
    while remaining:
        left = has[remaining].sum(axis=0)
        label = int(np.where(left > 0, left, len(remaining) + 1).argmin())
        for group in [group for group in remaining if has[group, label]]:
            fold = int(np.lexsort((sizes, in_fold[:, label]))[0])
            fold_of[group] = fold
            in_fold[fold] += has[group]
            sizes[fold] += clips[group]
            remaining.remove(group)
    return _taught_everywhere(targets, fold_of[groups], n_folds, measured)


def _taught_everywhere(
    targets: NDArray[np.bool_], fold: NDArray[np.intp], n_folds: int, measured: NDArray[np.bool_]
) -> Folds:
    """Take folds out of the measurement whose other side lacks a label, or has clips with that label only."""
    for number in range(n_folds):
        taught = targets[fold != number]
        lacking = len(taught) == 0 or not taught.any(axis=0).all()
        # A label that every clip has is refused before; here it would be one that only the measured clips lack.
        if lacking or (targets.shape[1] > 0 and _one_sided(targets, taught)):
            fold = np.where(fold == number, NEVER_MEASURED, fold)
    kept = np.unique(fold[fold != NEVER_MEASURED])
    renumbered = np.searchsorted(kept, fold)
    renumbered[fold == NEVER_MEASURED] = NEVER_MEASURED
    seen = targets[fold != NEVER_MEASURED].any(axis=0) if len(kept) else np.zeros(targets.shape[1], bool)
    return Folds(renumbered, len(kept), measured & seen)


def _one_sided(targets: NDArray[np.bool_], taught: NDArray[np.bool_]) -> bool:
    return bool((taught.all(axis=0) & ~targets.all(axis=0)).any())
