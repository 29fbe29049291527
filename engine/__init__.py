"""Tags and embeddings from sound.

>>> from engine import Tagger
>>> Tagger()("examples/rain.flac").top(1)[0].label
'rain'

Public names are imported when they are first used, so that ``import engine`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.card import ModelCard as ModelCard
    from engine.embedder import Embedder as Embedder
    from engine.errors import AudioError as AudioError
    from engine.errors import Cancelled as Cancelled
    from engine.errors import ConfigError as ConfigError
    from engine.errors import DeviceError as DeviceError
    from engine.errors import EngineError as EngineError
    from engine.errors import ModelError as ModelError
    from engine.errors import TeachError as TeachError
    from engine.events import Event as Event
    from engine.frontend import MFCC as MFCC
    from engine.frontend import FrontendConfig as FrontendConfig
    from engine.frontend import LogMel as LogMel
    from engine.frontend import LogMelBank as LogMelBank
    from engine.frontend import LogMelStream as LogMelStream
    from engine.frontend import preset as preset
    from engine.frontend import stft as stft
    from engine.index import Hit as Hit
    from engine.index import Index as Index
    from engine.model import Model as Model
    from engine.options import CallOptions as CallOptions
    from engine.results import Clip as Clip
    from engine.results import Frames as Frames
    from engine.results import Tag as Tag
    from engine.results import Window as Window
    from engine.stream import WindowStream as WindowStream
    from engine.tagger import Tagger as Tagger
    from engine.teach.teaching import teach as teach

    __version__: str

_HOME = {
    "AudioError": "errors",
    "CallOptions": "options",
    "Cancelled": "errors",
    "Clip": "results",
    "ConfigError": "errors",
    "DeviceError": "errors",
    "Embedder": "embedder",
    "EngineError": "errors",
    "Event": "events",
    "Frames": "results",
    "FrontendConfig": "frontend",
    "Hit": "index",
    "Index": "index",
    "LogMel": "frontend",
    "LogMelBank": "frontend",
    "LogMelStream": "frontend",
    "MFCC": "frontend",
    "Model": "model",
    "ModelCard": "card",
    "ModelError": "errors",
    "Tag": "results",
    "Tagger": "tagger",
    "TeachError": "errors",
    "Window": "results",
    "WindowStream": "stream",
    "preset": "frontend",
    "stft": "frontend",
    "teach": "teach",
}

__all__ = [*_HOME, "__version__"]  # noqa: PLE0604  (the keys are names)


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("sound-engine")
    elif name in _HOME:
        value = getattr(importlib.import_module(f"engine.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
