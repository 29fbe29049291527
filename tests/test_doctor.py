"""What the doctor finds on machines that lack something: pretended ones, and processes that are broken for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from importlib import metadata

import onnxruntime
import pytest

import engine as engine_package
from engine import doctor
from engine.cli.doctor import _rows
from engine.devices import CUDA_PROVIDER
from engine.doctor import Device, Package, Threads, examine
from engine.registry import user_models_folder
from tests.tiny_models import save


@pytest.fixture(scope="module")
def report():
    return examine()


def shown(report):
    return [f"{name}: {text}" for name, text in _rows(report)]


def test_a_whole_installation_works(report):
    assert report.works
    assert report.problems == ()
    assert report.engine == engine_package.__version__
    versions = {package.name: package.version for package in report.packages}
    assert versions["numpy"] == metadata.version("numpy")
    assert versions["onnxruntime"] == onnxruntime.__version__
    assert all(package.error is None for package in report.packages if package.name in doctor.NEEDED)
    assert report.libsndfile[0].isdigit()
    assert report.instruction_set in report.instruction_sets
    assert report.instruction_sets[-1] in ("baseline", "neon")
    assert report.threads.used >= 1
    assert report.devices[0] == Device("cpu", None)
    assert report.devices[1].name == "cuda:0"
    assert [(model.name, model.origin, model.error) for model in report.models] == [
        ("esc10-embedder", "package", None),
        ("esc10", "package", None),
        ("keywords", "package", None),
        ("words-ranker", "package", None),
    ]


def test_the_report_is_json_and_text(engine, monkeypatch, report):
    monkeypatch.setattr(doctor, "examine", lambda: report)
    code, out, err = engine("doctor", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(json.dumps(asdict(report)))
    code, out, err = engine("doctor")
    assert (code, err) == (0, "")
    lines = out.decode().splitlines()
    assert lines[0].split()[:2] == ["engine", f"{report.engine},"]
    assert len({len(line) - len(line.partition("  ")[2].lstrip()) for line in lines if "  " in line}) == 1
    assert any(line.startswith("cpu ") and line.endswith("can be used") for line in lines)


def test_an_installation_that_does_not_work_has_the_exit_code_1(engine, monkeypatch, report):
    broken = replace(report, works=False, problems=("soxr is not installed: pip install soxr",))
    monkeypatch.setattr(doctor, "examine", lambda: broken)
    code, out, _ = engine("doctor")
    assert code == 1
    assert "DOES NOT WORK" in out.decode()
    assert "PROBLEM" in out.decode()
    assert engine("doctor", "--json")[0] == 1


def test_two_wheels_of_onnxruntime_are_a_problem(monkeypatch):
    def distributions():
        return {"onnxruntime": ["onnxruntime-gpu", "onnxruntime", "onnxruntime-gpu"], "numpy": ["numpy"]}

    monkeypatch.setattr(metadata, "packages_distributions", distributions)
    assert doctor.onnxruntime_wheels() == ("onnxruntime", "onnxruntime-gpu")
    (problem,) = [text for text in examine().problems if "overwrite" in text]
    assert "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install" in problem


def test_both_wheels_are_seen_where_they_are_installed(monkeypatch, tmp_path):
    for name in ("onnxruntime", "onnxruntime_gpu"):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
        (folder / "top_level.txt").write_text("onnxruntime\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert doctor.onnxruntime_wheels() == ("onnxruntime", "onnxruntime-gpu")


def test_missing_and_broken_packages_have_their_remedy(monkeypatch):
    def version(name):
        if name in ("soxr", "av"):
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    def import_module(name):
        if name == "scipy":
            raise ImportError("libopenblas.so: cannot open\nshared object file")

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(doctor.importlib, "import_module", import_module)
    found = examine()
    assert "soxr is not installed: pip install soxr" in found.problems
    assert any(
        text.startswith("scipy 1.0 cannot be imported (libopenblas.so: cannot open shared object file)")
        and text.endswith("pip install --force-reinstall scipy")
        for text in found.problems
    )
    assert found.hints == ("to read m4a, aac, mp4 and webm: pip install 'sound-engine[av]'",)
    assert "to have more: to read m4a" in "\n".join(shown(found))


def test_gpus_are_counted_and_their_libraries_named(monkeypatch):
    def obstacle(index):
        return None if index < 2 else "there are 2 CUDA devices"

    monkeypatch.setattr("engine.devices.cuda_obstacle", obstacle)
    monkeypatch.setattr("engine.devices.missing_cuda_libraries", lambda: ("libcurand.so.10",))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA_PROVIDER])
    found = examine()
    assert [device.name for device in found.devices] == ["cpu", "cuda:0", "cuda:1"]
    assert all(device.obstacle is None for device in found.devices)
    assert found.cuda_missing == ("libcurand.so.10",)
    assert "CUDA missing: libcurand.so.10" in shown(found)


def test_a_build_without_cuda_has_no_cuda_libraries(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    found = examine()
    assert (found.cuda_found, found.cuda_missing) == ((), ())
    assert "no CUDA" in found.devices[1].obstacle


def test_a_model_that_cannot_be_used_is_a_problem_but_not_the_end(monkeypatch, tmp_path):
    monkeypatch.setattr("engine.registry._data_home", lambda: tmp_path)
    own = user_models_folder()
    own.mkdir(parents=True)
    save(own / "tiny.onnx")
    (own / "broken.onnx").write_bytes(b"<html>")
    found = examine()
    assert found.works
    assert [(model.name, model.origin, bool(model.error)) for model in found.models] == [
        ("broken", "user", True),
        ("tiny", "user", False),
        ("esc10-embedder", "package", False),
        ("esc10", "package", False),
        ("keywords", "package", False),
        ("words-ranker", "package", False),
    ]
    assert str(own / "broken.onnx") in found.problems[0]
    assert any("broken (user): unusable" in line for line in shown(found))


def test_threads_come_with_their_reason(report):
    limited = replace(report, threads=Threads(used=2, machine=64, affinity=8, cgroup=1.5))
    assert "threads: 2: the machine has 64 CPUs, this process may run on 8, its control group grants 1.5" in shown(
        limited
    )
    unlimited = replace(report, threads=Threads(used=4, machine=4, affinity=None, cgroup=None))
    assert "threads: 4: the machine has 4 CPUs" in shown(unlimited)


def test_nothing_that_is_broken_raises(monkeypatch, engine):
    def broken(*_):
        raise RuntimeError("broken\nto pieces")

    looks = [
        "onnxruntime_wheels",
        "_libsndfile",
        "_instruction_set",
        "_threads",
        "_devices",
        "_cuda_libraries",
        "_models",
        "_tag",
    ]
    for name in looks:
        monkeypatch.setattr(doctor, name, broken)
    monkeypatch.setattr(metadata, "version", broken)
    found = examine()
    assert not found.works
    assert found.engine == "unknown"
    assert found.threads is None
    assert found.packages[0] == Package("numpy", None, None, "not installed (broken to pieces)")
    assert len(found.problems) == len(looks) + len(doctor.NEEDED) + 1
    code, out, err = engine("doctor")
    assert (code, err) == (1, "")
    assert all(line.strip() for line in out.decode().splitlines())


@pytest.mark.parametrize("package", ["numpy", "onnxruntime"])
def test_a_package_that_is_broken_for_real_is_named(tmp_path, package):
    (tmp_path / f"{package}.py").write_text("raise ImportError('no such shared object')\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "engine", "doctor", "--json"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # What a broken package itself says on stderr is its own.
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert not found["works"]
    assert any(text.startswith(package) and "no such shared object" in text for text in found["problems"])


def test_an_instruction_set_that_does_not_exist_is_told():
    done = subprocess.run(
        [sys.executable, "-m", "engine", "doctor", "--json"],
        env=os.environ | {"ENGINE_ISA": "mmx"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert any("ENGINE_ISA" in text and "'mmx'" in text for text in json.loads(done.stdout)["problems"])
