"""The ONNX head gives what scikit-learn gives, for every kind of head, label and batch."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from scipy import special

from engine.card import ModelOutput, ModelOutputs
from engine.errors import ModelError
from engine.session import Session
from engine.teach.graph import join_head
from engine.teach.head import fit_head
from tests.tiny_models import build, log_mel_card, log_mel_network

SIZE = 6


def problem(n_labels, exclusive, n=40, offset=0.0):
    generator = np.random.default_rng(n_labels)
    embeddings = (generator.standard_normal((n, SIZE)) + offset).astype(np.float32)
    logits = embeddings @ generator.standard_normal((SIZE, n_labels)) + generator.standard_normal((n, n_labels))
    logits -= np.median(logits, axis=0)
    targets = np.eye(n_labels, dtype=bool)[logits.argmax(axis=1)] if exclusive else logits > 0
    return embeddings, targets, generator.uniform(0.2, 1, n)


def by_sklearn(head, embeddings):
    """The estimator's own probabilities, at the head's temperature."""
    rows = (embeddings.astype(np.float64) - head.mean) / head.scale
    estimator = head.estimator
    if hasattr(estimator, "estimators_"):
        given = np.stack([each.predict_proba(rows)[:, 1] for each in estimator.estimators_], axis=1)
    else:
        given = estimator.predict_proba(rows)
    if head.exclusive:
        with np.errstate(divide="ignore"):
            return special.softmax(np.log(given) / head.temperature, axis=1)
    if given.shape[1] == 2 and head.n_labels == 1:
        given = given[:, 1:]
    return special.expit(special.logit(given) / head.temperature)


def identity_network(axes=("batch", "feature")):
    """A network whose embedding is its input."""
    sizes = {"batch": "batch", "time": "time", "feature": SIZE}
    shape = [sizes[axis] for axis in axes]
    node = onnx.helper.make_node("Identity", ["rows"], ["embedding"])
    return build([node], {"rows": shape}, {"embedding": shape}, {})


def embedder_card(axes, normalised=False):
    outputs = ModelOutputs(embedding=ModelOutput("embedding", axes))
    return log_mel_card(
        task="embed",
        labels=(),
        score=None,
        outputs=outputs,
        embedding_size=SIZE,
        embedding_normalised=normalised,
        thresholds={},
        threshold_method="",
    )


def run(model, rows):
    return Session(model.SerializeToString(), "cpu", 1).run([model.graph.output[0].name], {"rows": rows})[0]


@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize(("n_labels", "exclusive"), [(2, True), (4, True), (1, False), (2, False), (3, False)])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_scores_are_scikit_learns_at_every_batch_size(kind, n_labels, exclusive, temperature):
    embeddings, targets, weights = problem(n_labels, exclusive, offset=5.0)
    head = fit_head(kind, embeddings, targets, weights, exclusive=exclusive, seed=1).at(temperature)
    expected = by_sklearn(head, embeddings)
    assert expected.shape == targets.shape
    assert head.scores(embeddings) == pytest.approx(expected, abs=1e-9)
    model, outputs = join_head(identity_network(), embedder_card(("batch", "feature")), head)
    assert outputs.scores.axes == ("batch", "label")
    for size in (1, 2, 7, len(embeddings)):
        assert run(model, embeddings[:size]) == pytest.approx(expected[:size], abs=1e-5)


@pytest.mark.parametrize(
    "axes", [("feature",), ("feature", "batch"), ("batch", "time", "feature"), ("feature", "time", "batch")]
)
@pytest.mark.parametrize("normalised", [True, False])
def test_embeddings_of_any_axes_are_read_as_the_engine_reads_them(axes, normalised):
    embeddings, targets, weights = problem(3, exclusive=True)
    head = fit_head("linear", embeddings, targets, weights, exclusive=True)
    generator = np.random.default_rng(0)
    lengths = {"batch": 4, "time": 5, "feature": SIZE}
    rows = generator.standard_normal([lengths[axis] for axis in axes]).astype(np.float32)
    model, outputs = join_head(identity_network(axes), embedder_card(axes, normalised), head)
    wanted = [axis for axis in ("batch", "time", "feature") if axis in axes]
    values = rows.transpose([axes.index(axis) for axis in wanted])
    if "time" in axes:
        values = values.mean(axis=wanted.index("time"))
        values = values / np.linalg.norm(values, axis=-1, keepdims=True) if normalised else values
    expected = head.scores(np.atleast_2d(values))
    assert run(model, rows) == pytest.approx(expected if "batch" in axes else expected[0], abs=1e-5)
    assert outputs.scores.axes == (("batch", "label") if "batch" in axes else ("label",))


def test_embeddings_that_cancel_over_time_give_scores():
    embeddings, targets, weights = problem(3, exclusive=True)
    head = fit_head("linear", embeddings, targets, weights, exclusive=True)
    axes = ("batch", "time", "feature")
    model, _ = join_head(identity_network(axes), embedder_card(axes, normalised=True), head)
    row = np.ones((1, 1, SIZE), np.float32)
    assert run(model, np.concatenate([row, -row], axis=1)) == pytest.approx(head.scores(np.zeros((1, SIZE))), abs=1e-5)


def test_what_only_served_the_old_scores_is_left_out_and_the_network_given_stays():
    head = fit_head("linear", np.eye(4, dtype=np.float32), np.eye(4, dtype=bool), np.ones(4), exclusive=True)
    network = log_mel_network()
    before = network.SerializeToString()
    joined, outputs = join_head(network, log_mel_card(), head)
    assert network.SerializeToString() == before
    assert [port.name for port in joined.graph.output] == [outputs.scores.name, "embedding"]
    assert "Gemm" not in {node.op_type for node in joined.graph.node}
    assert not {"weights", "bias"} & {each.name for each in joined.graph.initializer}
    assert outputs.frames is None
    # A taught model is an embedder too: its head is replaced, not kept.
    again, _ = join_head(
        joined, log_mel_card(outputs=outputs, labels=tuple("abcd"), thresholds={}, threshold_method=""), head
    )
    assert len(again.graph.node) == len(joined.graph.node)


def test_values_that_a_subgraph_takes_from_around_it_are_kept():
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    branch = [
        helper.make_graph(
            [helper.make_node(operator, ["doubled"], [operator])],
            operator,
            [],
            [helper.make_tensor_value_info(operator, number, ["batch", SIZE])],
        )
        for operator in ("Identity", "Neg")
    ]
    nodes = [
        helper.make_node("Add", ["rows", "rows"], ["doubled"]),
        helper.make_node("If", ["yes"], ["embedding"], then_branch=branch[0], else_branch=branch[1]),
    ]
    network = build(nodes, {"rows": ["batch", SIZE]}, {"embedding": ["batch", SIZE]}, {"yes": np.array(True)})
    embeddings, targets, weights = problem(3, exclusive=True)
    head = fit_head("linear", embeddings, targets, weights, exclusive=True)
    model, _ = join_head(network, embedder_card(("batch", "feature")), head)
    assert run(model, embeddings[:2] / 2) == pytest.approx(head.scores(embeddings[:2]), abs=1e-5)


def test_an_old_opset_is_refused():
    network = identity_network()
    network.opset_import[0].version = 12
    head = fit_head("linear", *problem(3, exclusive=True), exclusive=True)
    with pytest.raises(ModelError, match="of opset 13 or newer, 'tiny' is of opset 12"):
        join_head(network, embedder_card(("batch", "feature")), head)


def test_a_long_clip_counts_as_much_as_a_short_one():
    embeddings, targets, _ = problem(3, exclusive=True)
    one = fit_head("linear", embeddings, targets, np.ones(len(embeddings)), exclusive=True)
    thrice = fit_head(
        "linear",
        np.repeat(embeddings, 3, axis=0),
        np.repeat(targets, 3, axis=0),
        np.full(3 * len(embeddings), 1 / 3),
        exclusive=True,
    )
    assert thrice.scores(embeddings) == pytest.approx(one.scores(embeddings), abs=1e-3)


def test_embeddings_that_are_all_alike_give_scores():
    head = fit_head("linear", np.ones((4, SIZE)), np.eye(2, dtype=bool)[[0, 1, 0, 1]], np.ones(4), exclusive=True)
    assert head.scores(np.ones((1, SIZE))) == pytest.approx(np.full((1, 2), 0.5))
