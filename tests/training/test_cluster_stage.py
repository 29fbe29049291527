"""The stage of clusters: against loops, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from training.cluster_stage import ClusterStage, Encoder, cluster, cluster_weights, label_sets, learn_embedding
from training.networks.event_encoders import CnnEncoder, LstmEncoder


@given(
    rows=st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=1, max_size=40),
    fewest=st.integers(1, 4),
)
def test_classes_are_the_sets_of_labels_that_are_not_rare(rows, fewest):
    frequent = {one for one in rows if rows.count(one) >= fewest}
    targets = torch.tensor(rows, dtype=torch.uint8)
    if len(frequent) < 2:
        with pytest.raises(ConfigError, match=f"expected two sets of labels with {fewest} clips or more"):
            label_sets(targets, fewest)
        return
    kept, classes = label_sets(targets, fewest)
    assert kept.tolist() == [i for i, one in enumerate(rows) if one in frequent]
    assert sorted(set(classes.tolist())) == list(range(len(frequent)))
    of_set = {(rows[row], number) for row, number in zip(kept.tolist(), classes.tolist(), strict=True)}
    assert len(of_set) == len(frequent)


def test_an_encoder_gives_rows_of_length_one_and_learns_by_the_networks_parameters():
    torch.manual_seed(0)
    network = torch.nn.ModuleDict({"first": torch.nn.Linear(4, 3), "other": torch.nn.Linear(3, 2)})
    encoder = Encoder(network, lambda inputs: 7 * network["first"](inputs))
    rows = encoder(torch.randn(5, 4))
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(5))
    rows[:, 0].sum().backward()
    assert network["first"].weight.grad is not None
    assert network["other"].weight.grad is None


def test_the_encoder_learns_from_what_is_drawn_and_is_clustered_on_what_is_there():
    torch.manual_seed(0)
    inputs, classes = torch.randn(40, 5, 4), torch.tensor([0] * 30 + [1] * 10)
    stage = ClusterStage(outer_iterations=1, head_epochs=1, last_epochs=2, batch_size=8)
    seen, learnt = [], []
    for changed in (0.0, 1.0):
        torch.manual_seed(1)
        encoder = LstmEncoder(4, 6)
        head = learn_embedding(
            encoder, inputs, classes, stage, 0, drawn=lambda rows, _, by=changed: seen.append(rows) or inputs[rows] + by
        )
        learnt.append((encoder, head))
    assert sorted(torch.cat(seen[:15]).tolist()) == sorted(list(range(40)) * 3)  # each of three epochs shows every clip
    plain = LstmEncoder(4, 6)
    torch.manual_seed(1)
    plain = LstmEncoder(4, 6)
    learn_embedding(plain, inputs, classes, stage, 0)
    same, other = (dict(encoder.named_parameters()) for encoder, _ in learnt)
    assert all(torch.equal(value, same[name]) for name, value in plain.named_parameters())
    assert any(not torch.equal(value, other[name]) for name, value in plain.named_parameters())


def test_classes_come_apart():
    torch.manual_seed(0)
    classes = torch.arange(60) % 3
    inputs = torch.randn(60, 5, 4) + torch.randn(3, 1, 4)[classes] * 2
    encoder = LstmEncoder(4, 6)

    def gap():
        with torch.no_grad():
            rows = encoder(inputs)
        cosines, same = rows @ rows.T, classes[:, None] == classes
        return float(cosines[same].mean() - cosines[~same].mean())

    before = gap()
    learn_embedding(encoder, inputs, classes, ClusterStage.of((2, 5, 20), 16, 1e-2), 0)
    assert gap() > before + 0.5


def test_clusters_hold_one_class_each_and_are_as_large_as_the_smallest():
    generator = torch.Generator().manual_seed(0)
    classes = torch.tensor([0] * 40 + [1] * 10 + [2] * 25)
    embeddings = torch.nn.functional.normalize(torch.randn(75, 6, generator=generator), dim=1)
    own, cluster_class, centroids = cluster(embeddings, classes, ClusterStage(), seed=0)
    assert cluster_class.tolist() == [0] * 4 + [1] + [2] * 3
    assert (cluster_class[own] == classes).all()
    assert own.bincount().tolist() == [10] * 4 + [10] + [9, 9, 7] or max(own.bincount().tolist()) <= 10
    assert centroids.norm(dim=1).tolist() == pytest.approx([1.0] * 8, abs=1e-5)
    assert cluster_weights(cluster_class, "inverse").tolist() == pytest.approx([1 / 4] * 4 + [1.0] + [1 / 3] * 3)
    assert cluster_weights(cluster_class, "direct").tolist() == [4.0] * 4 + [1.0] + [3.0] * 3


def test_head_epochs_leave_the_encoder_alone():
    torch.manual_seed(0)
    encoder = LstmEncoder(4, 6)
    before = [parameter.clone() for parameter in encoder.parameters()]
    config = ClusterStage(outer_iterations=1, head_epochs=3, last_epochs=1, batch_size=8, learning_rate=1e-30)
    log_mel = torch.randn(40, 5, 4)
    head = learn_embedding(encoder, log_mel, torch.tensor([0] * 30 + [1] * 10), config, 0)
    assert head.scale.tolist() == pytest.approx([10.0] * 4, abs=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


def test_head_epochs_leave_the_running_means_alone():
    encoder = CnnEncoder(20, 16, channels=(2, 3), pool_frames=(2, 5), pool_mels=2)
    config = ClusterStage(outer_iterations=1, head_epochs=3, last_epochs=1, batch_size=8)
    learn_embedding(encoder, torch.randn(40, 20, 16), torch.tensor([0] * 30 + [1] * 10), config, 0)
    counts = [int(value) for name, value in encoder.state_dict().items() if name.endswith("num_batches_tracked")]
    assert counts == [5, 5]


@pytest.mark.parametrize("changes", [{"reading": "E"}, {"class_weight": "none"}, {"outer_iterations": 0}])
def test_what_no_stage_can_have_is_refused(changes):
    with pytest.raises(ConfigError, match=f"--{next(iter(changes))}|at least one of {next(iter(changes))}"):
        ClusterStage(**changes)
