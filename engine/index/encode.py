"""Recordings to embeddings, cut as the index says, one at a time or several at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from engine.results import Clip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.index.layout import Header


def encode(embedder: Any, header: Header, source: Any) -> Clip:
    """Return the embeddings of a recording."""
    clip: Clip = embedder(source, **_windowing(header))
    return clip


def encoded(embedder: Any, header: Header, names: list[str]) -> Iterator[tuple[str, Clip]]:
    """Give the embeddings of files in their order; what cannot be used is a clip with an ``error``."""
    if hasattr(embedder, "batch"):
        yield from zip(names, embedder.batch(names, **_windowing(header)), strict=True)
        return
    for name in names:
        try:
            yield name, encode(embedder, header, name)
        except EngineError as error:
            yield name, Clip.failed(name, error)


def _windowing(header: Header) -> dict[str, float]:
    options = {"window_s": header.window_s, "hop_s": header.hop_s}
    return {name: value for name, value in options.items() if value is not None}
