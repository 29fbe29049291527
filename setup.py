"""Build of the C++ extension and the list of packages; everything else about them is in pyproject.toml."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

from pybind11.setup_helpers import Pybind11Extension
from setuptools import find_packages, setup
from setuptools.command.build_ext import build_ext

# Only the instruction-set units are built for newer processors; the program chooses one of them when it runs.
ISA_FLAGS = {
    "isa_avx2.cc": ["-mavx2", "-mfma"],
    "isa_avx512.cc": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"],
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


class BuildExt(build_ext):
    """Adds each file's instruction-set flags to the compiler's command line."""

    def build_extensions(self) -> None:
        """Build as usual, through a compile step that looks at the file's name."""
        compile_one = self.compiler._compile  # noqa: SLF001 - the only hook setuptools has for one file's flags

        def compile_with_isa(obj: str, src: str, ext: str, cc_args: Any, postargs: Any, pp_opts: Any) -> None:
            isa = ISA_FLAGS.get(Path(src).name, []) if IS_X86_64 else []
            compile_one(obj, src, ext, cc_args, [*postargs, *isa], pp_opts)

        self.compiler._compile = compile_with_isa  # noqa: SLF001
        super().build_extensions()


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
            sorted(str(path) for path in Path("csrc").glob("*.cc")),
            depends=sorted(str(path) for path in Path("csrc").glob("*.h")),
            cxx_std=17,
            extra_compile_args=FLAGS,
        )
    ],
    cmdclass={"build_ext": BuildExt},
)
