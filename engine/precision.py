"""Whether a model file holds 16-bit floats: found without the onnx package, and without reading the weights.

The file is a protocol buffer, fields of a number, a wire type and a value. Only the fields that lead to the element
types of constants are entered; everything else is stepped over.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Buffer = bytes | mmap.mmap

# Numbers of fields and values in onnx.proto.
GRAPH = 7
NODE, INITIALIZER = 1, 5
ATTRIBUTE = 5
TENSOR, SUBGRAPH = 5, 6
DATA_TYPE = 2
FLOAT16, BFLOAT16 = 10, 16
VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5


def holds_float16(model: Path | bytes) -> bool:
    """Return whether a constant of the model's graph is of type float16 or bfloat16; a file that is no model has none.

    Parameters
    ----------
    model : Path or bytes
        A file that is not empty, or its content.
    """
    if isinstance(model, bytes):
        return _search(model)
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return _search(content)


def _search(content: Buffer) -> bool:
    try:
        return any(
            data_type in (FLOAT16, BFLOAT16)
            for graph in _parts(content, (0, len(content)), GRAPH)
            for tensor in _tensors(content, graph)
            for data_type in _numbers(content, tensor, DATA_TYPE)
        )
    except (IndexError, RecursionError):  # cut off, or something else altogether: the runtime will say so
        return False


def _tensors(content: Buffer, graph: tuple[int, int]) -> Iterator[tuple[int, int]]:
    yield from _parts(content, graph, INITIALIZER)
    for node in _parts(content, graph, NODE):
        for attribute in _parts(content, node, ATTRIBUTE):
            yield from _parts(content, attribute, TENSOR)
            for subgraph in _parts(content, attribute, SUBGRAPH):
                yield from _tensors(content, subgraph)


def _parts(content: Buffer, within: tuple[int, int], wanted: int) -> Iterator[tuple[int, int]]:
    """Yield where each length-delimited field ``wanted`` of a message starts and ends."""
    for number, wire, start, end in _fields(content, within):
        if number == wanted and wire == LENGTH_DELIMITED:
            yield start, end


def _numbers(content: Buffer, within: tuple[int, int], wanted: int) -> Iterator[int]:
    for number, wire, start, _ in _fields(content, within):
        if number == wanted and wire == VARINT:
            yield _varint(content, start)[0]


def _fields(content: Buffer, within: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the fields of a message: number, wire type, and where the value starts and ends."""
    at, end = within
    while at < end:
        key, at = _varint(content, at)
        wire = key & 7
        start = at
        if wire == VARINT:
            at = _varint(content, at)[1]
        elif wire == LENGTH_DELIMITED:
            length, start = _varint(content, at)
            at = start + length
        elif wire in (FIXED64, FIXED32):
            at += 8 if wire == FIXED64 else 4
        else:
            raise IndexError
        if at > end:
            raise IndexError
        yield key >> 3, wire, start, at


def _varint(content: Buffer, at: int) -> tuple[int, int]:
    """Return a number of 7 bits per byte, the lowest first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError
