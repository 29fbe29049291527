"""Fresh processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.bench.cold import FIRST_RESULT, PHASES, SECOND_CALL, run_cold
from engine.errors import EngineError
from tests.tiny_models import save


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="module")
def answer(path):
    return run_cold(path, "cpu", 1, 2.0)


def test_a_fresh_process_tells_its_phases(answer):
    assert set(answer) == {*PHASES, FIRST_RESULT, SECOND_CALL, "peak_bytes"}
    assert all(answer[phase] > 0 for phase in (*PHASES, SECOND_CALL))
    assert answer[FIRST_RESULT] == pytest.approx(sum(answer[phase] for phase in PHASES[1:]))


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux's /proc")
def test_memory_is_that_of_the_fresh_process_alone(path, answer):
    assert 30e6 < answer["peak_bytes"] < 300e6
    program = (
        "import sys; from pathlib import Path; from engine.bench.cold import run_cold\n"
        "held = bytearray(600_000_000)\n"
        "print(run_cold(Path(sys.argv[1]), 'cpu', 1, 2.0)['peak_bytes'])"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300e6


def test_the_process_imports_nothing_of_the_engine_before_its_clock_runs():
    program = "import engine.bench.cold, sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.startswith("engine")}
    assert ours == {"engine", "engine.bench", "engine.bench.cold"}
    assert "numpy" not in done.stdout.split()


def test_a_process_that_fails_is_one_sentence(tmp_path):
    with pytest.raises(
        EngineError, match=r"expected a fresh process to run .*none\.onnx on cpu, it failed: .*none\.onnx"
    ):
        run_cold(tmp_path / "none.onnx", "cpu", 1, 2.0)
