"""Rows and reports made by hand."""

from __future__ import annotations

from typing import Any

from engine.bench.report import Memory, Report, Row


def row(measure: str = "call", blocks_ms: Any = ((2, 2), (2, 2), (2, 2)), **changes: Any) -> Row:
    """A row of model "tiny" on one CPU thread, from milliseconds."""
    blocks = tuple(tuple(ms / 1e3 for ms in block) for block in blocks_ms)
    values = {"model": "tiny", "device": "cpu", "threads": 1, "measure": measure, "count": 1, "audio_s": 10.0}
    return Row(**values | {"blocks_s": blocks} | changes)


def report(*rows: Row, **changes: Any) -> Report:
    """A report of these rows."""
    machine = {
        "processor": "Made Up 9000",
        "instruction_sets": ["avx2"],
        "cores": 4,
        "cpus": 2,
        "affinity": [0, 3],
        "load_at_start": 0.5,
        "system": "Linux",
        "python": "3.11.7",
        "kernels": "avx2",
    }
    model = {
        "name": "tiny",
        "file": "tiny.onnx",
        "file_sha256": "0" * 64,
        "model_sha256": "1" * 64,
        "card_sha256": None,
        "sample_rate": 8000,
        "recording_rate": 44100,
        "window_s": 1.0,
        "hop_s": 0.5,
    }
    values = {
        "created": "2026-01-02T03:04:05+00:00",
        "settings": {"repeats": 6},
        "machine": machine,
        "versions": {"numpy": "2.0", "onnxruntime": "absent"},
        "models": (model,),
        "rows": rows,
        "memory": (Memory("tiny", "cpu", 1, (100_000_000, 120_000_000)),),
        "skipped": ("cuda: libcuda.so.1 is missing",),
    }
    return Report(**values | changes)
