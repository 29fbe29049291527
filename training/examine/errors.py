"""Which labels a tagger mistakes for which, and which recordings cause its errors."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from training.metrics import expected_calibration_error
from training.metrics.classification import validate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def errors(
    scores: NDArray[np.floating], truth: NDArray[np.integer], labels: Sequence[str], sources: Sequence[str]
) -> dict[str, Any]:
    """Return the errors of out-of-fold scores by pairs of labels and by source, and how far to trust the scores.

    Parameters
    ----------
    scores : ndarray, shape (n_clips, n_labels)
        Of models that had not seen the clips; a clip may be there several times, once per seed.
    truth : ndarray, shape (n_clips,)
        Index of each clip's label.
    labels : sequence of str
        In the order of the scores.
    sources : sequence of str
        Of each clip: its Freesound recording or speaker.

    Returns
    -------
    dict
        "n_clips", "n_errors", "expected_calibration_error" of the best label's score; "confusions", the most frequent
        first: "truth", "given", "n_errors" and the number of sources that they come from; "sources", those with most
        errors first: "source", "truth" (its most frequent label), "given" (the most frequent error), "n_errors" and
        "n_clips". Equal ones are in the order of their names.
    """
    validate(scores, truth)
    if len(sources) != len(truth):
        raise ValueError(f"expected a source for each of {len(truth)} clips, got {len(sources)}")
    best = scores.argmax(axis=1)
    wrong = np.flatnonzero(best != truth)
    pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
    given: dict[str, list[str]] = defaultdict(list)
    for i in wrong:
        pairs[labels[truth[i]], labels[best[i]]].append(sources[i])
        given[sources[i]].append(labels[best[i]])
    n_clips = Counter(sources)
    true_labels = defaultdict(list)
    for source, label in zip(sources, truth, strict=True):
        true_labels[source].append(labels[label])
    return {
        "n_clips": len(truth),
        "n_errors": len(wrong),
        "expected_calibration_error": expected_calibration_error(scores.max(axis=1), best == truth),
        "confusions": [
            {"truth": true, "given": false, "n_errors": len(of_pair), "n_sources": len(set(of_pair))}
            for (true, false), of_pair in sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        ],
        "sources": [
            {
                "source": source,
                "truth": _most_frequent(true_labels[source]),
                "given": _most_frequent(of_source),
                "n_errors": len(of_source),
                "n_clips": n_clips[source],
            }
            for source, of_source in sorted(given.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        ],
    }


def _most_frequent(names: Sequence[str]) -> str:
    counts = Counter(names)
    return min(counts, key=lambda name: (-counts[name], name))
