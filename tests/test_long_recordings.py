"""Hours of audio in the memory of a few seconds, measured as the system sees it: the peak of a process of its own.

The two hours of the promise are marked slow: python -m pytest -m slow tests/test_long_recordings.py
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine import Tagger

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="this system does not tell the peak memory of a process"
)

LIMIT_MB = 300
RATE, CHANNELS = 96_000, 2
# Not getrusage: what it tells survives exec, and is at least the size of the process that started this one.
MEASURE = """
import json, re, sys
from pathlib import Path
from engine import Tagger

clip = Tagger(device="cpu", threads=1)(sys.argv[1])
peak_kib = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(json.dumps({"peak_mb": peak_kib * 1024 / 1e6, "duration_s": clip.duration_s, "windows": len(clip.windows)}))
"""


def measured(path):
    """Tag a file in a process of its own; gives its peak memory in MB, the duration and the number of windows."""
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wav_header(data_bytes):
    """The header of a 16-bit WAV file of that many bytes of samples."""
    size = CHANNELS * 2
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", data_bytes + 36, b"WAVE", b"fmt ", 16, 1, CHANNELS, RATE, 0, size, 16
    )
    return head + struct.pack("<4sI", b"data", data_bytes)


def silent_wav(path, seconds):
    """A file of that length which takes no room on the disc: a hole is read as zeros."""
    data_bytes = seconds * RATE * CHANNELS * 2
    with path.open("wb") as file:
        file.write(wav_header(data_bytes))
        file.truncate(44 + data_bytes)
    return path


@pytest.mark.parametrize("minutes", [10, pytest.param(120, marks=pytest.mark.slow)])
def test_length_costs_no_memory(tmp_path, minutes):
    # Held whole as float32, ten minutes would take 460 MB, two hours 5.5 GB.
    found = measured(silent_wav(tmp_path / "long.wav", minutes * 60))
    assert found["duration_s"] == minutes * 60
    assert found["windows"] > minutes * 60 / 6
    assert found["peak_mb"] < LIMIT_MB
    assert found["peak_mb"] < measured(silent_wav(tmp_path / "short.wav", 10))["peak_mb"] + 30


SECOND = (np.random.default_rng(0).standard_normal((RATE, CHANNELS)) * 3000).astype(np.int16)


def lying_wav(path):
    path.write_bytes(wav_header(2**32 - 100) + SECOND.tobytes())


def lying_flac(path):
    soundfile.write(path, SECOND, RATE, format="FLAC", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    # The last 36 bits before the checksum at the end of STREAMINFO are the number of samples (RFC 9639, 8.2).
    content[21] |= 0x0F
    content[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(content)


@pytest.mark.parametrize("lie", [lying_wav, lying_flac])
def test_a_header_that_promises_hours_costs_nothing(tmp_path, lie):
    lie(tmp_path / "lie")
    found = measured(tmp_path / "lie")
    assert found["duration_s"] == pytest.approx(1, abs=1e-3)
    assert found["peak_mb"] < LIMIT_MB
    truth = Tagger(device="cpu")((SECOND, RATE))
    np.testing.assert_array_equal(Tagger(device="cpu")(tmp_path / "lie").scores, truth.scores)
