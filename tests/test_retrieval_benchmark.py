"""What the retrieval benchmark counts: which clips are searched, and the precision of what is found."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmark_modules import benchmark

retrieval = benchmark("retrieval")
Sound, answers, esc10, summary, words = (
    getattr(retrieval, name) for name in ("Sound", "answers", "esc10", "summary", "words")
)


def sounds(*rows):
    return [Sound(None, *row) for row in rows]


def at(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_precision_is_that_of_the_definition():
    clips = sounds(("bark", "a", 1), ("bark", "b", 2), ("rain", "c", 2), ("bark", "d", 2), ("rain", "e", 2))
    # From the query outwards: rain, bark, rain, bark.
    found = answers(at(0, 20, 10, 40, 30), clips, [0], other_folds=True)
    assert found == {0: (pytest.approx((1 / 2 + 2 / 4) / 2), False)}


def test_neither_the_own_source_nor_the_own_fold_is_searched():
    clips = sounds(("bark", "a", 1), ("bark", "a", 2), ("rain", "b", 1), ("bark", "c", 2), ("rain", "d", 2))
    vectors = at(0, 0, 0, 20, 10)
    assert answers(vectors, clips, [0], other_folds=True)[0] == (0.5, False)
    # Without folds the other source's rain stands in front.
    assert answers(vectors, clips, [0], other_folds=False)[0] == (pytest.approx(1 / 3), False)


def test_a_query_without_its_kind_elsewhere_is_left_out():
    clips = sounds(("bark", "a", 1), ("bark", "a", 2), ("rain", "b", 2))
    assert answers(at(0, 1, 2), clips, [0], other_folds=True) == {}


def test_summaries_weigh_queries_and_draw_sources():
    clips = sounds(("x", "a", 1), ("x", "a", 1), ("x", "b", 2))
    figures = summary({0: (1.0, True), 1: (0.5, False), 2: (0.0, False)}, clips)
    assert figures["n_queries"] == 3
    assert figures["map"] == pytest.approx(0.5)
    assert figures["p_at_1"] == pytest.approx(1 / 3)
    assert figures["map_by_fold"] == {1: 0.75, 2: 0.0}
    assert figures["map_interval"] == [0.0, 0.75]


def test_the_sets_are_read(shared_data):
    clips = esc10(shared_data / "esc10_dev")
    assert (len(clips), len({clip.kind for clip in clips})) == (318, 10)
    assert not {c.source for c in clips if c.fold == 1} & {c.source for c in clips if c.fold != 1}
    spoken = words(shared_data / "speech_commands_dev")
    assert len({clip.source for clip in spoken}) == 192
    assert all(clip.path.is_file() and clip.source for clip in (*clips, *spoken))
    assert {"yes", "no"} <= {clip.kind for clip in spoken}
