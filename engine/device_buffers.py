"""Inputs kept on a device from call to call: a batch of the same shape is one copy and no allocation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnxruntime

from engine.devices import CUDA_PROVIDER, log_once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray


class _Input(NamedTuple):
    """Memory for an input of one shape: where it is put down on the host, and where it goes."""

    staged: NDArray[Any]
    held: Any
    owner: Any  # of the staged memory


class DeviceBuffers:
    """Runs a network with its inputs bound to memory of the device. For one thread at a time.

    Each input goes through memory of the host that is pinned where the runtime has such, so that the device reads it
    by itself. Outputs are small and come back as new arrays, which outlive the next run.

    Parameters
    ----------
    runtime : onnxruntime.InferenceSession
    device : str
        "cpu" or "cuda:N".
    """

    def __init__(self, runtime: Any, device: str) -> None:
        self._runtime = runtime
        self._inputs = DeviceInputs(device)

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the named outputs, as new arrays, for the named inputs."""
        binding = self._runtime.io_binding()
        for name, array in feeds.items():
            binding.bind_ortvalue_input(name, self._inputs.put(name, array))
        for name in outputs:
            binding.bind_output(name, "cpu")
        self._runtime.run_with_iobinding(binding)
        values: list[NDArray[Any]] = binding.copy_outputs_to_cpu()
        return values


class DeviceInputs:
    """Named arrays on a device, each in memory that stays while its shape does.

    Parameters
    ----------
    device : str
        "cpu" or "cuda:N".
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._kind, _, index = device.partition(":")
        self._index = int(index or 0)
        self._inputs: dict[str, _Input] = {}

    def put(self, name: str, array: NDArray[Any]) -> Any:
        """Copy an array to the device and return the OrtValue there."""
        memory = self._inputs.get(name)
        if memory is None or memory.staged.shape != array.shape:
            held = onnxruntime.OrtValue.ortvalue_from_shape_and_type(array.shape, array.dtype, self._kind, self._index)
            staged, owner = pinned_array(array.shape, array.dtype, self._device)
            memory = self._inputs[name] = _Input(staged, held, owner)
        np.copyto(memory.staged, array)
        memory.held.update_inplace(memory.staged)
        return memory.held


def pinned_array(shape: Sequence[int], dtype: DTypeLike, device: str) -> tuple[NDArray[Any], Any]:
    """Return new memory on the host from which a CUDA device reads fastest, its content undefined, and its owner.

    It is pinned, kept from being moved, where the runtime hands out such memory for the device, and ordinary memory
    elsewhere, which is slower to read and nothing else; that is logged once.
    """
    if not device.startswith("cuda:"):
        return np.empty(shape, dtype), None
    index = int(device.removeprefix("cuda:"))
    kind = onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE
    try:
        cuda = [found for found in onnxruntime.get_ep_devices() if found.ep_name == CUDA_PROVIDER]
        memory = cuda[index].memory_info(kind)
        if memory is None:
            raise LookupError("the runtime has none")
        owner = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, memory_info=memory)
        return owner.numpy(), owner
    except Exception as reason:  # noqa: BLE001  (whatever it is, ordinary memory does)
        log_once(logging.INFO, f"{device}: inputs are copied from memory that is not pinned: {reason}")
        return np.empty(shape, dtype), None
