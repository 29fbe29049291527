"""The C interface gives the bits of the Python package: through cffi, and from a C program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import pytest

from engine import distance
from engine.frontend import FrontendConfig, LogMel
from tests.test_frontend import SMALL, VARIANTS, noise

REPOSITORY = Path(__file__).resolve().parent.parent
HEADER = REPOSITORY / "csrc" / "c_api.h"
pytestmark = pytest.mark.filterwarnings("ignore:mel filters")

WINDOWS = ["hann", "hamming", "povey", "blackman", "rectangular"]
CHOICES = {
    "framing": ["center", "center_trimmed", "valid", "mirror"],
    "mel_scale": ["htk", "slaney", "kaldi"],
    "mel_norm": ["none", "slaney"],
    "log": ["ln", "log10", "dB"],
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[cffi.FFI, Any, Path]:
    """Build the shared library as ``make capi`` does, and load it through the declarations of its header."""
    folder = tmp_path_factory.mktemp("capi")
    command = [sys.executable, "setup.py", "--quiet", "build_capi", "--output", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    declarations = re.sub(r"^\s*#.*$|^extern \"C\" \{$|^\}$|ENGINE_API ", "", HEADER.read_text(), flags=re.MULTILINE)
    ffi = cffi.FFI()
    ffi.cdef(declarations)
    (file,) = folder.iterdir()
    return ffi, ffi.dlopen(str(file)), file


def c_options(ffi: cffi.FFI, c: Any, config: FrontendConfig) -> tuple[Any, list[Any]]:
    """Return the C options of a configuration, and the arrays that must outlive them."""
    options, arrays = ffi.new("engine_log_mel_options *"), []
    c.engine_log_mel_defaults(options)
    for name, value in config.to_dict().items():
        if name in CHOICES:
            setattr(options, name, CHOICES[name].index(value))
        elif name == "window" and isinstance(value, str):
            options.window = WINDOWS.index(value)
        elif name in ("window", "mean", "std"):
            if value is not None:
                values = value if isinstance(value, list) else [value] * config.n_mels
                arrays.append(ffi.new("double[]", values))
                setattr(options, "window_values" if name == "window" else name, arrays[-1])
        elif name == "f_max":
            options.f_max = config.sample_rate / 2 if value is None else value
        elif name == "pad_mode":
            options.pad_reflect = value == "reflect"
        elif name == "preemphasis_scope":
            options.preemphasis_of_clip = value == "clip"
        elif name == "spectrum":
            options.magnitude = value == "magnitude"
        elif name == "log_reference":
            options.log_reference_max = value == "max"
            options.log_reference = 1.0 if value == "max" else value
        else:
            setattr(options, name, value or 0)
    return options, arrays


@pytest.mark.parametrize("name", [*VARIANTS, "plain"])
def test_log_mel_has_the_bits_of_the_python_package(library: tuple[cffi.FFI, Any, Path], name: str) -> None:
    ffi, c, _ = library
    config, x = replace(SMALL, **VARIANTS.get(name, {})), noise(3000)
    options, _arrays = c_options(ffi, c, config)
    front_end = ffi.gc(c.engine_log_mel_create(options), c.engine_log_mel_destroy)
    assert front_end != ffi.NULL, ffi.string(c.engine_last_error())
    out = np.empty((c.engine_log_mel_frames(front_end, len(x)), config.n_mels), np.float32)
    pointers = ffi.from_buffer("float[]", x), ffi.from_buffer("float[]", out)
    assert c.engine_log_mel_compute(front_end, pointers[0], len(x), pointers[1], 2) == 0
    np.testing.assert_array_equal(out, LogMel(config)(x))


@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean", "euclidean", "inner_product"])
def test_search_has_the_bits_of_the_python_package(library: tuple[cffi.FFI, Any, Path], metric: str) -> None:
    ffi, c, _ = library
    queries, database = noise(7 * 33).reshape(7, 33), noise(500 * 33, seed=1).reshape(500, 33)
    indices, distances = np.empty((7, 5), np.int64), np.empty((7, 5))
    number = ["cosine", "sqeuclidean", "euclidean", "inner_product"].index(metric)
    buffers = [ffi.from_buffer("float[]", a) for a in (queries, database)]
    buffers += [ffi.from_buffer("int64_t[]", indices), ffi.from_buffer("double[]", distances)]
    assert c.engine_top_k(buffers[0], 7, buffers[1], 500, 33, 5, number, 2, buffers[2], buffers[3]) == 0
    expected = distance.topk(queries, database, 5, metric)
    np.testing.assert_array_equal(indices, expected.indices)
    np.testing.assert_array_equal(distances, expected.distances)


def test_failures_are_told_in_a_sentence(library: tuple[cffi.FFI, Any, Path]) -> None:
    ffi, c, _ = library
    options = ffi.new("engine_log_mel_options *")
    c.engine_log_mel_defaults(options)
    options.n_fft = 8
    assert c.engine_log_mel_create(options) == ffi.NULL
    assert ffi.string(c.engine_last_error()) == b"expected n_fft from 16 to 8192"
    c.engine_log_mel_defaults(options)
    options.window = 9
    assert c.engine_log_mel_create(options) == ffi.NULL
    assert b"enum engine_window" in ffi.string(c.engine_last_error())

    c.engine_log_mel_defaults(options)
    front_end = ffi.gc(c.engine_log_mel_create(options), c.engine_log_mel_destroy)
    x, out = np.full(1000, np.nan, np.float32), np.empty((7, 64), np.float32)
    buffers = ffi.from_buffer("float[]", x), ffi.from_buffer("float[]", out)
    assert c.engine_log_mel_compute(front_end, buffers[0], 1000, buffers[1], 1) == -1
    assert b"finite" in ffi.string(c.engine_last_error())
    assert c.engine_top_k(buffers[0], -1, buffers[0], 1, 1, 1, 0, 1, ffi.NULL, ffi.NULL) == -1
    assert b"sizes of 0 or more" in ffi.string(c.engine_last_error())


def test_the_library_knows_no_python(library: tuple[cffi.FFI, Any, Path]) -> None:
    if shutil.which("nm") is None:
        pytest.skip("nm lists a library's symbols; it comes with binutils")
    listing = subprocess.run(["nm", "-D", str(library[2])], capture_output=True, text=True, check=True).stdout
    assert not re.search(r" _?Py", listing)
    exported = {line.split()[-1] for line in listing.splitlines() if " T " in line}
    assert {name for name in exported if name.startswith("engine_")} == set(
        re.findall(r"ENGINE_API .*?(engine_\w+)\(", HEADER.read_text())
    )


def test_the_example_in_c_runs(library: tuple[cffi.FFI, Any, Path], tmp_path: Path) -> None:
    compiler, program, built = shutil.which("cc"), tmp_path / "log_mel", library[2]
    assert compiler, "the C example needs cc"
    source = REPOSITORY / "examples" / "c" / "log_mel.c"
    command = [compiler, "-std=c99", "-Wall", "-Werror", "-I", str(HEADER.parent), str(source), str(built)]
    subprocess.run([*command, f"-Wl,-rpath,{built.parent}", "-lm", "-o", str(program)], check=True)
    lines = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.splitlines()
    assert "101 frames of 64 bands" in lines[0]
    bands = [int(line.split()[-1]) for line in lines[1:7]]
    assert bands == sorted(bands), "the tone rises"
    assert bands[0] < bands[-1]
    assert lines[7] == "frame 0 at cosine distance 0.000000"
