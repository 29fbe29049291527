"""A few seconds from the microphone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.errors import AudioError, ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def record(seconds: float, sample_rate: int = 44_100) -> tuple[NDArray[np.float32], int]:
    """Record from the default microphone, mono; return samples (n_samples,) and their rate, as the verbs take them.

    Raises
    ------
    ConfigError
        The package sounddevice or the library PortAudio is missing, or `seconds` is not above zero.
    AudioError
        There is no microphone, or it cannot be opened.
    """
    if not seconds > 0:
        raise ConfigError(f"expected more than 0 seconds to record, got {seconds}; choose some")
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is there, PortAudio is not
        raise ConfigError(
            "expected the package sounddevice and PortAudio to record; pip install 'sound-engine[record]', and on "
            "Debian or Ubuntu apt install libportaudio2"
        ) from error
    try:
        block = sounddevice.rec(round(seconds * sample_rate), samplerate=sample_rate, channels=1, dtype="float32")
        sounddevice.wait()
    except sounddevice.PortAudioError as error:
        raise AudioError(f"expected a microphone that can be opened, got {error}; connect or choose one") from error
    return np.ascontiguousarray(block[:, 0]), sample_rate
