"""How far our front end is from other libraries: the cases of the parity tests, tabulated.

    python -m benchmarks.parity [--data FOLDER]

rewrites ``docs/parity.md``. With the folder of recordings (``ENGINE_TEST_DATA`` or ``../shared/data`` by default) the
presets are also compared on two of them.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

import numpy as np

from benchmarks import report
from engine import _kernels
from engine.bench.machine import versions
from engine.frontend import PRESETS
from tests.parity import DEPTH_DB, TOLERANCE, recordings, synthetic
from tests.test_parity import GRIDS, errors
from tests.test_presets import ORIGINALS, error

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "parity.md"
DISTRIBUTIONS = {
    "kaldi-native-fbank": "kaldi-native-fbank",
    "librosa": "librosa",
    "scipy.signal.ShortTimeFFT": "scipy",
    "torch.stft": "torch",
    "torch.stft spectrogram": "torch",
    "torchlibrosa": "torchlibrosa",
    "transformers": "transformers",
}
TEXT = """# Parity with other front ends

What `LogMel` computes, beside what the libraries that users come from compute. `tests/test_presets.py` and
`tests/test_parity.py` hold every case to the tolerance of its peer in each test run; a peer that is not installed fails
the run. `python -m benchmarks.parity` made this page, on the {isa} kernels.

An error is the largest difference of a log-mel value, in the unit of the configuration's logarithm (nepers, decades,
decibels) before normalisation. Values more than {depth:g} dB below the loudest band of their frame count as that limit
on both sides: a float32 transform leaves rounding noise of about 1e-7 of a frame's largest magnitude in every bin,
whoever computes it. Errors of spectrograms are relative to the largest value of the frame.

## Presets

Each against the package that it reproduces, called as its users call it. Where that package does not install on the
supported Python versions, or not beside a torch for the CPU, a transcription of its published code stands in: in
float64 in `tests/oracles.py`, or on torch.stft or librosa in `tests/test_presets.py`.

Clips: {signal}.

{presets}

## Grids of odd parameters

Transform lengths 32, 133, 256, 301, 400, 480, 512, 960, 1000, 1024 and 2048 with windows and hops that divide
nothing; every window, mel scale, norm, kind of logarithm and framing that the peer has; bands up to half the rate and
below; long inputs and those about a window long. Peers that can are fed float64.

{grids}

## Known differences

- `dcase2018_baseline`: the original adds 2.2e-16 to every sample, which shows in digital silence only.
- `openl3_mel256`: as `openl3` with `frontend="librosa"`; its windows are cut to one second before.
- `iminet_reference`: the original then keeps 128 of 173 frames and normalises those.
- librosa pads with zeros since 0.9 and with reflected samples before: `pad_mode` says which.
- transformers divides bands that are linear in mel (`mel_scale="kaldi"`) by their width in mel where a Slaney norm is
  asked for; here, as in librosa, the norm is per Hz.
- transformers centres a window of odd length one sample later than librosa and torch.stft do.
"""


def preset_rows(data: Path | None) -> list[list[str]]:
    """Return a row of the table for every preset."""
    rows = []
    for name, config in PRESETS.items():
        peer = ORIGINALS[name][0]
        clip = synthetic(config.sample_rate)
        clips = [clip, clip * np.float32(2e-5)] + (recordings(data, config.sample_rate) if data else [])
        largest = max(error(name, clip) for clip in clips)
        rows.append([f"`{name}`", _versioned(peer), str(len(clips)), f"{largest:.1e}", f"{TOLERANCE[peer]:.0e}"])
    return rows


def grid_rows() -> list[list[str]]:
    """Return a row of the table for every peer's grid."""
    rows = []
    for peer in GRIDS:
        found = [value for value, _, _ in errors(peer)]
        rows.append([_versioned(peer), str(len(found)), f"{max(found):.1e}", f"{TOLERANCE[peer]:.0e}"])
    return rows


def _versioned(peer: str) -> str:
    if peer not in DISTRIBUTIONS:
        return peer
    distribution = DISTRIBUTIONS[peer]
    return f"{peer} ({versions([distribution])[distribution].partition('+')[0]})"


def main() -> None:
    """Measure every case and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__.partition("\n")[0])
    default = Path(os.environ.get("ENGINE_TEST_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder that holds esc10_dev")
    data = parser.parse_args().data
    data = data if (data / "esc10_dev").is_dir() else None
    warnings.simplefilter("ignore")  # libraries on filters that hold no bin
    header = ["preset", "original", "clips", "largest error", "tolerance"]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(
        TEXT.format(
            isa=_kernels.isa(),
            depth=DEPTH_DB,
            signal="a synthetic one, the same near the floors" + (" and two recordings of ESC-10" if data else ""),
            presets=report.table(header, preset_rows(data)),
            grids=report.table(["peer", "cases", "largest error", "tolerance"], grid_rows()),
        ),
        encoding="utf-8",
    )
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
