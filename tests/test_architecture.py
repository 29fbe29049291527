"""The plan of the house: who may import whom, what files may be called, and what an import may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import engine

ROOT = Path(__file__).resolve().parent.parent

# Lowest first: a module imports only from layers below its own, so nothing upward, nothing sideways, no cycles.
LAYERS = (
    {"_kernels", "errors"},
    {
        "events",
        "ahead",
        "batch_sweep",
        "threads",
        "windows",
        "golden",
        "registry",
        "devices",
        "fingerprint",
        "card_fields",
        "card_migration",
        "labels",
        "byte_stream",
        "fetch",
        "samples",
        "scan",
        "precision",
        "ranks",
        "library",
    },
    {
        "device_buffers",
        "frontend",
        "distance",
        "take",
        "decode_sndfile",
        "mp4",
        "graph_part",
        "picture",
        "card_parts",
        "card_text",
    },
    {"decode_av", "card_query", "session", "results"},
    {"decode"},
    {"audio", "card"},
    {"structure", "options", "card_sections"},
    {"network"},
    {"listener"},
    {"model"},
    {"two_tower"},
    {"batch", "stream", "verify"},
    {"verb", "probe", "doctor", "convert"},
    {"tagger", "embedder", "ranker", "install", "adopt"},
    {"archive", "bench", "record", "teach"},
    {"index"},
    {"app"},
    {"cli"},
    {"__main__"},
)
HEAVY = (
    "torch",
    "onnx",
    "sklearn",
    "scipy.signal",
    "pyarrow",
    "ray",
    "faiss",
    "matplotlib",
    "av",
    "lancedb",
    "sounddevice",
    "gradio",
    "fastapi",
)
# What training may use: the front end, audio, distances, the card and its check, variants, and the verbs to evaluate
# with.
OPEN_TO_TRAINING = {
    *("frontend", "audio", "distance", "card", "labels", "verify", "convert"),
    *("errors", "results", "scan", "tagger", "embedder", "ranker", "take"),
}
LEAVES = ("losses", "metrics", "augment", "disguise", "transformations", "sampling")
FORBIDDEN_NAMES = ("util", "helper", "common", "misc")


def modules(package):
    """Dotted name and path of every module of a top-level package."""
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path):
    """Dotted names that a file imports anywhere, also inside functions; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def engine_module(name):
    """The module of engine that an imported name means: engine.card.ModelCard and engine.card are card."""
    parts = name.split(".")
    if parts[0] != "engine":
        return None
    return engine._HOME.get(parts[1], parts[1]) if len(parts) > 1 else ""


def layer(module):
    found = [level for level, names in enumerate(LAYERS) if module in names]
    assert len(found) == 1, f"engine.{module} has no layer; give it one in LAYERS"
    return found[0]


ENGINE = [(name.split(".")[1], path) for name, path in modules("engine") if name != "engine"]


@pytest.mark.parametrize(("module", "path"), ENGINE, ids=lambda value: value if isinstance(value, str) else value.stem)
def test_engine_imports_only_downward(module, path):
    for name in imports(path):
        imported = engine_module(name)
        if imported is not None and imported != module:
            assert layer(imported) < layer(module), f"{path.name} imports {name}, which is not below it"


def test_packages_inside_engine_have_no_cycles():
    for package in ("frontend", "adopt", "app", "archive", "bench", "cli", "convert", "index", "teach"):
        graph = {
            name: {other for other in imports(path) if other.startswith(f"engine.{package}.")}
            for name, path in modules(f"engine/{package}")
            if name != f"engine.{package}"
        }
        known = set(graph)
        graph = {
            name: {other if other in known else other.rpartition(".")[0] for other in others} - {name}
            for name, others in graph.items()
        }
        while graph:
            free = [name for name, others in graph.items() if not others & set(graph)]
            assert free, f"a cycle among {sorted(graph)}"
            for name in free:
                del graph[name]


@pytest.mark.parametrize("package", ["torch", "training", "tests", "benchmarks", "setuptools", "librosa"])
def test_engine_never_imports(package):
    offenders = [path for _, path in modules("engine") for name in imports(path) if name.split(".")[0] == package]
    assert offenders == []


def test_only_the_bindings_know_python():
    sources = [path for path in (ROOT / "csrc").iterdir() if path.suffix in (".cc", ".h")]
    assert sources
    knowing = {path.name for path in sources if "pybind11" in path.read_text() or "Python.h" in path.read_text()}
    assert knowing
    assert [name for name in knowing if not name.startswith("bindings")] == []


def test_training_imports_only_what_is_open_to_it():
    for name, path in modules("training"):
        used = {engine_module(imported) for imported in imports(path)} - {None}
        assert used <= OPEN_TO_TRAINING, f"{name} imports {sorted(used - OPEN_TO_TRAINING)} of engine"


def test_leaves_of_training_import_nothing_else_of_it():
    for name, path in modules("training"):
        if name.split(".")[1:2] and name.split(".")[1] in LEAVES:
            own = ".".join(name.split(".")[:2])
            others = [other for other in imports(path) if other.startswith("training.") and not other.startswith(own)]
            assert others == [], f"{name} is a leaf"


def test_nobody_imports_a_recipe():
    offenders = [
        path
        for package in ("engine", "training", "benchmarks", "examples")
        for name, path in modules(package)
        for imported in imports(path)
        if imported.startswith("training.recipes.") and not name.startswith("training.recipes")
    ]
    assert offenders == []


def test_no_file_is_a_drawer():
    names = [
        path for folder in ("csrc", "engine", "training", "tests", "benchmarks") for path in (ROOT / folder).rglob("*")
    ]
    drawers = [path for path in names if any(word in path.stem.lower() for word in FORBIDDEN_NAMES)]
    assert [path for path in drawers if path.suffix in (".py", ".cc", ".h")] == []


def run_python(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_public_names_pull_in_no_heavy_package():
    loaded = run_python(
        "import sys, engine\n"
        "for name in engine.__all__: getattr(engine, name)\n"
        "import engine.cli.main\n"
        "print('\\n'.join(sys.modules))"
    ).split()
    assert "engine.tagger" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_import_engine_is_lazy():
    loaded = run_python("import sys, engine\nprint('\\n'.join(sys.modules))").split()
    assert [name for name in ("numpy", "onnxruntime", "soundfile", "soxr") if name in loaded] == []


def test_public_names_are_listed_and_exist():
    for name in engine.__all__:
        assert getattr(engine, name) is not None
        assert name in dir(engine)
    with pytest.raises(AttributeError, match="Taggger"):
        _ = engine.Taggger


def test_import_changes_no_global_state():
    program = (
        "import logging, warnings, locale, os, sys, threading\n"
        "def state(): return (logging.root.handlers[:], logging.root.level, warnings.filters[:], sys.stdout,"
        " sys.stderr, locale.setlocale(locale.LC_ALL), dict(os.environ), threading.active_count(), os.getcwd())\n"
        "import numpy, onnxruntime, soundfile, soxr\n"
        "before = state(), numpy.geterr()\n"
        "import engine\n"
        "for name in engine.__all__: getattr(engine, name)\n"
        "assert (state(), numpy.geterr()) == before"
    )
    assert run_python(program) == ""
