from __future__ import annotations

import ast
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail

from engine import session as session_module
from engine.devices import cuda_obstacle
from engine.errors import ConfigError, DeviceError, ModelError
from engine.session import Port, Session
from tests.tiny_models import LABELS, PROJECTION, WEIGHTS, build, log_mel_network, waveform_network

X = np.linspace(-3, 3, 5 * 8, dtype=np.float32).reshape(1, 5, 8)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(log_mel_network().SerializeToString())
    return path


@pytest.fixture
def log(caplog):
    session_module.log_once.cache_clear()
    caplog.set_level(logging.INFO, logger="engine")
    return caplog


def conv_network(channels=16, n_labels=10):
    """Convolutions, a recurrent layer and reductions, large enough that the runtime splits them between threads."""
    rng = np.random.default_rng(0)

    def weights(*shape):
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    constants = {
        "axis": np.array([1]),
        "last": np.array([3]),
        "conv1": weights(channels, 1, 3, 3),
        "conv2": weights(2 * channels, channels, 3, 3),
        "gru_w": weights(1, 96, 2 * channels),
        "gru_r": weights(1, 96, 32),
        "head": weights(32, n_labels),
        "second": np.array([2]),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["log_mel", "axis"], ["image"]),
        helper.make_node("Conv", ["image", "conv1"], ["c1"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "conv2"], ["c2"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("ReduceMean", ["r2", "last"], ["bands"], keepdims=0),
        helper.make_node("Transpose", ["bands"], ["steps"], perm=[2, 0, 1]),
        helper.make_node("GRU", ["steps", "gru_w", "gru_r"], ["", "state"], hidden_size=32),
        helper.make_node("Squeeze", ["state"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    return build(nodes, {"log_mel": ["batch", "time", 64]}, {"scores": None}, constants).SerializeToString()


def scores_by_hand(x):
    mean = x.astype(np.float64)[0].mean(axis=0)
    embedding = mean @ PROJECTION.astype(np.float64)
    return 1 / (1 + np.exp(-(mean @ WEIGHTS + 1))), embedding / np.linalg.norm(embedding)


def test_runs_what_the_graph_says(path):
    session = Session(path, device="cpu", threads=2)
    scores, embedding = session.run(["scores", "embedding"], {"log_mel": X})
    want_scores, want_embedding = scores_by_hand(X)
    np.testing.assert_allclose(scores[0], want_scores, atol=1e-6)
    np.testing.assert_allclose(embedding[0], want_embedding, atol=1e-6)
    assert (session.device, session.threads) == ("cpu", 2)
    assert session.inputs == (Port("log_mel", "tensor(float)", ("batch", "time", 8)),)
    assert session.outputs[0] == Port("scores", "tensor(float)", ("batch", len(LABELS)))


def test_opens_bytes_as_well_as_files(path):
    (from_file,) = Session(path).run(["scores"], {"log_mel": X})
    (from_bytes,) = Session(path.read_bytes()).run(["scores"], {"log_mel": X})
    np.testing.assert_array_equal(from_file, from_bytes)


def test_metadata_is_read():
    network = waveform_network()
    network.metadata_props.add(key="author", value="somebody")
    assert Session(network.SerializeToString()).metadata == {"author": "somebody"}


def broken(change):
    network = log_mel_network()
    change(network)
    return network.SerializeToString()


def absurd_shape(network):
    network.graph.initializer[0].dims[0] = 10**12


def unknown_operator(network):
    network.graph.node[0].op_type = "Levitate"


def foreign_operator(network):
    network.graph.node[0].domain = "com.example"


def no_nodes(network):
    del network.graph.node[:]


def newer_format(network):
    network.ir_version = 99


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(log_mel_network().SerializeToString()[:300], id="truncated"),
        pytest.param(log_mel_network().SerializeToString()[40:], id="beginning lost"),
        pytest.param(b"# a text file, not a model\n" * 20, id="text"),
        pytest.param(bytes(range(256)) * 8, id="noise"),
        pytest.param(b"\0" * 1000, id="zeros"),
        pytest.param(b"", id="empty"),
        *(
            pytest.param(broken(change), id=change.__name__)
            for change in (absurd_shape, unknown_operator, foreign_operator, no_nodes, newer_format)
        ),
    ],
)
def test_file_that_is_no_network_is_refused_in_one_sentence(tmp_path, capfd, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        Session(path, device="cpu")
    message = str(caught.value)
    assert message.startswith("expected an")
    assert str(path) in message
    assert len(message) < 200 + len(str(path)) + 100
    for noise in ("\n", "Traceback", "[ONNXRuntimeError]", "onnxruntime_src", "std::"):
        assert noise not in message
    assert capfd.readouterr() == ("", "")


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(ModelError, match="found nothing at"):
        Session(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        Session(tmp_path)


@pytest.mark.parametrize("location", ["../weights.bin", "{folder}/weights.bin", "link.bin", "absent.bin"])
def test_weights_outside_the_models_folder_are_refused(tmp_path, location):
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "link.bin").symlink_to(tmp_path / "weights.bin")
    network = log_mel_network()
    weights = network.graph.initializer[0]
    assert weights.name == "weights"
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location.format(folder=tmp_path))
    path = tmp_path / "models" / "model.onnx"
    path.write_bytes(network.SerializeToString())
    with pytest.raises(ModelError, match=r"[Ee]xternal data"):
        Session(path, device="cpu")


def test_a_file_does_not_choose_its_format(tmp_path, path):
    other_name = tmp_path / "network.ort"
    other_name.write_bytes(path.read_bytes())
    assert Session(other_name).inputs == Session(path).inputs


@pytest.mark.parametrize(
    "feed", [np.zeros((1, 5, 7), np.float32), np.zeros((5, 8), np.float32), np.zeros((1, 5, 8), np.float64)]
)
def test_input_that_does_not_fit_is_refused_without_noise(path, capfd, feed):
    with pytest.raises(ModelError, match="expected the network to run on log_mel"):
        Session(path, device="cpu").run(["scores"], {"log_mel": feed})
    assert capfd.readouterr() == ("", "")


def test_failure_inside_the_network_is_a_model_error_without_noise(capfd):
    nodes = [helper.make_node("Reshape", ["log_mel", "shape"], ["scores"])]
    network = build(nodes, {"log_mel": ["batch", "time", 8]}, {"scores": ["batch", 3]}, {"shape": np.array([7, 11])})
    with pytest.raises(ModelError, match="expected the network to run on log_mel"):
        Session(network.SerializeToString(), device="cpu").run(["scores"], {"log_mel": X})
    assert capfd.readouterr() == ("", "")


def test_runtime_never_changes_the_device_in_the_middle(path, capfd):
    class Failing:
        def __init__(self, runtime):
            self.runtime = runtime

        def __getattr__(self, name):
            return getattr(self.runtime, name)

        def run(self, *arguments):
            raise EPFail("the device is gone")

    session = Session(path, device="cpu")
    session._runtime._sess = Failing(session._runtime._sess)
    with pytest.raises(ModelError, match="the device is gone"):
        session.run(["scores"], {"log_mel": X})
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this system does not list a process's threads")
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_are_as_many_as_asked_for(path, threads):
    before = len(list(Path("/proc/self/task").iterdir()))
    session = Session(path, device="cpu", threads=threads)
    assert len(list(Path("/proc/self/task").iterdir())) - before == session.threads - 1


def test_waiting_threads_do_not_spin(path):
    options = Session(path, device="cpu", threads=2)._runtime.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_settings_are_checked(path):
    with pytest.raises(ConfigError, match="device"):
        Session(path, device="tpu")
    with pytest.raises(ConfigError, match="threads"):
        Session(path, threads=0)


def test_pickled_session_gives_the_same_bits(path):
    session = Session(path, device="cpu", threads=1)
    again = pickle.loads(pickle.dumps(session))
    assert (again.device, again.threads) == ("cpu", 1)
    np.testing.assert_array_equal(again.run(["scores"], {"log_mel": X}), session.run(["scores"], {"log_mel": X}))


def test_bits_depend_neither_on_threads_nor_on_the_batch():
    network = conv_network()
    x = np.random.default_rng(1).standard_normal((6, 301, 64)).astype(np.float32)
    alone = Session(network, device="cpu", threads=1)
    want = np.concatenate([alone.run(["scores"], {"log_mel": x[i : i + 1]})[0].reshape(1, -1) for i in range(6)])
    for threads in (1, 2, 3, 8):
        session = Session(network, device="cpu", threads=threads)
        got = [session.run(["scores"], {"log_mel": x[i : i + 1]})[0].reshape(1, -1) for i in range(6)]
        np.testing.assert_array_equal(np.concatenate(got), want)
        np.testing.assert_array_equal(session.run(["scores"], {"log_mel": x})[0], want)


def test_eight_threads_get_the_bits_of_one():
    session = Session(conv_network(), device="cpu", threads=2)
    inputs = np.random.default_rng(2).standard_normal((8, 1, 101, 64)).astype(np.float32)
    want = [session.run(["scores"], {"log_mel": x})[0] for x in inputs]
    got = [None] * 8
    start = threading.Barrier(8)

    def work(i):
        start.wait()
        got[i] = [session.run(["scores"], {"log_mel": inputs[i]})[0] for _ in range(20)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for results, expected in zip(got, want, strict=True):
        assert all(np.array_equal(result, expected) for result in results)


def test_auto_says_once_what_it_chose_and_why(path, log, monkeypatch):
    monkeypatch.setattr(session_module, "cuda_obstacle", lambda index: "libcurand.so.10 is missing")
    assert Session(path, device="auto").device == "cpu"
    assert Session(path, device="auto").device == "cpu"
    assert log.messages == ["device auto: cpu, because libcurand.so.10 is missing"]


def test_cpu_needs_no_words(path, log, capfd):
    Session(path, device="cpu")
    assert log.messages == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(cuda_obstacle(0) is None, reason="this machine has a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_explicit_cuda_that_cannot_run_raises_with_the_reason(path, device, capfd):
    with pytest.raises(DeviceError, match=r"expected cuda:\d to run.*(missing|no CUDA|driver|devices).*device='cpu'"):
        Session(path, device=device)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(cuda_obstacle(0) is None, reason="this machine has a CUDA device")
def test_runtime_that_takes_the_cpu_in_silence_is_found_out(path, monkeypatch):
    monkeypatch.setattr(session_module, "cuda_obstacle", lambda index: None)
    with pytest.raises(DeviceError, match="expected cuda:0 to run"):
        Session(path, device="cuda")


@pytest.mark.skipif(cuda_obstacle(0) is None, reason="this machine has a CUDA device")
def test_auto_warns_when_cuda_fails_for_a_reason_unforeseen(path, log, monkeypatch):
    monkeypatch.setattr(session_module, "cuda_obstacle", lambda index: None)
    assert Session(path, device="auto").device == "cpu"
    (record,) = log.records
    assert record.levelno == logging.WARNING
    assert "device auto: cpu, because" in record.getMessage()


@pytest.mark.gpu
@pytest.mark.skipif(cuda_obstacle(0) is not None, reason=f"no CUDA here: {cuda_obstacle(0)}")
def test_cuda_agrees_with_the_cpu(path):
    network = conv_network()
    x = np.random.default_rng(3).standard_normal((1, 301, 64)).astype(np.float32)
    on_cuda, on_cpu = Session(network, device="cuda"), Session(network, device="cpu")
    assert on_cuda.device == "cuda:0"
    difference = on_cuda.run(["scores"], {"log_mel": x})[0] - on_cpu.run(["scores"], {"log_mel": x})[0]
    assert np.abs(difference).max() < 1e-4


def test_broken_model_on_a_broken_device_is_the_models_fault(monkeypatch):
    monkeypatch.setattr(session_module, "cuda_obstacle", lambda index: None)
    with pytest.raises(ModelError):
        Session(onnx.ModelProto(ir_version=8).SerializeToString(), device="cuda")


# Forked processes

FORKING = """
import gc, os, signal, sys, threading, time
from pathlib import Path
import numpy as np
from engine.session import Session
from engine.errors import ModelError

path = Path(sys.argv[1])
os.chdir(path.parent)
session = Session(Path(path.name), device="cpu", threads=2)
x = np.random.default_rng(0).standard_normal((1, 301, 64)).astype(np.float32)
want = session.run(["scores"], {"log_mel": x})[0]

def check():
    assert np.array_equal(session.run(["scores"], {"log_mel": x})[0], want)

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"

def drop():
    global session
    del session
    gc.collect()

def run_and_drop():
    check()
    drop()

def close_unused():
    session.close()
    try:
        check()
    except ModelError as error:
        assert "closed" in str(error)
    else:
        raise AssertionError

def from_threads():
    errors = []
    def work():
        try:
            check()
        except BaseException as error:
            errors.append(error)
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    assert not errors, errors

def elsewhere():
    os.chdir("/")
    check()

def after_a_change():
    path.write_bytes(path.read_bytes() + Path(sys.argv[2]).read_bytes())
    try:
        check()
    except ModelError as error:
        assert "its file has changed since" in str(error), error
    else:
        raise AssertionError

print({name: in_child(work) for name, work in {
    "run": check,
    "again": check,
    "child of a child": lambda: sys.exit(1) if in_child(check) else check(),
    "close": close_unused,
    "drop": drop,
    "run and drop": run_and_drop,
    "threads": from_threads,
    "elsewhere": elsewhere,
    "changed": after_a_change,
}.items()})
check()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_processes_use_and_drop_the_session_of_their_parent(tmp_path):
    path, change, script = tmp_path / "network.onnx", tmp_path / "change", tmp_path / "forking.py"
    path.write_bytes(conv_network())
    # Metadata that is appended to a serialised model is part of it.
    change.write_bytes(
        onnx.ModelProto(metadata_props=[onnx.StringStringEntryProto(key="a", value="b")]).SerializeToString()
    )
    script.write_text(FORKING)
    done = subprocess.run(
        [sys.executable, script, path, change], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    statuses = ast.literal_eval(done.stdout)
    assert len(statuses) == 9
    assert set(statuses.values()) == {0}, (statuses, done.stderr)


# Closing


def test_a_closed_session_says_so(path):
    session = Session(path, device="cpu")
    session.close()
    session.close()
    with pytest.raises(ModelError, match="expected an open model, got one that was closed"):
        session.run(["scores"], {"log_mel": X})


def test_closing_lets_runs_finish_that_have_begun():
    session = Session(conv_network(), device="cpu", threads=2)
    x = np.random.default_rng(4).standard_normal((1, 301, 64)).astype(np.float32)
    want = session.run(["scores"], {"log_mel": x})[0]
    results, refusals, started = [], [], threading.Barrier(5)

    def work():
        started.wait()
        try:
            while True:
                results.append(session.run(["scores"], {"log_mel": x})[0])
        except ModelError as error:
            refusals.append(str(error))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    started.wait()
    while len(results) < 8:
        time.sleep(0.001)
    session.close()
    for worker in workers:
        worker.join(timeout=30)
    assert not any(worker.is_alive() for worker in workers)
    assert len(refusals) == 4
    assert all("closed" in refusal for refusal in refusals)
    assert all(np.array_equal(result, want) for result in results)


def test_a_closed_session_pickles_as_what_it_was_opened_from(path):
    session = Session(path, device="cpu", threads=1)
    session.close()
    assert pickle.loads(pickle.dumps(session)).run(["scores"], {"log_mel": X})[0].shape == (1, 3)


def test_a_relative_path_is_found_again_from_another_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)
    session = Session(Path(path.name), device="cpu", threads=1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(pickle.dumps(session)).inputs == session.inputs
