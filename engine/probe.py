"""A first look at a stranger's model, in a process of its own.

An ONNX file is a program for onnxruntime. One that was made to harm can crash it (the smallest 64-bit integer divided
by -1 ends the process), keep it busy for ever or fill the memory, and no look at the bytes tells. So a model that is
about to become one of the user's own is opened and checked where that harms nobody.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from engine.errors import EngineError, ModelError
from engine.verify import verify_model

SECONDS = 120.0
# Address space for the check of a small model; a large one gets more, by its size.
BASE_BYTES, BYTES_PER_BYTE = 6 << 30, 6
PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from engine.probe import report
report(sys.argv[2])
"""


def verify_apart(path: Path, seconds: float = SECONDS) -> str:
    """Verify a model in another process, bounded in time and (on Linux) memory, and return the name in its card.

    An application that is frozen or embeds Python cannot start another; there the model is verified in this process.

    Raises
    ------
    ModelError
        As for ``verify_model``, except that no golden check is needed; or the model crashes the process, or takes long.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        return verify_model(path, golden_needed=False).card.name
    command = [sys.executable, "-c", PROGRAM, json.dumps(sys.path), str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{path}: expected a model that can be checked within {seconds:g} s, got one that takes longer; do not use "
            "it unless you know why"
        ) from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelError(
            f"{path}: expected a model that onnxruntime can run, got one that crashes it ({name}); do not use it"
        )
    try:
        found = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason was given"])[-1][:300]
        raise ModelError(
            f"{path}: expected the check of the model to end, it failed: {reason}; do not use it"
        ) from None
    if "error" in found:
        raise ModelError(found["error"])
    return str(found["name"])


def report(path: str) -> None:
    """Verify a model and print its name, or why it cannot be used, as JSON: the other side of ``verify_apart``."""
    _limit_memory(BASE_BYTES + BYTES_PER_BYTE * Path(path).stat().st_size)
    try:
        found = {"name": verify_model(Path(path), threads=1, golden_needed=False).card.name}
    except EngineError as error:
        found = {"error": str(error)}
    sys.stdout.write(json.dumps(found))


def _limit_memory(size: int) -> None:
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))
