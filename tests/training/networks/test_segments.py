"""The networks of the first paper: shapes, the paper's sizes, and what depends on what."""

from __future__ import annotations

import pytest
import torch

from training.networks.segments import ClipTagger, FrameTagger, SegmentCnn, pooled


def test_a_segment_of_the_paper_has_6144_numbers():
    network = SegmentCnn().eval()
    assert network(torch.zeros(2, 96, 64)).shape == (2, 96, 64)
    shapes = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight") and p.dim() == 4]
    assert shapes == [(64, 1, 3, 3), (64, 64, 3, 3), (64, 64, 3, 3)]


def test_bands_must_fold_to_one():
    with pytest.raises(ValueError, match="one band"):
        SegmentCnn(32)


def test_frames_see_three_neighbours_on_each_side():
    network = SegmentCnn(channels=(4, 4, 4)).eval()
    log_mel = torch.randn(1, 40, 64)
    changed = log_mel.clone()
    changed[0, 20] += 1
    differ = (network(log_mel) - network(changed)).abs().sum(dim=2)[0] > 1e-6
    assert torch.nonzero(differ).flatten().tolist() == list(range(17, 24))


@pytest.mark.parametrize("pool", [1, 4])
def test_a_clip_has_the_mean_of_its_frames_scores(pool):
    torch.manual_seed(0)
    network = ClipTagger(SegmentCnn(channels=(4, 4, 4)), FrameTagger(4, 3, units=5), pool).eval()
    log_mel = torch.randn(2, 22, 64)
    scores, embedding = network(log_mel)
    frames = network.embed(log_mel)
    groups = torch.stack([frames[:, i : i + pool].mean(dim=1) for i in range(0, 22 - pool + 1, pool)], dim=1)
    torch.testing.assert_close(pooled(frames, pool), groups)
    torch.testing.assert_close(scores, network.tagger(groups).mean(dim=1))
    torch.testing.assert_close(embedding, groups.mean(dim=1))
    assert ((scores > 0) & (scores < 1)).all()


def test_the_tagger_is_two_layers_of_64_each_way():
    tagger = FrameTagger(64, 10)
    assert (tagger.recurrent.num_layers, tagger.recurrent.hidden_size, tagger.recurrent.bidirectional) == (2, 64, True)
    assert ClipTagger(None, FrameTagger(64, 10))(torch.zeros(1, 5, 64))[1].shape == (1, 64)
