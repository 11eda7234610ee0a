"""The extension module; everything else is in pyproject.toml.

Environment, for builds that are tested rather than used:

QRNN_SANITIZE=address,undefined  compile with these sanitizers
QRNN_COVERAGE=1                  count executed lines and branches, as they are written, for gcov
"""

import os
import platform
from glob import glob

import numpy
from setuptools import Extension, setup

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
    # not, and names that nobody looks up take a tenth of the extension.
    compile_args += ["-g0", "-fno-asynchronous-unwind-tables"]
    link_args += ["-Wl,-s"] if platform.system() == "Linux" else []
if os.environ.get("QRNN_COVERAGE"):
    compile_args += ["--coverage", "-fprofile-update=atomic", "-O0", "-DQRNN_COUNTED"]
    link_args += ["--coverage"]

setup(
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
    ]
)
