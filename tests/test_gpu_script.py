"""benchmarks/gpu.sh from its first line to its last, the CPU in the place of a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.bench.report import read_report
from tests import tiny_models

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a script for bash")
def test_the_script_goes_through_without_a_gpu(tmp_path):
    model = tiny_models.save(tmp_path / "tiny.onnx")
    settings = {"DEVICE": "cpu", "OUT": str(tmp_path / "out"), "MODELS": str(model), "REPEATS": "10"}
    done = subprocess.run(
        ["bash", ROOT / "benchmarks" / "gpu.sh"],
        env=os.environ | settings | {"ENGINE_PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gpu.json", "gpu.png", "gpu.txt"]
    report = read_report(tmp_path / "out" / "gpu.json")
    assert {row.model for row in report.rows} == {"tiny", "tiny-fp16", "tiny-waveform"}
    text = (tmp_path / "out" / "gpu.txt").read_text()
    assert text.startswith("DEVICE=cpu MODELS=")
    assert "tiny-waveform on cpu" in text.splitlines()[-2] + text.splitlines()[-1]
