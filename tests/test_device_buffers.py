"""Buffers on a device, here the CPU's own: the same answers as without, whatever the shapes do from call to call."""

from __future__ import annotations

import threading

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from engine import session as session_module
from engine.device_buffers import DeviceBuffers, pinned_array
from engine.devices import cuda_obstacle, log_once
from engine.errors import DeviceError, DeviceMemoryError
from engine.model import Model
from engine.session import Session
from tests.tiny_models import RATE, build, log_mel_network, save


def runtime_of(network):
    return onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])


def inputs(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def test_outputs_are_those_of_a_plain_run():
    runtime = runtime_of(log_mel_network())
    buffers = DeviceBuffers(runtime, "cpu")
    # The shape stays, grows, shrinks, comes back.
    for x in inputs((1, 5, 8), (1, 5, 8), (4, 5, 8), (1, 9, 8), (1, 5, 8)):
        got = buffers.run(["scores", "embedding"], {"log_mel": x})
        want = runtime.run(["scores", "embedding"], {"log_mel": x})
        for one, other in zip(got, want, strict=True):
            np.testing.assert_array_equal(one, other)


def test_results_outlive_the_next_run():
    buffers = DeviceBuffers(runtime_of(log_mel_network()), "cpu")
    first, second = inputs((1, 5, 8), (1, 5, 8))
    (kept,) = buffers.run(["scores"], {"log_mel": first})
    want = kept.copy()
    buffers.run(["scores"], {"log_mel": second})
    np.testing.assert_array_equal(kept, want)


def test_a_buffer_is_made_once_for_a_shape(monkeypatch):
    made = []
    make = onnxruntime.OrtValue.ortvalue_from_shape_and_type

    def counted(shape, *arguments):
        made.append(tuple(shape))
        return make(shape, *arguments)

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", counted)
    buffers = DeviceBuffers(runtime_of(log_mel_network()), "cpu")
    for x in inputs(*[(2, 5, 8)] * 10, *[(1, 5, 8)] * 3):
        buffers.run(["scores"], {"log_mel": x})
    assert made == [(2, 5, 8), (1, 5, 8)]


def test_inputs_of_every_type_are_bound():
    nodes = [
        helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT) for name in ("i64", "i32", "flag")
    ]
    nodes.append(helper.make_node("Sum", ["x", "i64_float", "i32_float", "flag_float"], ["sum"]))
    types = {"i64": TensorProto.INT64, "i32": TensorProto.INT32, "flag": TensorProto.BOOL}
    network = build(nodes, {"x": [2], "i64": [], "i32": [1], "flag": []}, {"sum": [2]}, {}, types)
    feeds = {
        "x": np.array([0.5, 1], np.float32),
        "i64": np.array(2**20),
        "i32": np.array([-3], np.int32),
        "flag": np.array(True),
    }
    (got,) = DeviceBuffers(runtime_of(network), "cpu").run(["sum"], feeds)
    assert got.tolist() == [2**20 - 1.5, 2**20 - 1]


class OnAnotherDevice(Session):
    """A session that takes the way of a GPU on the CPU."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.device = "cpu:0"


def test_a_model_on_a_device_gives_what_the_cpu_gives(tmp_path):
    path = save(tmp_path / "tiny.onnx")
    on_cpu = Model.open(path, device="cpu", threads=1)
    on_device = Model(OnAnotherDevice(path, "cpu", 1), on_cpu.card)
    noise = np.random.default_rng(1).standard_normal(5 * RATE + 321).astype(np.float32)
    for samples in (noise, noise[:RATE], noise[: RATE // 3]):
        got, want = on_device((samples, RATE)), on_cpu((samples, RATE))
        np.testing.assert_allclose(got.scores, want.scores, atol=1e-6)
        np.testing.assert_allclose(got.embedding, want.embedding, atol=1e-6)
        assert len(got.windows) == len(want.windows)


def test_no_two_threads_use_the_same_buffers(tmp_path, monkeypatch):
    path = save(tmp_path / "tiny.onnx")
    session = OnAnotherDevice(path, "cpu", 1)
    xs = inputs(*[(3, 50, 8)] * 8)
    want = [Session(path, "cpu", 1).run(["scores"], {"log_mel": x})[0] for x in xs]
    got = [[] for _ in xs]
    start = threading.Barrier(len(xs))
    made, in_use, shared = [], set(), []
    run = DeviceBuffers.run

    def watched(buffers, outputs, feeds):
        if id(buffers) in in_use:
            shared.append(buffers)
        in_use.add(id(buffers))
        made.append(buffers)
        values = run(buffers, outputs, feeds)
        in_use.remove(id(buffers))
        return values

    monkeypatch.setattr(DeviceBuffers, "run", watched)

    def work(i):
        start.wait()
        got[i] = [session.run(["scores"], {"log_mel": xs[i]})[0] for _ in range(50)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(xs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for results, expected in zip(got, want, strict=True):
        assert len(results) == 50
        assert all(np.array_equal(result, expected) for result in results)
    assert not shared
    # Kept from run to run: no more than there are threads.
    assert len(set(map(id, made))) <= len(xs)


def test_buffers_are_those_of_the_last_run_and_no_others(tmp_path, monkeypatch):
    session = OnAnotherDevice(save(tmp_path / "tiny.onnx"), "cpu", 1)
    made = []
    monkeypatch.setattr(session_module, "DeviceBuffers", lambda *given: made.append(0) or DeviceBuffers(*given))
    for x in inputs(*[(2, 5, 8)] * 5):
        session.run(["scores"], {"log_mel": x})
    # A recording on a thread of its own finds them too.
    thread = threading.Thread(target=session.run, args=(["scores"], {"log_mel": x}))
    thread.start()
    thread.join()
    assert len(made) == 1
    with pytest.raises(DeviceError):
        session.run(["scores"], {"log_mel": np.zeros((1, 5, 7), np.float32)})
    assert session._buffers == []  # what a failure leaves may be too large for the device
    session.run(["scores"], {"log_mel": x})
    session.close()
    assert session._buffers == []


@pytest.mark.parametrize(
    "message",
    [
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv. "
        + "Status Message: " * 20
        + "bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 9",
        "CUDA failure 2: out of memory ; GPU=0 ; hostname=h ; expr=cudaMalloc((void**)&p, size);",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
        "std::bad_alloc",
    ],
)
def test_a_device_without_memory_says_so(tmp_path, monkeypatch, message):
    session = OnAnotherDevice(save(tmp_path / "tiny.onnx"), "cpu", 1)

    def full(*_):
        raise RuntimeError(message)

    monkeypatch.setattr(DeviceBuffers, "run", full)
    with pytest.raises(DeviceMemoryError, match="; lower batch_size, free memory of cpu:0, or use device='cpu'"):
        session.run(["scores"], {"log_mel": np.zeros((1, 5, 8), np.float32)})


class CudaDevice:
    """What the runtime tells of a GPU."""

    ep_name = "CUDAExecutionProvider"

    def __init__(self, memory):
        self.memory = memory

    def memory_info(self, kind):
        assert kind == onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE
        return self.memory


def test_pinned_memory_comes_from_the_runtime(monkeypatch):
    make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
    asked = []

    def made(shape, dtype, memory_info):
        asked.append(memory_info)
        return make(shape, dtype)

    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: [CudaDevice("first"), CudaDevice("second")])
    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", made)
    staged, owner = pinned_array((2, 3), np.float32, "cuda:1")
    assert asked == ["second"]
    staged[:] = 7
    assert (owner.numpy() == 7).all()  # no copy lies between


@pytest.mark.parametrize("devices", [[], [CudaDevice(None)], [CudaDevice("unknown")]])
def test_without_pinned_memory_ordinary_memory_does_and_is_said(monkeypatch, caplog, devices):
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: devices)
    log_once.cache_clear()
    with caplog.at_level("INFO", logger="engine"):
        for _ in range(2):
            staged, owner = pinned_array((2, 3), np.float32, "cuda:0")
            assert (staged.shape, staged.dtype, owner) == ((2, 3), np.float32, None)
    (said,) = caplog.messages
    assert said.startswith("cuda:0: inputs are copied from memory that is not pinned: ")


def test_failures_on_a_device_are_the_devices(tmp_path):
    session = OnAnotherDevice(save(tmp_path / "tiny.onnx"), "cpu", 1)
    with pytest.raises(
        DeviceError, match=r"expected the network to run on log_mel.*; check cpu:0, or use device='cpu'"
    ):
        session.run(["scores"], {"log_mel": np.zeros((1, 5, 7), np.float32)})


@pytest.mark.gpu
@pytest.mark.skipif(cuda_obstacle(0) is not None, reason=f"no CUDA here: {cuda_obstacle(0)}")
def test_batches_on_a_gpu_agree_with_the_cpu(tmp_path):
    path = save(tmp_path / "tiny.onnx")
    on_gpu, on_cpu = Model.open(path, device="cuda"), Model.open(path, device="cpu")
    assert session_module.CUDA_OPTIONS["use_tf32"] == "0"
    noise = np.random.default_rng(1).standard_normal(30 * RATE).astype(np.float32)
    for batch_size in (1, 3, None, "auto"):
        got, want = on_gpu((noise, RATE), batch_size=batch_size), on_cpu((noise, RATE))
        np.testing.assert_allclose(got.scores, want.scores, atol=1e-4)
