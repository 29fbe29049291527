"""Inputs kept on a device from call to call: a batch of the same shape is one copy and no allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class DeviceBuffers:
    """Runs a network with its inputs bound to memory of the device. For one thread at a time.

    Parameters
    ----------
    runtime : onnxruntime.InferenceSession
    device : str
        "cpu" or "cuda:N".
    """

    def __init__(self, runtime: Any, device: str) -> None:
        self._runtime = runtime
        self._kind, _, index = device.partition(":")
        self._index = int(index or 0)
        self._held: dict[str, Any] = {}

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the named outputs, as new arrays, for the named inputs."""
        binding = self._runtime.io_binding()
        for name, array in feeds.items():
            held = self._held.get(name)
            if held is None or held.shape() != list(array.shape):
                held = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                    array.shape, array.dtype, self._kind, self._index
                )
                self._held[name] = held
            held.update_inplace(array)
            binding.bind_ortvalue_input(name, held)
        for name in outputs:
            binding.bind_output(name, "cpu")
        self._runtime.run_with_iobinding(binding)
        values: list[NDArray[Any]] = binding.copy_outputs_to_cpu()
        return values
