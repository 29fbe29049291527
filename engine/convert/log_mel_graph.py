"""The front end as nodes of an ONNX graph: a waveform in, the frames that ``engine.LogMel`` gives out.

Only operators that every onnxruntime host has (no DFT, no STFT). Batch and length are free. A recording too short for
one frame is completed with zeros, as ``Model`` does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _kernels
from engine.convert.dft import FactoredDFT
from engine.frontend.log_mel import compiled_plan

if TYPE_CHECKING:
    import onnx
    from numpy.typing import ArrayLike, NDArray

    from engine.frontend import FrontendConfig

# Since this opset the axes of reductions are an input.
AXES_AS_INPUT = 18


class NodeList:
    """Nodes and constants under construction; every name begins with ``prefix``.

    Parameters
    ----------
    prefix : str
    opset : int
        Of the graph that the nodes are for, 13 or newer.

    Attributes
    ----------
    opset : int
    nodes : list of NodeProto
    initializers : list of TensorProto
    """

    def __init__(self, prefix: str, opset: int) -> None:
        self._prefix = prefix
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, values: ArrayLike) -> str:
        """Add a constant, whole numbers as int64 and others as float32, and return its name."""
        from onnx import numpy_helper

        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"{self._prefix}constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        from onnx import helper

        output = output or f"{self._prefix}{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def reduce(self, operator: str, values: str, axes: list[int]) -> str:
        """Reduce over ``axes``, which stay with length one."""
        if self.opset >= AXES_AS_INPUT:
            return self.add(operator, values, self.constant(axes), keepdims=1)
        return self.add(operator, values, axes=axes, keepdims=1)

    def cut(self, values: str, axis: int, start: int, end: int | str) -> str:
        """Slice one axis; ``end`` may be a value of the graph, shape (1,)."""
        stop = end if isinstance(end, str) else self.constant([end])
        return self.add("Slice", values, self.constant([start]), stop, self.constant([axis]))

    def length(self, values: str, axis: int) -> str:
        """Return the length of an axis, shape (1,)."""
        return self.add("Gather", self.add("Shape", values), self.constant([axis]))


def add_log_mel(graph: NodeList, config: FrontendConfig, waveform: str) -> str:
    """Add the front end to ``graph``.

    Parameters
    ----------
    graph : NodeList
    config : FrontendConfig
    waveform : str
        Name of a value of shape (batch, n_samples), float32.

    Returns
    -------
    str
        Name of the frames, shape (batch, n_frames, n_mels), float32.
    """
    signal = _signal(graph, config, waveform)
    transform = FactoredDFT.planned(config.n_fft, config.win_length)
    frames = _frames(graph, config, signal, transform.given_rows * transform.columns)
    mel = graph.add("MatMul", _spectrum(graph, config, frames, transform), _filters(graph, config, transform))
    return _finished(graph, config, _logarithm(graph, config, mel))


def _signal(graph: NodeList, config: FrontendConfig, waveform: str) -> str:
    signal = waveform
    if (shortest := config.n_samples(1)) > 1:
        n = graph.length(signal, 1)
        completed = graph.constant([max(config.win_length, config.hop_length, shortest)])
        short = graph.add("Less", n, graph.constant([shortest]))
        missing = graph.add("Where", short, graph.add("Sub", completed, n), graph.constant([0]))
        signal = graph.add("Pad", signal, graph.add("Concat", graph.constant([0, 0, 0]), missing, axis=0))
    if config.remove_clip_mean:
        signal = graph.add("Sub", signal, graph.reduce("ReduceMean", signal, [1]))
    if config.preemphasis_scope == "clip":
        before = graph.add("Mul", graph.cut(signal, 1, 0, -1), graph.constant(config.preemphasis))
        signal = graph.add("Sub", graph.cut(signal, 1, 1, np.iinfo(np.int64).max), before)
    return signal


def _frames(graph: NodeList, config: FrontendConfig, signal: str, width: int) -> str:
    """Return the windowed frames, shape (batch, n_frames, width), zeros behind the window."""
    hop = config.hop_length
    # A frame is that many blocks of one hop: what neighbouring frames share is cut once.
    n_blocks = -(-width // hop)
    n = graph.length(signal, 1)
    first, n_frames = _framing(graph, config, n)
    behind = n_blocks * hop  # no frame starts behind the end, so none reaches further
    extended = _extended(graph, config, signal, n, max(-first, 0), behind)
    start = max(first, 0)
    total = graph.add("Mul", graph.add("Add", n_frames, graph.constant([n_blocks - 1])), graph.constant([hop]))
    end = graph.add("Add", total, graph.constant([start]))
    blocks = graph.add("Reshape", graph.cut(extended, 1, start, end), graph.constant([0, -1, hop]))
    scalar = graph.constant(np.zeros(0, np.int64))
    index = graph.add("Range", graph.constant(0), graph.add("Reshape", n_frames, scalar), graph.constant(1))
    index = graph.add("Reshape", index, graph.constant([-1, 1]))
    index = graph.add("Add", index, graph.constant(np.arange(n_blocks)))
    gathered = graph.add("Reshape", graph.add("Gather", blocks, index, axis=1), graph.constant([0, 0, behind]))
    frames = graph.cut(gathered, 2, 0, width)
    if config.remove_dc:
        frames = graph.add("Sub", frames, graph.reduce("ReduceMean", graph.cut(frames, 2, 0, config.win_length), [2]))
    if config.preemphasis_scope == "frame" and config.preemphasis > 0:
        before = graph.add("Concat", graph.cut(frames, 2, 0, 1), graph.cut(frames, 2, 0, width - 1), axis=2)
        frames = graph.add("Sub", frames, graph.add("Mul", before, graph.constant(config.preemphasis)))
    values = np.pad(_window(config) * config.input_scale, (0, width - config.win_length))
    return graph.add("Mul", frames, graph.constant(values))


def _framing(graph: NodeList, config: FrontendConfig, n: str) -> tuple[int, str]:
    """Return where the first frame starts, and how many there are, as ``FrontendConfig.n_frames`` counts them."""
    hop, win, n_fft = config.hop_length, config.win_length, config.n_fft
    if config.framing in ("center", "center_trimmed"):
        first, lead, extra = (n_fft - win) // 2 - n_fft // 2, 2 * (n_fft // 2) - n_fft, int(config.framing == "center")
    elif config.framing == "mirror":
        first, lead, extra = hop // 2 - win // 2, hop // 2, 0
    else:
        first, lead, extra = 0, -win, 1
    after_first = graph.add("Div", graph.add("Add", n, graph.constant([lead])), graph.constant([hop]))
    return first, graph.add("Add", after_first, graph.constant([extra]))


def _extended(graph: NodeList, config: FrontendConfig, signal: str, n: str, before: int, behind: int) -> str:
    """Continue the signal beyond both ends by ``before`` and ``behind`` samples, as often mirrored as that takes."""
    reflects = config.framing in ("center", "center_trimmed") and config.pad_mode == "reflect"
    if not reflects and config.framing != "mirror":
        return graph.add("Pad", signal, graph.constant([0, before, 0, behind]))
    position = graph.add(
        "Concat", graph.constant(np.arange(-before, 0)), graph.add("Add", n, graph.constant(np.arange(behind))), axis=0
    )
    period = graph.add("Mul", n, graph.constant([2]))
    if reflects:  # the samples at the edges are not repeated; a single sample has nothing else to reflect
        period = graph.add("Max", graph.add("Sub", period, graph.constant([2])), graph.constant([1]))
    position = graph.add("Mod", position, period)
    back = graph.add("Sub", period, position if reflects else graph.add("Add", position, graph.constant([1])))
    position = graph.add("Where", graph.add("Less", position, n), position, back)
    edges = graph.add("Gather", signal, position, axis=1)
    return graph.add(
        "Concat", graph.cut(edges, 1, 0, before), signal, graph.cut(edges, 1, before, before + behind), axis=1
    )


def _window(config: FrontendConfig) -> NDArray[np.float64]:
    if isinstance(config.window, tuple):
        return np.array(config.window)
    return np.array(_kernels.window(config.window, config.win_length, config.window_periodic))


def _spectrum(graph: NodeList, config: FrontendConfig, frames: str, transform: FactoredDFT) -> str:
    """Return powers or magnitudes in the order of ``transform.bins``, shape (batch, n_frames, half * columns)."""
    columns, half = transform.columns, transform.half
    rows = graph.add("Reshape", frames, graph.constant([0, 0, transform.given_rows, columns]))
    inner = graph.add("MatMul", graph.constant(transform.inner), rows)
    inner = graph.add("Reshape", inner, graph.constant([0, 0, half, 2 * columns]))
    inner = graph.add("Transpose", inner, perm=[0, 2, 1, 3])
    spectrum = graph.add("MatMul", inner, graph.constant(transform.outer))
    squares = graph.add("Mul", spectrum, spectrum)
    power = graph.add("Add", graph.cut(squares, 3, 0, columns), graph.cut(squares, 3, columns, 2 * columns))
    if config.spectrum == "magnitude":
        power = graph.add("Sqrt", power)
    return graph.add(
        "Reshape", graph.add("Transpose", power, perm=[0, 2, 1, 3]), graph.constant([0, 0, half * columns])
    )


def _filters(graph: NodeList, config: FrontendConfig, transform: FactoredDFT) -> str:
    filters = compiled_plan(config).filters().T
    ordered = np.where(transform.bins.reshape(-1, 1) < 0, 0, filters[transform.bins.ravel()])
    return graph.constant(ordered)


def _logarithm(graph: NodeList, config: FrontendConfig, mel: str) -> str:
    raised = graph.add("Max", mel, graph.constant(config.log_floor))
    if config.log_offset > 0:
        raised = graph.add("Add", raised, graph.constant(config.log_offset))
    values = graph.add("Mul", graph.add("Log", raised), graph.constant(_unit(config)))
    if config.log_reference in ("max", 1.0):
        return values
    assert isinstance(config.log_reference, float | int)
    return graph.add("Sub", values, graph.constant(_unit(config) * math.log(config.log_reference)))


def _unit(config: FrontendConfig) -> float:
    """Return the unit of ``config.log`` per neper."""
    unit = {"ln": 1.0, "log10": 1 / math.log(10), "dB": 10 / math.log(10)}[config.log]
    return 2 * unit if config.log == "dB" and config.spectrum == "magnitude" else unit


def _finished(graph: NodeList, config: FrontendConfig, values: str) -> str:
    """Apply what needs the whole input, and the normalisation."""
    if config.log_reference == "max":
        values = graph.add("Sub", values, graph.reduce("ReduceMax", values, [1, 2]))
    if config.log_range is not None:
        largest = graph.reduce("ReduceMax", values, [1, 2])
        values = graph.add("Max", values, graph.add("Sub", largest, graph.constant(config.log_range)))
    if config.mean is not None:
        mean, std = np.array(config.mean, np.float64), np.array(config.std, np.float64)
        values = graph.add("Mul", values, graph.constant(1 / std))
        values = graph.add("Add", values, graph.constant(-mean / std))
    return _standardised(graph, config, values) if config.zscore else values


def _standardised(graph: NodeList, config: FrontendConfig, values: str) -> str:
    """Bring each example to mean 0 and deviation 1, a constant one to zeros."""
    # Silence is a constant only up to rounding: a host may take the logarithm differently at the end of a row.
    silence = _unit(config) * math.log(config.log_floor + config.log_offset)
    rounding = 4 * float(np.finfo(np.float32).eps) * abs(silence) / float(np.min(config.std or 1.0))
    mean = graph.reduce("ReduceMean", values, [1, 2])
    centred = graph.add("Sub", values, mean)
    # Once more, for what the first mean lost by summing in 32 bits.
    centred = graph.add("Sub", centred, graph.reduce("ReduceMean", centred, [1, 2]))
    deviation = graph.add("Sqrt", graph.reduce("ReduceMean", graph.add("Mul", centred, centred), [1, 2]))
    size = graph.add("Add", graph.add("Abs", mean), graph.constant(1.0))
    limit = graph.add("Add", graph.add("Mul", size, graph.constant(1e-6)), graph.constant(rounding))
    varies = graph.add("Greater", deviation, limit)
    # The divisor of what does not vary is replaced too: a host may compute both branches.
    divisor = graph.add("Where", varies, deviation, graph.constant(1.0))
    return graph.add("Where", varies, graph.add("Div", centred, divisor), graph.constant(0.0))
