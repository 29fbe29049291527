"""The network of the benchmarks' torch peers is the shipped one: a peer that does something else proves nothing."""

import numpy as np
import pytest

from engine.card import read_card
from engine.registry import find_model
from engine.session import Session
from tests.benchmark_modules import benchmark


@pytest.mark.parametrize("folded", [False, True])
def test_the_shipped_network_in_torch_gives_what_the_file_gives(folded):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    peers = benchmark("end_to_end_peers")
    path = find_model()
    session = Session(path, "cpu", 1)
    n_labels = len(read_card(session.metadata).labels)
    log_mel = np.random.default_rng(0).standard_normal((2, 257, 64)).astype(np.float32)
    names = ["scores", "embedding", "frames"]
    expected = session.run(names, {"log_mel": log_mel})
    with torch.no_grad():
        logits, embedding, steps = peers.network_of(path, n_labels, folded=folded)(torch.from_numpy(log_mel))
    for name, given, there in zip(names, (logits.sigmoid(), embedding, steps.sigmoid()), expected, strict=True):
        np.testing.assert_allclose(given.numpy(), there, atol=2e-5, err_msg=name)
