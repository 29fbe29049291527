"""One network in onnxruntime: on the device that was asked for, with the threads that were asked for, or an error.

The runtime is told never to fall back, print or spin. Waiting threads that spin make two threads up to 0.2 ms faster
on a network of 2 ms, and burn up to twice the CPU time for it: cores that decoding and the application need.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnxruntime

from engine.device_buffers import DeviceBuffers
from engine.devices import CUDA_PROVIDER, cuda_obstacle, log_once, parse_device
from engine.errors import DeviceError, DeviceMemoryError, EngineError, ModelError
from engine.graph_part import GraphPart, cut_graph
from engine.precision import holds_float16
from engine.threads import resolve_threads

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CUDA_OPTIONS = {
    # TensorFloat-32 keeps 10 bits of mantissa: too few to agree with the CPU.
    "use_tf32": "0",
    # The default measures every algorithm anew for each input shape.
    "cudnn_conv_algo_search": "HEURISTIC",
}
# How onnxruntime's arena, CUDA, cuBLAS and cuDNN, and the host say so.
OUT_OF_MEMORY = re.compile(
    r"failed to allocate|out of memory|alloc_?failed|bad allocation|bad_alloc|available memory", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a network as its file declares it.

    Attributes
    ----------
    name, type : str
        ``type`` in onnxruntime's spelling, for example "tensor(float)".
    shape : tuple
        A number for a fixed axis, a name or None for a free one.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Session:
    """A network that is ready to run. Threads may share it; pickles and forked processes open it again.

    Parameters
    ----------
    model : Path or bytes
        An .onnx file, or its content.
    device : str
        "auto", "cpu", "cuda" or "cuda:N". "auto" takes the first CUDA device that can run and the CPU otherwise, and
        logs once which one and why.
    threads : int or None
        Threads that one run may use; None is every CPU this process may use.
    part : GraphPart or None
        Runs only this part of the graph.

    Attributes
    ----------
    device : str
        "cpu" or "cuda:N", read back from the runtime.
    threads : int
    part : GraphPart or None
    inputs, outputs : tuple of Port
    metadata : dict of str to str
        What the file carries beside its graph.

    Raises
    ------
    ModelError
        The file cannot be read as a network that this runtime knows.
    DeviceError
        The device was asked for by name and cannot run here.
    ConfigError
        ``device`` or ``threads`` is not a valid setting.
    """

    def __init__(
        self, model: Path | bytes, device: str = "auto", threads: int | None = None, part: GraphPart | None = None
    ) -> None:
        self._process = os.getpid()
        # Opening again must find the file from any working folder.
        self._arguments = (model if isinstance(model, bytes) else model.absolute(), device, threads, part)
        self.threads = resolve_threads(threads)
        self.part = part
        _check_file(model)
        if part is not None:
            model = cut_graph(model, part)
        self._runtime: Any = _open(model, parse_device(device), self.threads)
        # Those that no thread uses at the moment.
        self._buffers: list[DeviceBuffers] = []
        self.device = _device_of(self._runtime)
        try:
            self.inputs = tuple(Port(port.name, port.type, tuple(port.shape)) for port in self._runtime.get_inputs())
            self.outputs = tuple(Port(port.name, port.type, tuple(port.shape)) for port in self._runtime.get_outputs())
            self.metadata: dict[str, str] = dict(self._runtime.get_modelmeta().custom_metadata_map)
        except UnicodeDecodeError as error:
            raise _refused(model, error) from error

    def __reduce__(self) -> tuple[type[Session], tuple[Path | bytes, str, int | None, GraphPart | None]]:
        return Session, self._arguments

    def cut(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Session:
        """Return a session on the same device that runs only a part of the graph; this one where it already does.

        Raises
        ------
        ModelError
            The graph cannot be cut there, or its file has changed since it was opened.
        """
        part = GraphPart(inputs, outputs)
        if part == self.part:
            return self
        session = Session(self._arguments[0], self.device, self.threads, part)
        if session.metadata != self.metadata:
            raise ModelError("expected the model that was opened, its file has changed since; open it again")
        return session

    def run(self, outputs: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the named outputs for the named inputs.

        Raises
        ------
        ModelError, DeviceError
            The network failed on this input, on the CPU or on another device; a DeviceMemoryError where that has no
            memory left.
        """
        if self._process != os.getpid():
            self._reopen()
        runtime = self._runtime
        if runtime is None:
            raise ModelError("expected an open model, got one that was closed; open it again")
        try:
            if self.device == "cpu":
                values: list[NDArray[Any]] = runtime.run(outputs, feeds)
                return values
            return self._run_on_device(runtime, outputs, feeds)
        except Exception as error:
            shapes = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in feeds.items())
            kind, remedy = self._blamed(error)
            failure = f"expected the network to run on {shapes}, onnxruntime failed: {_reason(error)}; {remedy}"
            raise kind(failure) from error

    def close(self) -> None:
        """Let go of the network and its memory; runs that have begun still finish."""
        if self._process != os.getpid():
            self._abandon()
        self._runtime = None
        self._buffers = []

    def __del__(self) -> None:
        if self._process != os.getpid():
            self._abandon()

    def _run_on_device(self, runtime: Any, outputs: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        free = self._buffers
        try:
            buffers = free.pop()
        except IndexError:
            buffers = DeviceBuffers(runtime, self.device)
        values = buffers.run(outputs, feeds)
        # Not after a failure: memory that was too large for the device is let go.
        free.append(buffers)
        return values

    def _blamed(self, error: Exception) -> tuple[type[EngineError], str]:
        """Return what kind of error a failed run is, and what to do about it."""
        if self.device == "cpu":
            return ModelError, "check the card against the network"
        if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)):
            return DeviceMemoryError, f"lower batch_size, free memory of {self.device}, or use device='cpu'"
        return DeviceError, f"check {self.device}, or use device='cpu'"

    def _reopen(self) -> None:
        """Open the network anew in a forked process, where the threads of the one it came from do not exist."""
        if self._runtime is not None:
            again = Session(self._arguments[0], self.device, self.threads, self.part)
            if again.metadata != self.metadata:
                raise ModelError("expected the model that was opened, its file has changed since; open it again")
            self._abandon()
            self._runtime, self._buffers = again._runtime, again._buffers
        self._process = os.getpid()

    def _abandon(self) -> None:
        """Keep what was opened before a fork for ever: its destructor would wait for threads that are not here."""
        for abandoned in (self._runtime, self._buffers):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(abandoned))


def _open(model: Path | bytes, device: str, threads: int) -> Any:
    if device == "cpu":
        return _open_on_cpu(model, threads)
    if device != "auto":
        return _open_on_cuda(model, device, threads)
    if obstacle := cuda_obstacle(0):
        log_once(logging.INFO, f"device auto: cpu, because {obstacle}")
        return _open_on_cpu(model, threads)
    try:
        runtime = _open_on_cuda(model, "cuda:0", threads)
    except DeviceError as error:
        log_once(logging.WARNING, f"device auto: cpu, because {error}")
        return _open_on_cpu(model, threads)
    log_once(logging.INFO, "device auto: cuda:0, the first CUDA device")
    return runtime


def _open_on_cpu(model: Path | bytes, threads: int) -> Any:
    try:
        return _create(model, "CPUExecutionProvider", {}, threads)
    except Exception as error:
        raise _refused(model, error) from error


def _open_on_cuda(model: Path | bytes, device: str, threads: int) -> Any:
    index = device.removeprefix("cuda:")
    if obstacle := cuda_obstacle(int(index)):
        raise DeviceError(f"expected {device} to run, but {obstacle}, or use device='cpu'")
    try:
        runtime = _create(model, CUDA_PROVIDER, CUDA_OPTIONS | {"device_id": index}, threads)
    except Exception as error:
        # Whose fault it is shows where nothing but the model can be at fault.
        _open_on_cpu(model, threads)
        raise DeviceError(
            f"expected {device} to run, onnxruntime failed: {_reason(error)}; check the driver, or use device='cpu'"
        ) from error
    if _device_of(runtime) != device:
        raise DeviceError(f"expected {device} to run, onnxruntime took the CPU; check the driver, or use device='cpu'")
    return runtime


def _create(model: Path | bytes, provider: str, options: dict[str, str], threads: int) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.use_deterministic_compute = True
    # Every failure arrives as an exception; only a crash may speak.
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A file decides neither its format nor the settings it runs with.
    settings.add_session_config_entry("session.load_model_format", "ONNX")
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        settings,
        providers=[(provider, options)],
        enable_fallback=0,
        read_config_from_model=0,
        # This one, which lays convolutions out for the CPU, crashes the process on recurrent and attention networks in
        # 16-bit floats (onnxruntime 1.30 and 1.31).
        disabled_optimizers=["NchwcTransformer"] if holds_float16(model) else [],
    )


def _device_of(runtime: Any) -> str:
    if CUDA_PROVIDER not in runtime.get_providers():
        return "cpu"
    return f"cuda:{runtime.get_provider_options()[CUDA_PROVIDER]['device_id']}"


def _check_file(model: Path | bytes) -> None:
    if isinstance(model, bytes):
        return
    if not model.exists():
        raise ModelError(f"expected an .onnx file, found nothing at {model}; check the path")
    if not model.is_file():
        raise ModelError(f"expected an .onnx file, {model} is a folder or a device; name the file")
    if model.stat().st_size == 0:
        raise ModelError(f"expected an .onnx file, {model} is empty; get it again")


def _refused(model: Path | bytes, error: Exception) -> EngineError:
    where = "the given bytes are" if isinstance(model, bytes) else f"{model} is"
    return ModelError(f"expected an ONNX model, {where} none that onnxruntime can load: {_reason(error)}; get it again")


def _reason(error: Exception) -> str:
    """Return the runtime's message without its codes, source locations and line breaks."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    text = re.sub(r"^Load model from .*? failed:", "", text)
    text = re.sub(r"^/\S+:\d+ .*?\) (?=[A-Z])", "", text)
    text = text.strip().rstrip(".")
    return text if len(text) <= 200 else text[:197] + "..."
