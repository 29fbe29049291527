"""Which clips are proposed for labelling: unsure ones, unlike each other and unlike what is labelled."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest

from engine.errors import AudioError, ConfigError, TeachError
from engine.teach import Example, propose, read_examples, teach, write_proposals
from engine.teach.review import COLUMNS, Proposal, choose_clips, uncertainty
from tests.teach.clips import folder_of, noise, write


def unit(*angles):
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_uncertainty_by_hand():
    scores = np.array([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2], [0.0, 0.0, 1.0]])
    assert uncertainty(scores, exclusive=True) == pytest.approx([0.5, 1.0, 0.0])
    assert uncertainty(scores, exclusive=False) == pytest.approx([0.6, 0.8, 0.0])


def test_of_two_clips_alike_in_all_else_the_unsure_one_comes_first():
    chosen = choose_clips(np.array([0.2, 0.9]), unit(80, -80), unit(0), 2)
    assert [index for index, _ in chosen] == [1, 0]


def test_a_clip_that_is_unlike_comes_before_a_second_of_the_same_kind():
    # The surest two are nearly the same sound; the third is a little less unsure and unlike both.
    unsure, pool = np.array([1.0, 0.9, 0.6]), unit(90, 91, -90)
    chosen = choose_clips(unsure, pool, unit(0), 3)
    assert [index for index, _ in chosen] == [0, 2, 1]
    assert [distance for _, distance in chosen] == pytest.approx([1.0, 1.0, 1 - np.cos(np.radians(1))], abs=1e-6)


def test_a_clip_like_a_labelled_one_comes_last():
    assert choose_clips(np.array([1.0, 0.5]), unit(1, 60), unit(0, 120), 2)[0][0] == 1


@pytest.fixture
def pool(tmp_path, folder):
    """Return a pool with sure clips, two nearly equal mixtures of two labels, a copy of a labelled clip and junk."""
    root = tmp_path / "pool"
    for index in range(3):
        write(root / f"sure{index}.wav", noise("low", 500 + index))
    for band in ("low", "middle"):
        mixed = noise(band, 600) + noise("high", 601)
        write(root / f"{band}_mixed_0.0_1.0.wav", mixed)
        write(root / f"{band}_mixed_1.0_2.0.wav", 0.99 * mixed)
    shutil.copy(folder / "low" / "low0.wav", root / "copy.wav")
    (root / "junk.wav").write_bytes(b"no audio")
    return root


def test_mixtures_are_proposed_one_of_each_before_sure_clips_and_copies(pool, folder, tiny):
    review = propose(folder, pool, embedder=tiny, count=2)
    assert {proposal.path.name.partition("_")[0] for proposal in review.proposals} == {"low", "middle"}
    assert all(proposal.recording.endswith("_mixed") for proposal in review.proposals)
    assert review.n_pool == 7
    assert [failure.path for failure in review.failures] == [str(pool / "junk.wav")]
    names = [proposal.path.name for proposal in propose(folder, pool, embedder=tiny, count=50).proposals]
    assert len(names) == 7
    assert "copy.wav" not in names


def test_the_table_is_filled_in_and_taught(pool, folder, tiny, tmp_path):
    table = tmp_path / "todo.csv"
    write_proposals(propose(folder, pool, embedder=tiny, count=4).proposals, table)
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert all(row["label"] == "" and (tmp_path / row["file"]).is_file() for row in rows)
    with pytest.raises(TeachError, match="4 rows without a label"):
        read_examples(table)
    for row, label in zip(rows, ("low", "high", "middle"), strict=False):
        row["label"] = label
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    taught = teach([folder, table], tmp_path / "mine.onnx", embedder=tiny)
    assert taught.n_unlabelled == 1
    assert sum(taught.card.metrics["clips"].values()) == 18
    # What was labelled is not proposed again.
    again = propose([folder, table], pool, embedder=tiny, count=50)
    assert again.n_pool == 4


def test_files_elsewhere_are_named_in_full(tmp_path):
    clip = write(tmp_path / "far" / "a, b.wav", noise("low", 0))
    table = tmp_path / "near" / "todo.csv"
    table.parent.mkdir()
    write_proposals([Proposal(clip, None, "low", 0.5, 1.0, 0.25)], table)
    table.write_text(table.read_text().replace(",,,", ",low,,"))
    assert read_examples(table).examples[0].path == clip


def test_pools_without_anything_to_label_are_refused(folder, tiny, tmp_path):
    with pytest.raises(TeachError, match="not labelled yet, got none"):
        propose(folder, folder, embedder=tiny)
    (tmp_path / "junk.wav").write_bytes(b"no audio")
    with pytest.raises(TeachError, match=r"got none: .*junk.wav"):
        propose(folder, tmp_path, embedder=tiny)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match="got none"):
        propose(folder, tmp_path / "empty", embedder=tiny)
    with pytest.raises(ConfigError, match="count"):
        propose(folder, folder, embedder=tiny, count=0)


def test_progress_goes_on_over_the_pool(pool, tiny, tmp_path):
    clips = folder_of(tmp_path / "clips", n=1)
    done = []
    propose(
        [Example(path, (path.parent.name,)) for path in clips.rglob("*.wav")], pool, embedder=tiny, progress=done.append
    )
    assert done == list(range(1, 13))
