"""The run directory: what was asked, on what, what happened, how far it got, what came out.

config.json         recipe, data folder and every field of the configuration
environment.json    commit, versions and machine at the last start
log.jsonl           one JSON object per line
checkpoint.pt       everything needed to go on
metrics.json        the results; its presence means that the run is finished
lock                held by the process that trains there
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock, Timeout

from engine.errors import ConfigError
from training.progress import unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from training.progress import Bar

LOCK = "lock"
PACKAGES = ("sound-engine", "torch", "numpy", "onnx", "onnxruntime-gpu", "onnxruntime", "soundfile", "soxr")


class Run:
    """A run directory, new or interrupted.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    config : Mapping
        JSON values that decide the result; an interrupted run goes on only under the same ones.
    echo : callable, optional
        Called with each log line, for a terminal.
    bar : callable, optional
        What wraps the items of a long loop to show how far it is, as ``training.progress`` makes it.

    Raises
    ------
    ConfigError
        When the folder holds a finished run, one of another configuration, or something that is no run.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        echo: Callable[[str], object] | None = None,
        bar: Bar[Any] = unseen,
    ) -> None:
        self.folder = folder
        self.bar = bar
        self._echo = echo
        self._started = time.monotonic()
        self._claim(json.loads(json.dumps(config)))
        self._write("environment.json", environment())

    def _claim(self, config: dict[str, Any]) -> None:
        if (self.folder / "metrics.json").exists():
            raise ConfigError(
                f"expected a new or interrupted run, got the finished {self.folder}; choose another folder"
            )
        _refuse_others(self.folder)
        if (self.folder / "config.json").exists():
            self.check(self.folder, config)
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write("config.json", config)

    @staticmethod
    def check(folder: Path, config: Mapping[str, Any]) -> None:
        """Raise ConfigError unless the run in ``folder``, finished or not, was begun under ``config``."""
        config, before = json.loads(json.dumps(config)), read_config(folder)
        if changed := sorted(name for name in config | before if config.get(name) != before.get(name)):
            was, now = ({name: side.get(name) for name in changed} for side in (before, config))
            raise ConfigError(f"expected {was} as when {folder} was begun, got {now}; choose another folder")

    def log(self, **values: Any) -> None:
        """Append one line to the log: ``values``, and the seconds since this start."""
        line = json.dumps(values | {"seconds": round(time.monotonic() - self._started, 2)})
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(line + "\n")
        if self._echo is not None:
            self._echo(line)

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint, in one step, by ``state`` (tensors, numbers, strings, lists and dicts of them)."""
        log = self.folder / "log.jsonl"
        length = log.stat().st_size if log.exists() else 0
        temporary = self.folder / "checkpoint.pt.part"
        torch.save({"state": dict(state), "log_bytes": length}, temporary)
        temporary.replace(self.folder / "checkpoint.pt")

    def load(self) -> dict[str, Any] | None:
        """Return the last saved state, None in a new run, and drop the log lines written after it."""
        stored, log = self.folder / "checkpoint.pt", self.folder / "log.jsonl"
        checkpoint: dict[str, Any] = torch.load(stored, weights_only=True) if stored.exists() else {}
        if log.exists():
            os.truncate(log, checkpoint.get("log_bytes", 0))
        return checkpoint.get("state")

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Write the results; from now on the folder is closed."""
        self._write("metrics.json", metrics)

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        temporary = self.folder / f"{name}.part"
        temporary.write_text(json.dumps(values, indent=2) + "\n")
        temporary.replace(self.folder / name)


class BusyError(ConfigError):
    """Another process trains in that folder."""


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from a run's folder while the block runs; what was killed keeps nobody.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.

    Raises
    ------
    BusyError
        When another process has it.
    ConfigError
        When it holds something that is no run, or cannot be written to.
    """
    _refuse_others(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / LOCK).acquire(blocking=False)
    except Timeout as error:
        raise BusyError(
            f"expected {folder} for this process alone, another one trains there; wait for it, or choose another folder"
        ) from error
    except OSError as error:
        raise ConfigError(f"expected a folder to write to, got {folder} ({error}); choose another") from error
    with held:
        yield


def _refuse_others(folder: Path) -> None:
    """Raise ConfigError where a folder has files but is no run's."""
    if folder.is_dir() and not (folder / "config.json").exists() and {p.name for p in folder.iterdir()} - {LOCK}:
        raise ConfigError(f"expected a run or an empty folder, got {folder} with other files; choose another")


def read_config(folder: Path) -> dict[str, Any]:
    """Return what a run was asked; ConfigError when ``folder`` is no run."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"expected a run with a config.json, got {folder} ({error}); name a run's folder") from error
    return config


def environment() -> dict[str, Any]:
    """Return commit, package versions, Python and machine."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "commit": commit(),
        "versions": versions,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
    }


def commit() -> str:
    """Return the commit of this source tree, with "+changes" where files differ from it, or "unknown" outside git."""
    root = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
