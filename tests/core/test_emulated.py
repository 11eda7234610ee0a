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
    # These sets lack all but the products: those of avx2.c come first.
    "avxvnni": ["-Dqrnn_use_avxvnni=override"],
    "amx": ["-Dqrnn_use_amx=override", "-DQRNN_SMALL_LIMITS"],
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


FLAGS = ["-std=c11", "-O1", f"-I{ROOT}/csrc/core", f"-I{ROOT}/csrc/kernels"]


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """A folder of the core's objects and of the program's, with avx2.c once more under another name."""
    folder = tmp_path_factory.mktemp("objects")
    sources = [*ROOT.glob("csrc/core/*.c"), *ROOT.glob("csrc/kernels/*.c"), ROOT / "tests/c/check_kernels.c"]
    run(COMPILER, *FLAGS, "-c", *sources, cwd=folder)
    (folder / "override.c").write_text(OVERRIDE)
    run(COMPILER, *FLAGS, "-c", "override.c", cwd=folder)
    avx2 = ROOT / "csrc/kernels/avx2.c"
    run(COMPILER, *FLAGS, "-Dqrnn_use_avx2=real_avx2", "-c", avx2, "-o", "real_avx2.o", cwd=folder)
    return folder


def build(isa, folder, kernel, objects):
    run(
        COMPILER,
        *FLAGS,
        f"-I{ROOT}/tests/emulate/{isa}",
        *ENTRY[isa],
        "-w",
        "-c",
        kernel,
        "-o",
        "kernel.o",
        cwd=folder,
    )
    # The set that is emulated stays out of the table's reach: an empty entry point in its place.
    (folder / "empty.c").write_text(
        f'#include "kernels.h"\nvoid qrnn_use_{isa}(struct qrnn_kernels *k) {{ (void)k; }}\n'
    )
    left_out = {f"{isa}.o", "avx2.o"} | ({"override.o", "real_avx2.o"} if isa == "avx512vnni" else set())
    kept = [o for o in objects.glob("*.o") if o.name not in left_out]
    run(COMPILER, *FLAGS, "empty.c", "kernel.o", *kept, "-lm", "-lpthread", "-o", "check", cwd=folder)


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
def test_emulated_kernels_equal_scalar(name, tmp_path, objects):
    build(name, tmp_path, ROOT / f"csrc/kernels/{name}.c", objects)
    passed, failed, printed = outcome(tmp_path)
    assert failed == 0, printed
    assert passed > 500


WRONG = [
    ("avx512vnni", "_mm512_srli_epi32(code, QRNN_PLANE_BITS)", "_mm512_srli_epi32(code, QRNN_PLANE_BITS + 1)"),
    # The rows that a tile computes once more are added once more.
    ("amx", "sums + j * TILE_SUMS + known * LANES", "sums + j * TILE_SUMS"),
    ("amx", "_tile_dpbusd(SUMS_1, LAST_CODES, LAST_WEIGHTS)", "_tile_dpbusd(SUMS_1, CODES_1, WEIGHTS)"),
]


@needs_avx2
@pytest.mark.parametrize(("name", "right", "wrong"), WRONG)
def test_a_wrong_kernel_is_seen(name, right, wrong, tmp_path, objects):
    """Planted in a copy of the kernels."""
    text = (ROOT / f"csrc/kernels/{name}.c").read_text()
    planted = text.replace(right, wrong)
    assert planted != text
    (tmp_path / "planted.c").write_text(planted)
    build(name, tmp_path, tmp_path / "planted.c", objects)
    assert outcome(tmp_path)[1] > 0
