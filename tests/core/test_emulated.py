"""The kernels that this CPU may lack, run all the same: compiled over intrinsics written in plain C.

``tests/emulate/<isa>/immintrin.h`` stands in for the compiler's. The kernel file takes the place of
``avx2.c`` (its entry point is renamed), so that a CPU with AVX2 lets it run, and
``tests/c/check_kernels.c`` compares it with scalar, bit for bit. What this cannot prove is the
encoding: that takes a CPU.
"""

import os
import re
import shutil
import subprocess

import pytest
from support import ROOT

from qrnn import _core

pytestmark = pytest.mark.core

COMPILER = os.environ.get("CC", "cc").split()[0]
ROUNDS = "15"
ENTRY = {
    "avx512vnni": ["-Dqrnn_use_avx512vnni=qrnn_use_avx2"],
    # Its own set lacks all but the products: those of avx2.c come first.
    "avxvnni": ["-Dqrnn_use_avxvnni=override"],
}
OVERRIDE = """
#include "kernels.h"
void real_avx2(struct qrnn_kernels *k);
void override(struct qrnn_kernels *k);
void qrnn_use_avx2(struct qrnn_kernels *k) { real_avx2(k); override(k); }
"""


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(isa, folder, kernel):
    flags = ["-std=c11", "-O1", f"-I{ROOT}/csrc/core", f"-I{ROOT}/csrc/kernels"]
    shim = [f"-I{ROOT}/tests/emulate/{isa}", *ENTRY[isa]]
    run(COMPILER, *flags, *shim, "-w", "-c", kernel, "-o", "kernel.o", cwd=folder)
    sources = [*ROOT.glob("csrc/core/*.c"), *ROOT.glob("csrc/kernels/*.c")]
    # The set that is emulated stays out of the table's reach: an empty entry point in its place.
    (folder / "empty.c").write_text(
        f'#include "kernels.h"\nvoid qrnn_use_{isa}(struct qrnn_kernels *k) {{ (void)k; }}\n'
    )
    left_out = {f"{isa}.c", "avx2.c"}
    extra = ["empty.c"]
    if isa == "avxvnni":
        (folder / "override.c").write_text(OVERRIDE)
        run(
            COMPILER,
            *flags,
            "-Dqrnn_use_avx2=real_avx2",
            "-c",
            ROOT / "csrc/kernels/avx2.c",
            "-o",
            "avx2.o",
            cwd=folder,
        )
        extra += ["override.c", "avx2.o"]
    kept = [str(s) for s in sources if s.name not in left_out]
    check = str(ROOT / "tests/c/check_kernels.c")
    run(COMPILER, *flags, check, *kept, *extra, "kernel.o", "-lm", "-lpthread", "-o", "check", cwd=folder)


def outcome(folder):
    done = subprocess.run(["./check", ROUNDS, "avx2"], cwd=folder, capture_output=True, text=True)
    passed, failed = map(int, re.search(r"(\d+) passed, (\d+) failed", done.stdout).groups())
    return passed, failed, done.stdout


needs_avx2 = pytest.mark.skipif(
    "avx2" not in _core.isas() or shutil.which(COMPILER) is None,
    reason="emulation takes the place of avx2.c: it needs a CPU with AVX2 and a C compiler",
)


@needs_avx2
@pytest.mark.parametrize("name", ENTRY)
def test_emulated_kernels_equal_scalar(name, tmp_path):
    build(name, tmp_path, ROOT / f"csrc/kernels/{name}.c")
    passed, failed, printed = outcome(tmp_path)
    assert failed == 0, printed
    assert passed > 500


@needs_avx2
def test_a_wrong_kernel_is_seen(tmp_path):
    """Weights taken for codes and codes for weights, planted in a copy of the AVX-512 kernels."""
    text = (ROOT / "csrc/kernels/avx512vnni.c").read_text()
    planted = text.replace("_mm512_dpbusd_epi32(acc, q, w)", "_mm512_dpbusd_epi32(acc, w, q)")
    assert planted != text
    (tmp_path / "planted.c").write_text(planted)
    build("avx512vnni", tmp_path, tmp_path / "planted.c")
    assert outcome(tmp_path)[1] > 0
