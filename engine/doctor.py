"""What this installation consists of, what this machine offers it, and what is in the way: looked at, never assumed.

Every look is taken on its own and may fail: a broken package is a finding, not an exception.
"""

from __future__ import annotations

import importlib
import io
import math
import os
import platform
import re
import subprocess
import sys
import wave
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDED = ("numpy", "scipy", "soundfile", "soxr", "onnxruntime", "onnx")
# What else could be had: the command, and what for.
OPTIONAL = {"av": ("pip install 'sound-engine[av]'", "read m4a, aac, mp4 and webm")}
MAX_GPUS = 64


@dataclass(frozen=True, slots=True)
class Package:
    """A package that the engine uses.

    Attributes
    ----------
    name : str
    version : str or None
        None where it is not installed.
    distribution : str or None
        The wheel it came in, which for onnxruntime may be one of several.
    error : str or None
        Why it cannot be imported.
    """

    name: str
    version: str | None
    distribution: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Device:
    """A device by the name that ``Tagger`` takes, and what is in its way; None where nothing is."""

    name: str
    obstacle: str | None


@dataclass(frozen=True, slots=True)
class Threads:
    """How many threads the engine uses when none are asked for, and why.

    Attributes
    ----------
    used : int
    machine : int or None
        The machine's CPUs.
    affinity : int or None
        Those that this process may run on; None where the system has no affinities.
    cgroup : float or None
        Those that its control group grants; None where none limits it.
    """

    used: int
    machine: int | None
    affinity: int | None
    cgroup: float | None


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model that is found by name, and why it cannot be used; None where it can."""

    name: str
    path: str
    origin: str
    hidden: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes
    ----------
    works : bool
        Whether the default model tags a recording on the CPU: decoding, resampling, front end and network.
    engine, python, platform : str
        Versions, and what the machine runs.
    packages : tuple of Package
    libsndfile : str or None
        Version of the library that decodes.
    instruction_set : str or None
        The one that the front end uses.
    instruction_sets : tuple of str
        Those that this processor has, fastest first; empty where that could not be found out.
    threads : Threads or None
    devices : tuple of Device
    cuda_found, cuda_missing : tuple of str
        The CUDA libraries that could and could not be loaded, by file name; both empty without CUDA in the build.
    models : tuple of InstalledModel
    problems : tuple of str
        What keeps the engine from working, each with its remedy.
    hints : tuple of str
        What could be had by installing more.
    """

    works: bool
    engine: str
    python: str
    platform: str
    packages: tuple[Package, ...]
    libsndfile: str | None
    instruction_set: str | None
    instruction_sets: tuple[str, ...]
    threads: Threads | None
    devices: tuple[Device, ...]
    cuda_found: tuple[str, ...]
    cuda_missing: tuple[str, ...]
    models: tuple[InstalledModel, ...]
    problems: tuple[str, ...]
    hints: tuple[str, ...]


def examine() -> Report:
    """Look at everything that the engine needs and return what was found; raises nothing."""
    problems: list[str] = []

    def look(what: str, function: Callable[[], Any], otherwise: Any) -> Any:
        """Return the function's result; where it fails, note that, and return ``otherwise``."""
        try:
            return function()
        except Exception as error:  # noqa: BLE001  (whatever is broken is what is looked for)
            problems.append(f"{what}: {_one_line(error)}")
            return otherwise

    packages = tuple(_package(name) for name in (*NEEDED, *OPTIONAL))
    problems += [_remedy(package) for package in packages if package.error and package.name in NEEDED]
    wheels = look("the wheels of onnxruntime", onnxruntime_wheels, ())
    if len(wheels) > 1:
        problems.append(
            f"{' and '.join(wheels)} are installed together and overwrite each other's files: pip uninstall -y "
            f"{' '.join(wheels)}, then pip install --force-reinstall sound-engine"
        )
    instruction_set = look("the compiled kernels", _instruction_set, None)
    devices = look("the devices", _devices, ())
    found, missing = look("the CUDA libraries", _cuda_libraries, ((), ()))
    models = look("the models", _models, ())
    problems += [f"the model at {model.path} cannot be used: {model.error}" for model in models if model.error]
    works = look("tagging on the CPU", _tag, otherwise=False)
    return Report(
        works=works,
        engine=look("the engine's version", lambda: metadata.version("sound-engine"), "unknown"),
        python=f"{platform.python_version()} ({sys.executable or 'embedded'})",
        platform=f"{platform.system()} {platform.release()}, {platform.machine()}",
        packages=packages,
        libsndfile=look("libsndfile", _libsndfile, None),
        instruction_set=instruction_set,
        instruction_sets=look("the instruction sets", _instruction_sets, ()) if instruction_set else (),
        threads=look("the CPUs", _threads, None),
        devices=devices,
        cuda_found=found,
        cuda_missing=missing,
        models=models,
        problems=tuple(problems),
        hints=tuple(_hint(package) for package in packages if package.error and package.name in OPTIONAL),
    )


def onnxruntime_wheels() -> tuple[str, ...]:
    """Return the installed distributions that unpack into the folder onnxruntime, sorted; more than one is a trap."""
    return tuple(sorted(set(metadata.packages_distributions().get("onnxruntime", ()))))


def _package(name: str) -> Package:
    """Import a package, since one that is installed may still be broken."""
    try:
        distribution = onnxruntime_wheels()[-1] if name == "onnxruntime" else name
        version = metadata.version(distribution)
    except Exception as error:  # noqa: BLE001
        return Package(name, None, None, f"not installed ({_one_line(error)})")
    try:
        importlib.import_module(name)
    except Exception as error:  # noqa: BLE001
        return Package(name, version, distribution, _one_line(error))
    return Package(name, version, distribution, None)


def _remedy(package: Package) -> str:
    if package.version is None:
        return f"{package.name} is not installed: pip install {package.name}"
    return (
        f"{package.name} {package.version} cannot be imported ({package.error}): pip install --force-reinstall "
        f"{package.distribution}"
    )


def _hint(package: Package) -> str:
    command, purpose = OPTIONAL[package.name]
    return f"to {purpose}: {command}"


def _libsndfile() -> str:
    return str(importlib.import_module("soundfile").__libsndfile_version__)


def _instruction_set() -> str:
    from engine import _kernels

    return _kernels.isa()


def _instruction_sets() -> tuple[str, ...]:
    """Return the sets that the kernels name when they are asked for one that does not exist."""
    command = [sys.executable, "-c", "from engine import _kernels; _kernels.isa()"]
    environment = os.environ | {"ENGINE_ISA": "none"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    named = re.search(r"ENGINE_ISA to be one of ([\w, ]+), got", done.stderr)
    return tuple(named[1].split(", ")) if named else ()


def _threads() -> Threads:
    from engine.threads import available_cpus, cgroup_quota

    quota = cgroup_quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return Threads(available_cpus(), os.cpu_count(), affinity, None if math.isinf(quota) else quota)


def _devices() -> tuple[Device, ...]:
    from engine.devices import cuda_obstacle

    devices = [Device("cpu", None), Device("cuda:0", cuda_obstacle(0))]
    while devices[-1].obstacle is None and len(devices) <= MAX_GPUS:
        obstacle = cuda_obstacle(len(devices) - 1)
        if obstacle is not None:
            break
        devices.append(Device(f"cuda:{len(devices) - 1}", None))
    return tuple(devices)


def _cuda_libraries() -> tuple[tuple[str, ...], tuple[str, ...]]:
    import onnxruntime

    from engine.devices import CUDA_PROVIDER, missing_cuda_libraries

    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return (), ()
    missing = missing_cuda_libraries()
    maps = Path("/proc/self/maps")
    loaded = re.findall(r"/(lib(?:cu|nv)[^/\s]*\.so[.\d]*)$", maps.read_text(), re.MULTILINE) if maps.exists() else []
    return tuple(sorted(set(loaded))), missing


def _models() -> tuple[InstalledModel, ...]:
    from engine.model import Model
    from engine.registry import installed_models

    found = []
    for model in installed_models():
        error = None
        try:
            Model.open(model.path, device="cpu", threads=1)
        except Exception as failure:  # noqa: BLE001
            error = _one_line(failure)
        found.append(InstalledModel(model.name, str(model.path), model.origin, model.hidden, error))
    return tuple(found)


def _tag() -> bool:
    """Tag a second of silence in a WAV file at a rate that no model has."""
    from engine.model import Model

    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(11_025)
        file.writeframes(bytes(2 * 11_025))
    Model.open(None, device="cpu", threads=1)(content.getvalue())
    return True


def _one_line(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
