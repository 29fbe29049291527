"""The loaders of AudioSet on a miniature of its tree and on the real embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.errors import ConfigError
from tests.training.datasets import layouts
from training.datasets.audioset import label_names, load_audioset, load_audioset_vggish, read_segments, vggish

if TYPE_CHECKING:
    from pathlib import Path


def test_segments_are_read_behind_exactly_three_comments(tmp_path: Path) -> None:
    layouts.audioset(tmp_path)
    segments = list(read_segments(tmp_path / "eval_segments.csv"))
    assert segments[0] == ("-0RWZT-miFs", 420.0, 430.0, ["/m/03v3yw", "/m/0k4j"])
    assert len(segments) == 4
    for changed in (layouts.AUDIOSET_SEGMENTS[1:], ["# one more", *layouts.AUDIOSET_SEGMENTS]):
        layouts.lines(tmp_path / "eval_segments.csv", changed)
        with pytest.raises(ConfigError, match=r"comment|ID, START, END"):
            list(read_segments(tmp_path / "eval_segments.csv"))


def test_recordings_by_either_name(tmp_path: Path) -> None:
    data = load_audioset(layouts.audioset(tmp_path))
    assert [(record.path.name, record.split, record.source) for record in data.records] == [
        ("mmmmmmmmmmm.wav", "train", "mmmmmmmmmmm"),
        ("-0RWZT-miFs.flac", "test", "-0RWZT-miFs"),
        ("Y4gqARaEJE1.wav", "test", "Y4gqARaEJE1"),
        ("Y--4gqARaEJE_30.000_37.000.wav", "test", "--4gqARaEJE"),
    ]
    assert data.missing == ("Ygonegonegon_0.000_10.000",)
    assert data.records[3].duration_s == 7


def test_labels_are_in_the_published_order_and_only_positives_observed(tmp_path: Path) -> None:
    data = load_audioset(layouts.audioset(tmp_path), ["eval"])
    assert data.labels == ("Speech", "Dog", "Keys jangling", "Car")
    assert data.records[1].labels == ("Speech", "Keys jangling", "Car")
    np.testing.assert_array_equal(data.targets().astype(bool), data.mask())


def test_what_is_not_published_is_refused(tmp_path: Path) -> None:
    layouts.audioset(tmp_path)
    with pytest.raises(ConfigError, match=r"\['train'\]"):
        load_audioset(tmp_path, ["train"])
    with pytest.raises(ConfigError, match="unbalanced_train_segments"):
        load_audioset(tmp_path, ["unbalanced_train"])
    layouts.lines(tmp_path / "class_labels_indices.csv", ["index,mid,display_name", '0,/m/09x0r,"Speech"'])
    with pytest.raises(ConfigError, match=r"for -0RWZT-miFs, got \['/m/03v3yw', '/m/0k4j'\]"):
        load_audioset(tmp_path)
    layouts.lines(tmp_path / "class_labels_indices.csv", ["index,mid,display_name", '1,/m/09x0r,"Speech"'])
    with pytest.raises(ConfigError, match="indices 0 to 0"):
        load_audioset(tmp_path)


def test_shared_embeddings(shared_data: Path) -> None:
    root = shared_data / "audioset_vggish_small"
    names = list(label_names(root).values())
    assert (len(names), names[74], names[75], names[427]) == (527, "Dog", "Bark", "Gunshot, gunfire")
    data = load_audioset_vggish(root)
    assert (len(data), data.targets().sum(), data.mask().sum()) == (975, 1965, 1965)
    embeddings = vggish(root)
    assert (embeddings.shape, embeddings.dtype) == ((975, 10, 128), np.uint8)
    assert data.records[0].source == "rmLnozgTQMY"


def test_embeddings_and_table_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="class_labels_indices"):
        load_audioset_vggish(tmp_path)
    layouts.audioset(tmp_path)
    with pytest.raises(ConfigError, match=r"audioset_vggish_small\.npz"):
        load_audioset_vggish(tmp_path)
    flags = np.zeros((1, 4), np.uint8)
    flags[0, [1, 3]] = 1
    np.savez(tmp_path / "audioset_vggish_small.npz", X=np.zeros((1, 10, 128), np.uint8), Y_pos=flags)
    header = "shard,video_id,start_s,end_s,n_frames,label_indices"
    layouts.lines(tmp_path / "meta.csv", [header, "rm,rmLnozgTQMY,30.0,40.0,10,1 3"])
    assert load_audioset_vggish(tmp_path).records[0].labels == ("Dog", "Car")
    layouts.lines(tmp_path / "meta.csv", [header, "rm,rmLnozgTQMY,30.0,40.0,10,1 2"])
    with pytest.raises(ConfigError, match="rmLnozgTQMY"):
        load_audioset_vggish(tmp_path)
    layouts.lines(tmp_path / "meta.csv", [header])
    with pytest.raises(ConfigError, match=r"\(0, 4\)"):
        load_audioset_vggish(tmp_path)
