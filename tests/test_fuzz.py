"""Random calls at the compiled module, in a process of their own: a crash would be that process's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("fuzz_kernels.py")


def test_two_thousand_random_calls_end_in_a_result_or_a_refusal() -> None:
    command = [sys.executable, str(PROGRAM), "--cases", "2000", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    for outcome in ("'log_mel'", "'log_mel_many'", "'stream'", "'spectra'", "'top_k'", "'refused: ValueError'"):
        assert outcome in done.stdout
