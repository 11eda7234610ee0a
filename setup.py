"""The extension module and the version; everything else is in pyproject.toml.

On Windows zig compiles, which pyproject.toml has pip bring: Microsoft's compiler lacks what the kernels are written
in. The environment's CC names another one (gcc or clang with a GNU target).

Environment, for builds that are tested rather than used:

QRNN_SANITIZE=address,undefined  compile with these sanitizers
QRNN_COVERAGE=1                  count executed lines and branches, as they are written, for gcov
"""

import os
import platform
import re
import sys
from glob import glob
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

# Python's own flags may ask for -fwrapv, with which gcc 12 keeps the addresses of a register tile on the stack: a step
# of RNNCell(256, 256) takes 3.34 us instead of 2.69 at batch 3 (AVX-512).
compile_args = ["-std=c11", "-O3", "-fno-wrapv", "-fvisibility=hidden", "-Wall", "-Wextra"]
link_args = []
if platform.machine() == "s390x":
    compile_args += ["-fexcess-precision=fast"]  # csrc/kernels/target.h

if sanitizers := os.environ.get("QRNN_SANITIZE"):
    flags = [f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer"]
    compile_args += [*flags, "-g", "-O1", "-fno-sanitize-recover=all"]
    link_args += flags
elif not os.environ.get("QRNN_COVERAGE"):
    # Python's own flags may ask for -g, which makes the wheel four times as large; tables for exceptions, which C has
    # not, and names that nobody looks up take a tenth of the extension; what zig links of its own and nobody calls,
    # a third for ARM.
    compile_args += ["-g0", "-fno-asynchronous-unwind-tables"]
    link_args += ["-Wl,-s", "-Wl,--gc-sections"] if platform.system() in ("Linux", "Windows") else []
if os.environ.get("QRNN_COVERAGE"):
    compile_args += ["--coverage", "-fprofile-update=atomic", "-O0", "-DQRNN_COUNTED"]
    link_args += ["--coverage"]


class Build(build_ext):
    """With zig on Windows, by the class that setuptools has for compilers of GNU's command line."""

    def finalize_options(self):
        super().finalize_options()
        if sys.platform == "win32" and self.compiler is None:
            processor = "aarch64" if self.plat_name == "win-arm64" else "x86_64"
            os.environ.setdefault("CC", f'"{sys.executable}" -m ziglang cc -target {processor}-windows-gnu')
            self.compiler = "mingw32"

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc":
            raise CompileError(
                "Microsoft's compiler cannot compile qrnn; without --compiler zig does, which `pip install .` brings"
            )
        if self.compiler.compiler_type == "mingw32":
            self.compiler.dll_libraries = []  # the compiler knows the C runtime of its target
        super().build_extensions()


setup(
    version=re.search(r'^#define QRNN_VERSION "(.+)"$', Path("csrc/core/qrnn.h").read_text(), re.MULTILINE)[1],
    cmdclass={"build_ext": Build},
    ext_modules=[
        Extension(
            "qrnn._core",
            sources=sorted(glob("csrc/**/*.c", recursive=True)),
            depends=sorted(glob("csrc/**/*.h", recursive=True) + glob("csrc/**/*.def", recursive=True)),
            include_dirs=["csrc/core", "csrc/kernels", numpy.get_include()],
            extra_compile_args=compile_args,
            extra_link_args=link_args,
            language="c",
        )
    ],
)
