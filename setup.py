"""Build of the C++ extension and the list of packages; everything else about them is in pyproject.toml."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import Command, find_packages, setup
from setuptools.command.build_ext import build_ext, customize_compiler, new_compiler

# Only the instruction-set units are built for newer processors; the program chooses one of them when it runs.
ISA_FLAGS = {
    "isa_avx2.cc": ["-mavx2", "-mfma"],
    "isa_avx512.cc": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"],
    "isa_avx512vnni.cc": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mfma"],
}
IS_X86_64 = platform.machine() in ("x86_64", "AMD64")

FLAGS = [
    "-O3",
    "-ffp-contract=fast",  # a * b + c may become one fused operation, also across statements
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
]
# make sanitize: address and undefined-behaviour checks in every kernel.
SANITIZE = os.environ.get("ENGINE_SANITIZE") == "1"
if SANITIZE:
    FLAGS += ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]


CSRC = Path("csrc")
# The C interface is a library of its own: it does not go into the Python module, nor the module's bindings into it.
EXTENSION_SOURCES = sorted(str(path) for path in CSRC.glob("*.cc") if path.name != "c_api.cc")
C_API_SOURCES = sorted(str(path) for path in CSRC.glob("*.cc") if not path.name.startswith("bindings"))


def add_isa_flags(compiler: Any) -> None:
    """Make a setuptools compiler add each file's instruction-set flags to its command line."""
    compile_one = compiler._compile  # noqa: SLF001 - the only hook there is for one file's flags

    def compile_with_isa(obj: str, src: str, ext: str, cc_args: Any, postargs: Any, pp_opts: Any) -> None:
        isa = ISA_FLAGS.get(Path(src).name, []) if IS_X86_64 else []
        compile_one(obj, src, ext, cc_args, [*postargs, *isa], pp_opts)

    compiler._compile = compile_with_isa  # noqa: SLF001


class BuildExt(build_ext):
    """Builds the Python module."""

    def build_extensions(self) -> None:
        """Build as usual, with the flags of each instruction set."""
        add_isa_flags(self.compiler)
        super().build_extensions()


class BuildCApi(Command):
    """Builds the C interface of csrc/c_api.h as a plain shared library without Python symbols."""

    description = "build the C interface as a shared library"
    user_options: ClassVar = [("output=", "o", "folder for the library (default: build)")]

    def initialize_options(self) -> None:
        """Set the defaults."""
        self.output = "build"

    def finalize_options(self) -> None:
        """Nothing depends on other options."""

    def run(self) -> None:
        """Compile and link."""
        compiler = new_compiler()
        customize_compiler(compiler)
        add_isa_flags(compiler)
        with tempfile.TemporaryDirectory() as objects:
            compiled = compiler.compile(C_API_SOURCES, objects, extra_postargs=["-std=c++17", "-fPIC", *FLAGS])
            name = compiler.library_filename("sound_engine", lib_type="shared")
            links = ["-fsanitize=address,undefined"] if SANITIZE else []
            compiler.link_shared_object(
                compiled, str(Path(self.output) / name), libraries=["pthread"], extra_postargs=links, target_lang="c++"
            )


ParallelCompile("ENGINE_BUILD_JOBS").install()  # as many files at a time as there are CPUs

if sys.platform == "win32" and "clang" not in platform.python_compiler().lower():
    sys.stderr.write(
        "note: the kernels need clang-cl on Windows (Visual C++ has no vector extensions); WSL works too\n"
    )

setup(
    # The repository's models/ is installed as engine/models/.
    packages=[*find_packages(include=["engine*", "training*"]), "engine.models"],
    package_dir={"engine.models": "models"},
    ext_modules=[
        Pybind11Extension(
            "engine._kernels",
            EXTENSION_SOURCES,
            depends=sorted(str(path) for path in CSRC.glob("*.h")),
            cxx_std=17,
            extra_compile_args=FLAGS,
            extra_link_args=["-fsanitize=address,undefined"] if SANITIZE else [],
        )
    ],
    cmdclass={"build_ext": BuildExt, "build_capi": BuildCApi},
)
