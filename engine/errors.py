"""The exceptions the engine raises.

Every message is one sentence: what was expected, what was found, what to do.
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of every error the engine raises on purpose."""


class AudioError(EngineError):
    """The audio cannot be used: unreadable, empty, not finite, of the wrong shape or type."""


class ModelError(EngineError):
    """The model cannot be used: unreadable, without a card, or at odds with its card."""


class DeviceError(EngineError):
    """The requested device cannot run the model."""


class DeviceMemoryError(DeviceError):
    """The device has no memory left for this batch."""


class ConfigError(EngineError, ValueError):
    """A setting is out of range or contradicts another one."""


class ArchiveError(EngineError):
    """An archive or an index cannot be written or read."""


class TeachError(EngineError):
    """Labelled clips cannot be taught: there are none, too few of a label, or they contradict each other."""


class Cancelled(EngineError):  # noqa: N818 - nothing went wrong
    """A long job ended early because its caller asked for that."""
