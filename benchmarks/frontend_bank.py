"""Several configurations over one clip: engine.LogMelBank against a LogMel each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report
from engine import FrontendConfig, LogMel, LogMelBank, preset

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SPEECH = FrontendConfig(16000, 400, 160, 512, 64)
_MUSIC = FrontendConfig(44100, 1102, 441, 2048, 64)
BANKS = {
    "64 and 128 bands of one spectrum": [_SPEECH, replace(_SPEECH, n_mels=128, f_min=60.0)],
    "yamnet and kaldi80": [preset("yamnet"), preset("kaldi80")],
    "n_fft 512 and 1024": [_SPEECH, replace(_SPEECH, n_fft=1024)],
    "44.1 kHz, windows of 25 and 20 ms": [_MUSIC, replace(_MUSIC, win_length=882)],
}


def measure(
    clips_for: Callable[[FrontendConfig, int], NDArray[np.float32]],
    seconds_of: Callable[[Callable[[], object]], float],
    batch: int,
    threads: int,
    rounds: int,
) -> dict[str, Any]:
    """Time every bank and its configurations one by one, on ``batch`` clips; return a table."""
    rows = []
    for name, configs in BANKS.items():
        clips = clips_for(configs[0], batch)
        outs = [np.empty((batch, c.n_frames(clips.shape[1]), c.n_mels), np.float32) for c in configs]
        bank, each = LogMelBank(configs, threads), [LogMel(config, threads) for config in configs]

        def together(bank: LogMelBank = bank, clips: Any = clips, outs: Any = outs) -> object:
            return bank(clips, out=outs)

        def apart(each: list[LogMel] = each, clips: Any = clips, outs: Any = outs) -> object:
            return [front_end(clips, out=out) for front_end, out in zip(each, outs, strict=True)]

        candidates = {
            "bank": lambda run=together: seconds_of(run),
            "apart": lambda run=apart: seconds_of(run),
        }
        timings = report.round_robin(candidates, rounds, limit_s=30)
        rows.append(
            {
                "name": name,
                "bank_min_ms": timings["bank"].minimum_s * 1e3 / batch,
                "apart_min_ms": timings["apart"].minimum_s * 1e3 / batch,
                "bank_median_ms": timings["bank"].median_s * 1e3 / batch,
                "apart_median_ms": timings["apart"].median_s * 1e3 / batch,
            }
        )
    return {"title": f"LogMelBank, batch of {batch}, per clip", "rows": rows}


def markdown(result: dict[str, Any]) -> str:
    """Return the table as text."""
    rows = [
        [
            row["name"],
            *(f"{row[key]:.3f}" for key in ("bank_min_ms", "apart_min_ms", "bank_median_ms", "apart_median_ms")),
            f"{row['bank_median_ms'] / row['apart_median_ms']:.2f}",
        ]
        for row in result["rows"]
    ]
    header = ["", "bank min ms", "apart min ms", "bank median ms", "apart median ms", "ratio of medians"]
    return f"### {result['title']}\n\n" + report.table(header, rows)
