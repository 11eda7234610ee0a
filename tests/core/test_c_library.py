"""The core as a C library: what ``make lib`` makes, from one amalgamated file, and the programs that use it."""

import ctypes
import os
import re
import shutil

import numpy as np
import pytest
from support import ROOT
from support.c_library import COMPILER, make, needs_compiler, run

import qrnn
from qrnn import _quantize
from qrnn._spec import ENGINES

pytestmark = [pytest.mark.core, needs_compiler]
QUANTIZED = [name for name, engine in ENGINES.items() if engine.quantized]


@pytest.fixture
def library(c_library):
    return c_library


def compiled(folder, source, *flags, compiler=COMPILER):
    program = folder / source.stem
    run(compiler, f"-I{folder}", f"-I{ROOT}/tests/c", source, *flags, "-lm", "-lpthread", "-o", program)
    return program


def test_the_library_computes_what_the_extension_does(library):
    """All kinds, engines and instruction sets, by digest."""
    check, flags = ROOT / "tests/c/check_kernels.c", ("-std=c11", "-O1")
    sources = [*ROOT.glob("csrc/core/*.c"), *ROOT.glob("csrc/kernels/*.c")]
    apart = library / "apart"
    run(
        COMPILER,
        *flags,
        "-w",
        f"-I{ROOT}/csrc/core",
        f"-I{ROOT}/csrc/kernels",
        check,
        *sources,
        *("-lm", "-lpthread"),
        "-o",
        apart,
    )
    digest = re.compile(r"^digest: [0-9a-f]{16}$", re.MULTILINE)
    vendored = compiled(library, check, *flags, library / "libqrnn.a")
    (want,), (got,) = digest.findall(run(apart, 5)), digest.findall(run(vendored, 5))
    assert got == want


@pytest.mark.skipif(shutil.which("clang") is None, reason="NO clang HERE: it did not compile the amalgamation")
def test_clang_compiles_the_amalgamation(library, tmp_path):
    run(
        "clang",
        "-std=c11",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Wno-unused-function",
        "-Werror",
        "-c",
        library / "qrnn.c",
        "-o",
        tmp_path / "qrnn.o",
    )


def test_it_exports_what_the_header_declares(library):
    header = re.sub(r"/\*.*?\*/", "", (library / "qrnn.h").read_text(), flags=re.DOTALL)
    declared = set(re.findall(r"\b(qrnn_\w+)\([^;{]*\);", header))
    printed = run("nm", "--dynamic", "--defined-only", library / "libqrnn.so")
    exported = {line.split()[2].split("@")[0] for line in printed.splitlines() if line.split()[1] == "T"}
    assert exported == declared and len(exported) > 40


@pytest.mark.parametrize("standard", ["c99", "c11", "c++17"])
def test_the_example_has_pythons_bits(library, standard, tmp_path):
    """examples/c/stream.c, linked with what was installed; its weights and its signal made anew with NumPy."""
    source, flags = (
        ROOT / "examples/c/stream.c",
        [f"-std={standard}", "-pedantic-errors", "-Wall", "-Wextra", "-Werror"],
    )
    compiler = COMPILER if standard != "c++17" else shutil.which("c++")
    if compiler is None:
        pytest.skip("NO C++ COMPILER: the example was compiled as C only")
    usr, language = library / "usr", ["-x", "c++"] if standard == "c++17" else []
    program = tmp_path / "stream"
    run(
        compiler,
        *flags,
        f"-I{usr}/include",
        *language,
        source,
        "-x",
        "none",
        f"-L{usr}/lib",
        f"-Wl,-rpath,{usr}/lib",
        "-lqrnn",
        "-o",
        program,
    )
    printed = np.array(run(program).split(), np.float32)

    state = 1

    def values(count, factor=1):
        nonlocal state
        found = np.empty(count, np.float32)
        for i in range(count):
            state = (state * 1664525 + 1013904223) % 2**32
            found[i] = np.float32(state >> 8) / np.float32(8388608) - np.float32(1)
        return np.float32(factor) * found

    cell = qrnn.nn.LSTMCell(8, 16)
    for part, columns in (("ih", 8), ("hh", 16)):
        weight, bias = values(64 * columns, 0.3), values(64, 0.1)
        cell.load_state_dict({f"weight_{part}": weight.reshape(64, columns), f"bias_{part}": bias}, strict=False)
    quantized = qrnn.LSTMCell.from_float(cell)
    h = c = np.zeros((1, 16), np.float32)
    for _ in range(100):
        h, c = quantized(values(8)[None], (h, c))
    np.testing.assert_array_equal(printed, h[0])


def quantize_in_c(library, engine, weight):
    lib = ctypes.CDLL(str(library / "libqrnn.so"))
    rows, columns = weight.shape
    codes, scale = np.full((rows, columns), 99, np.int8), np.full(max(rows, 1), np.nan, np.float32)
    n = ctypes.c_size_t()
    status = lib.qrnn_quantize_weights(
        *(engine.encode(), ctypes.c_size_t(rows), ctypes.c_size_t(columns)),
        *(array.ctypes.data_as(ctypes.c_void_p) for array in (weight, codes, scale)),
        ctypes.byref(n),
    )
    return status, codes, scale[: n.value]


@pytest.mark.parametrize("engine", QUANTIZED)
def test_weights_are_quantized_as_in_python(library, engine):
    rng = np.random.default_rng(5)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((1, 1), (7, 33), (64, 20), (0, 4), (3, 0))]
    weights += [w * np.float32(10) ** rng.integers(-44, 38, (len(w), 1)) for w in weights[:3]]
    weights += [np.zeros((4, 5), np.float32), np.float32([[1e-45, -1e-45], [1e-38, 2e-38], [3e38, -3e38], [0.5, 1.5]])]
    for weight in weights:
        weight = np.ascontiguousarray(weight, np.float32)
        status, codes, scale = quantize_in_c(library, engine, weight)
        want_codes, want_scale = _quantize.quantize_weight(weight, "weight", engine)
        assert status == 0
        np.testing.assert_array_equal(codes, want_codes)
        np.testing.assert_array_equal(scale, want_scale.reshape(-1) if want_scale.size else scale)


@pytest.mark.parametrize(
    ("engine", "value", "text"),
    [
        ("qrnn", np.nan, "not finite"),
        ("qrnn", np.inf, "not finite"),
        ("float32", 1, "no such engine"),
        ("none", 1, "no such engine"),
    ],
)
def test_weights_that_cannot_be_quantized(library, engine, value, text):
    lib = ctypes.CDLL(str(library / "libqrnn.so"))
    lib.qrnn_status_text.restype = ctypes.c_char_p
    status, codes, _ = quantize_in_c(library, engine, np.float32([[1, 2], [value, 4]]))
    assert text in lib.qrnn_status_text(status).decode() and np.all(codes == 99)


def test_a_build_without_threads(tmp_path):
    make(tmp_path, "THREADS=no")
    assert "pthread" not in run("nm", "--dynamic", "--undefined-only", tmp_path / "libqrnn.so")
    program = compiled(tmp_path, ROOT / "tests/c/contract.c", "-w", ROOT / "tests/c/cases.c", tmp_path / "libqrnn.a")
    assert re.search(r"^\d{3,} passed, 0 failed$", run(program), re.MULTILINE)


def test_a_step_is_quiet(library):
    """tests/c/quiet.c: no allocation, no lock, no system call."""
    quiet = compiled(
        library, ROOT / "tests/c/quiet.c", "-D_GNU_SOURCE", "-w", ROOT / "tests/c/cases.c", library / "libqrnn.a"
    )
    assert re.search(r"^\d{3,} passed, 0 failed$", run(quiet), re.MULTILINE)


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="NO pkg-config HERE: qrnn.pc was not read")
def test_pkg_config(library, tmp_path):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(library / "usr/lib/pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "qrnn", env=environment).split()
    assert run("pkg-config", "--modversion", "qrnn", env=environment).strip() == qrnn.__version__
    program = tmp_path / "stream"
    run(COMPILER, ROOT / "examples/c/stream.c", *flags, f"-Wl,-rpath,{library}/usr/lib", "-o", program)
    assert len(run(program).split()) == 16


@pytest.mark.skipif(shutil.which("cmake") is None, reason="NO cmake HERE: qrnn-config.cmake was not read")
@pytest.mark.parametrize("target", ["qrnn::qrnn", "qrnn::static"])
def test_cmake(library, target, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(stream C)\nfind_package(qrnn CONFIG REQUIRED)\n"
        f"add_executable(stream {ROOT}/examples/c/stream.c)\ntarget_link_libraries(stream {target})\n"
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path / "out", f"-DCMAKE_PREFIX_PATH={library}/usr")
    run("cmake", "--build", tmp_path / "out")
    assert len(run(tmp_path / "out/stream").split()) == 16
