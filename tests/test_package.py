"""What is installed: dependencies on every platform, pinned versions, and the contents of the sdist and the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import engine

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# (sys_platform, platform_machine) as Python reports them.
PLATFORMS = {
    ("linux", "x86_64"): "onnxruntime-gpu",
    ("linux", "aarch64"): "onnxruntime",
    ("win32", "AMD64"): "onnxruntime-gpu",
    ("win32", "ARM64"): "onnxruntime",
    ("darwin", "x86_64"): "onnxruntime",
    ("darwin", "arm64"): "onnxruntime",
}


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(r.name): r for r in requirements}


def source_files(*folders, suffixes=(".py",)):
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in suffixes)
    return {path.relative_to(ROOT).as_posix() for path in paths}


@pytest.mark.parametrize(("platform", "machine"), PLATFORMS)
def test_every_platform_gets_exactly_one_onnxruntime(platform, machine):
    environment = {"sys_platform": platform, "platform_machine": machine}
    chosen = [
        r.name
        for r in map(Requirement, PROJECT["dependencies"])
        if r.name.startswith("onnxruntime") and r.marker.evaluate(environment)
    ]
    assert chosen == [PLATFORMS[platform, machine]]


@pytest.mark.parametrize(("platform", "machine"), PLATFORMS)
def test_extra_cuda_adds_libraries_to_the_same_onnxruntime_and_never_a_second_one(platform, machine):
    environment = {"sys_platform": platform, "platform_machine": machine}
    chosen = [r for r in map(Requirement, EXTRAS["cuda"]) if r.marker.evaluate(environment)]
    if PLATFORMS[platform, machine] == "onnxruntime-gpu":
        assert [(r.name, r.extras) for r in chosen] == [("onnxruntime-gpu", {"cuda", "cudnn"})]
    else:
        assert chosen == []


def test_core_installs_no_training_package():
    names = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert names.isdisjoint(Requirement(line).name for line in EXTRAS["train"])


def test_constraints_pin_what_make_installs():
    pinned = pins()
    extras = ("app", "train", "checkpoints", "test", "lint")
    lines = [line for extra in extras for line in EXTRAS[extra]] + PROJECT["dependencies"]
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            continue
        (pin,) = pinned[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), requirement
    assert pinned["torch"].specifier == "==2.13.0"


def test_benchmarks_measure_the_versions_that_the_tests_run_against():
    pinned = pins()
    for requirement in map(Requirement, EXTRAS["bench"]):
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        if (same := canonicalize_name(requirement.name)) in pinned:
            assert pinned[same].specifier == requirement.specifier


def test_constraints_hold_on_any_machine():
    for pin in pins().values():
        (version,) = pin.specifier
        assert pin.url is None
        assert Version(version.version).local is None


def test_version_stands_in_one_place():
    assert engine.__version__ == PROJECT["version"]


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Build the sdist from a copy of the tree and the wheel from that sdist, as an index would serve them."""
    tree = tmp_path_factory.mktemp("tree") / "source"
    unwanted = shutil.ignore_patterns(
        ".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.so", "*.egg-info", "build", "dist", "runs", "data"
    )
    shutil.copytree(ROOT, tree, ignore=unwanted)
    dist = tree.parent / "dist"
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, tree]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return dist


@pytest.fixture(scope="session")
def sdist_names(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


@pytest.fixture(scope="session")
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.mark.slow
def test_sdist_carries_everything_it_takes_to_build_and_test(sdist_names):
    folders = ("benchmarks", "csrc", "docs", "engine", "examples", "models", "tests", "training")
    suffixes = (".py", ".pyi", ".json", ".cc", ".h", ".c", ".onnx", ".md", ".flac")
    assert source_files(*folders, suffixes=suffixes) <= sdist_names
    assert {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt", "setup.py"} <= sdist_names


@pytest.mark.slow
def test_wheel_carries_engine_training_and_models_and_nothing_else(wheel):
    names = set(wheel.namelist())
    metadata = {name for name in names if name.startswith("sound_engine-")}
    (kernels,) = (name for name in names if name.startswith("engine/_kernels") and not name.endswith(".pyi"))
    models = {f"engine/{name}" for name in source_files("models", suffixes=(".onnx", ".md"))}
    assert "engine/models/esc10.onnx" in models
    expected = (
        source_files("engine", "training", suffixes=(".py", ".pyi", ".json")) | models | {kernels, "engine/py.typed"}
    )
    assert names - metadata == expected


@pytest.mark.slow
def test_wheel_carries_the_models_unchanged(wheel):
    for path in (ROOT / "models").glob("*.onnx"):
        assert wheel.read(f"engine/models/{path.name}") == path.read_bytes()


@pytest.mark.slow
def test_wheel_states_licence_python_and_extras(wheel):
    folder = f"sound_engine-{PROJECT['version']}.dist-info"
    metadata = message_from_bytes(wheel.read(f"{folder}/METADATA"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"cuda", "train", "test", "lint"} <= set(metadata.get_all("Provides-Extra"))
    assert wheel.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert b"engine = engine.cli.main:main" in wheel.read(f"{folder}/entry_points.txt")


@pytest.mark.slow
def test_unpacked_wheel_tags_with_the_model_it_brought(wheel, tmp_path):
    wheel.extractall(tmp_path)
    code = (
        "import sys, engine, engine.registry\n"
        "print(engine.registry.models_folder())\n"
        "print(engine.Tagger(device='cpu', threads=1)(sys.argv[1]).top(1)[0].label)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, ROOT / "examples" / "rain.flac"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str(tmp_path / "engine" / "models"), "rain"]
