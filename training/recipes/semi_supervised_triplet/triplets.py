"""Section 2 of the paper: which segments become positives and negatives of an anchor (strategies S1 to S5, Table 1).

=====  =========================================  ====================================
       anchor with labels                         anchor without labels
=====  =========================================  ====================================
S1     as one without labels                      transformed, semi-hard
S2     shares a label, shares no label            transformed, semi-hard
S3     shares a label, shares no label            nearest segment of all, semi-hard
S4     shares a label, semi-hard                  none
S5     shares a label, shares no label            none
=====  =========================================  ====================================

A segment has the labels of its clip. Semi-hard negatives (section 2.4) are farther than the positive, and nearest to
the anchor among those, in the present embedding; never of the anchor's own clip, which mostly holds the same sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from engine.distance import nearest_self, semi_hard
from engine.errors import ConfigError
from training import transformations

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from training.recipes.semi_supervised_triplet.config import Config


@dataclass(frozen=True, eq=False)
class Segments:
    """All training segments, those of labelled clips first.

    Attributes
    ----------
    mel : Tensor, shape (n_segments, segment_frames, n_mels)
        Linear.
    clips : ndarray, shape (n_segments,), int64
        The clip of each, from 0.
    targets : ndarray, shape (n_labelled, n_labels)
        Of the segments with labels.
    normalise : callable
        Linear mel to the network's input.
    """

    mel: Tensor
    clips: NDArray[np.int64]
    targets: NDArray[np.uint8]
    normalise: Callable[[Tensor], Tensor]

    @property
    def n_labelled(self) -> int:
        """The number of segments with labels."""
        return len(self.targets)

    def inputs(self, rows: NDArray[np.int64]) -> Tensor:
        """Return segments as the network takes them."""
        return self.normalise(self.mel[torch.from_numpy(rows)])


def cut(
    mel: dict[str, Tensor], targets: NDArray[np.uint8], config: Config, normalise: Callable[[Tensor], Tensor]
) -> Segments:
    """Cut clips into segments, zeros behind their end; the labelled ones first."""
    clips = torch.cat([mel["labelled"], mel["unlabelled"]])
    n_frames = config.segments * config.segment_frames
    if clips.shape[1] < n_frames:
        clips = torch.nn.functional.pad(clips, (0, 0, 0, n_frames - clips.shape[1]))
    segments = clips[:, :n_frames].reshape(-1, config.segment_frames, config.n_mels)
    clip = np.repeat(np.arange(len(clips)), config.segments)
    return Segments(segments, clip, np.repeat(targets, config.segments, axis=0), normalise)


def choose_anchors(
    segments: Segments, config: Config, generator: Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the anchors with and without labels: a run's, the same at every epoch.

    Without labels as many as asked for, or all that there are: of DCASE's videos some are gone. The log has numbers.
    """
    n_labelled = segments.n_labelled
    rounds = -(-round(config.labelled_anchors * n_labelled) // n_labelled)
    orders = [generator.permutation(n_labelled) for _ in range(rounds)]
    labelled = np.concatenate([*orders, np.empty(0, np.int64)])[: round(config.labelled_anchors * n_labelled)]
    wanted, there = round(config.unlabelled_anchors * n_labelled), len(segments.clips) - n_labelled
    return labelled.astype(np.int64), n_labelled + generator.permutation(there)[:wanted]


def nearest_segments(segments: Segments, config: Config) -> NDArray[np.int64]:
    """Return the nearest segments of each in the input space (section 2.3), nearest first, shape (n_segments, k).

    Squared Euclidean distance of normalised log-mel, over labelled and unlabelled segments alike.
    """
    k = config.nearest_k if config.nearest == "one_of_k" else 1
    inputs = segments.normalise(segments.mel).flatten(1).numpy()
    groups = None if config.nearest_own_clip else segments.clips
    return nearest_self(inputs, k, "sqeuclidean", groups=groups, threads=config.threads).indices


@dataclass(frozen=True, eq=False)
class Triplets:
    """One epoch's triplets before the negatives are mined.

    Attributes
    ----------
    anchors : ndarray, shape (n,), int64
    positives : Tensor, shape (n, segment_frames, n_mels)
        As the network takes them.
    negatives : ndarray, shape (n,), int64
        -1 where a semi-hard one is to be mined.
    """

    anchors: NDArray[np.int64]
    positives: Tensor
    negatives: NDArray[np.int64]


def draw(
    segments: Segments,
    labelled: NDArray[np.int64],
    unlabelled: NDArray[np.int64],
    nearest: NDArray[np.int64] | None,
    config: Config,
    generator: Generator,
) -> Triplets:
    """Draw positives, and the negatives that labels decide, for all anchors; the labelled ones first.

    Parameters
    ----------
    nearest : ndarray or None
        Of ``nearest_segments``; S3 needs it.
    """
    by_label = config.strategy != "S1"
    parts = []
    if len(labelled):
        if by_label:
            positive, negative = draw_by_label(segments.targets, labelled, config.segments, generator)
            if config.strategy == "S4":
                negative = np.full(len(labelled), -1)
            parts.append((labelled, segments.inputs(positive), negative))
        else:
            parts.append((labelled, transformed(segments, labelled, config, generator), np.full(len(labelled), -1)))
    if len(unlabelled):
        if config.strategy == "S3":
            assert nearest is not None
            positives = near_positives(segments, unlabelled, nearest, config, generator)
        else:
            positives = transformed(segments, unlabelled, config, generator)
        parts.append((unlabelled, positives, np.full(len(unlabelled), -1)))
    anchors, positives_of, negatives = zip(*parts, strict=True)
    return Triplets(np.concatenate(anchors), torch.cat(positives_of), np.concatenate(negatives))


def draw_by_label(
    targets: NDArray[np.uint8], anchors: NDArray[np.int64], n_segments: int, generator: Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw for each anchor a segment of another clip that shares a label, and one that shares none.

    Where no other clip shares a label, the positive is another segment of the anchor's own; where no clip shares none,
    the negative is -1: semi-hard.
    """
    of_clips = targets[::n_segments].astype(np.int64)
    shares = of_clips @ of_clips.T > 0
    positives, negatives = another_of_clip(anchors, n_segments, generator), np.full(len(anchors), -1)
    for place, clip in enumerate((anchors // n_segments).tolist()):
        others = np.arange(len(shares)) != clip
        alike, unlike = np.flatnonzero(shares[clip] & others), np.flatnonzero(~shares[clip] & others)
        if alike.size:
            positives[place] = alike[generator.integers(alike.size)] * n_segments + generator.integers(n_segments)
        if unlike.size:
            negatives[place] = unlike[generator.integers(unlike.size)] * n_segments + generator.integers(n_segments)
    return positives, negatives


def transformed(segments: Segments, anchors: NDArray[np.int64], config: Config, generator: Generator) -> Tensor:
    """Return each anchor changed by one of the four transformations, drawn for each (section 2.2)."""
    kinds = generator.integers(len(config.transformations), size=len(anchors))
    noise = torch.Generator().manual_seed(int(generator.integers(2**63)))
    made = torch.empty(len(anchors), *segments.mel.shape[1:])
    for number, kind in enumerate(config.transformations):
        places = np.flatnonzero(kinds == number)
        if not places.size:
            continue
        rows = anchors[places]
        mel = segments.mel[torch.from_numpy(rows)]
        if kind == "noise" and config.noise == "additive":
            changed = transformations.additive_noise(segments.normalise(mel), config.sigma, noise)
        else:
            if kind == "noise":
                mel = transformations.multiplicative_noise(mel, config.sigma, noise)
            elif kind == "translation":
                mel = transformations.translation(mel, config.max_bands, noise)
            elif kind == "proximity":
                mel = segments.mel[torch.from_numpy(another_of_clip(rows, config.segments, generator))]
            else:  # mixed with any segment at random; the negative is mined afterwards
                others = generator.integers(len(segments.mel), size=len(rows))
                mel = transformations.mixing(mel, segments.mel[torch.from_numpy(others)], config.alpha)
            changed = segments.normalise(mel)
        made[torch.from_numpy(places)] = changed
    return made


def another_of_clip(rows: NDArray[np.int64], n_segments: int, generator: Generator) -> NDArray[np.int64]:
    """Return another segment of the same clip for each; a clip is 10 s, and so is the paper's bound of proximity."""
    first = rows // n_segments * n_segments
    return first + (rows - first + generator.integers(1, n_segments, size=len(rows))) % n_segments


def near_positives(
    segments: Segments, anchors: NDArray[np.int64], nearest: NDArray[np.int64], config: Config, generator: Generator
) -> Tensor:
    """Return the positives of S3: the nearest segment, or what the paper proposes instead (section 5).

    "one_of_k" draws one of the k nearest; "beyond_transformed" takes the nearest segment that is farther from the
    anchor than the transformed anchor, and the transformed anchor itself where none is.
    """
    if config.nearest != "beyond_transformed":
        rank = generator.integers(nearest.shape[1], size=len(anchors))
        return segments.inputs(nearest[anchors, rank])
    made = transformed(segments, anchors, config, generator)
    inputs = segments.normalise(segments.mel).flatten(1).numpy()
    found = semi_hard(
        inputs[anchors],
        made.flatten(1).numpy(),
        inputs,
        labels=segments.clips[anchors] if not config.nearest_own_clip else anchors,
        candidate_labels=segments.clips if not config.nearest_own_clip else np.arange(len(inputs)),
        metric="sqeuclidean",
        threads=config.threads,
    )
    rows = torch.from_numpy(found.semi_hard)
    made[rows] = segments.inputs(found.negatives[found.semi_hard])
    return made


def mine(
    triplets: Triplets,
    segments: Segments,
    embed: Callable[[Tensor], Tensor],
    config: Config,
    generator: Generator,
) -> tuple[NDArray[np.int64], int]:
    """Return all negatives, semi-hard ones mined from a random pool, and how many of those there were none for.

    Where no candidate is farther than the positive, the farthest one is taken (section 2.4 does not say what is).

    Parameters
    ----------
    embed : callable
        The network's inputs to embeddings (n, size), as it stands, in evaluation mode.
    """
    negatives = triplets.negatives.copy()
    asked = np.flatnonzero(negatives < 0)
    if not asked.size:
        return negatives, 0
    pool = np.sort(generator.permutation(len(segments.clips))[: config.pool])
    anchors = triplets.anchors[asked]
    found = semi_hard(
        embed(segments.inputs(anchors)).numpy(),
        embed(triplets.positives[torch.from_numpy(asked)]).numpy(),
        embed(segments.inputs(pool)).numpy(),
        labels=segments.clips[anchors],
        candidate_labels=segments.clips[pool],
        metric="sqeuclidean",
        threads=config.threads,
    )
    if (found.negatives < 0).any():
        raise ConfigError(f"expected a pool with segments of several clips, got {len(pool)} segments; raise --pool")
    negatives[asked] = pool[found.negatives]
    return negatives, found.n_without
