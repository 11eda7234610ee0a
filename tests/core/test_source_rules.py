"""Rules of the code base, as tests: layers, instruction sets, exported symbols, sizes of functions and files.

They read the sources of the repository, compile them with the machine's C compiler and look at the
extension that this run imports.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

CSRC = ROOT / "csrc"
CORE, KERNELS, BINDING = CSRC / "core", CSRC / "kernels", CSRC / "python"
SOURCES = sorted(CSRC.rglob("*.[ch]"))
COMPUTING = sorted([*CORE.glob("*.c"), *KERNELS.glob("*.c")])
COMPILER = os.environ.get("CC", "cc").split()[0]

needs_compiler = pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason=f"NO C COMPILER ({COMPILER}): rules that compile were not checked"
)
needs_binutils = pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("objdump") and shutil.which("nm")),
    reason="NO objdump AND nm: the machine code was not checked",
)


def names(paths):
    return [str(p.relative_to(CSRC)) for p in paths]


def run(*command, **kwargs):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **kwargs)


def compile_c(path, *flags, compiler=COMPILER, out=os.devnull):
    done = run(compiler, f"-I{CORE}", f"-I{KERNELS}", *flags, "-c", str(path), "-o", str(out))
    assert done.returncode == 0, done.stderr
    return done.stderr


def without_comments(text):
    """C text whose comments and literals are blanked out; lines stay where they are."""

    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())

    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.DOTALL)


def includes(path):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def test_there_are_sources():
    assert len(COMPUTING) >= 6 and (CORE / "qrnn.h").exists() and len(list(BINDING.glob("*.c"))) >= 1


# ---------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------
def test_python_only_in_the_binding():
    for path in SOURCES:
        if path.parent != BINDING:
            used = [h for h in includes(path) if "Python.h" in h or h.startswith("numpy/")]
            assert not used, f"{path} includes {used}"
            words = re.findall(r"\bPy[A-Z_]\w+|\bNPY_\w+", without_comments(path.read_text()))
            assert not words, f"{path} uses {words}"


def test_intrinsics_only_in_kernels():
    for path in SOURCES:
        if path.parent != KERNELS:
            used = [h for h in includes(path) if re.search(r"intrin|arm_neon|wasm_simd128|cpuid", h)]
            assert not used, f"{path} includes {used}"
            words = re.findall(r"\b_mm\w*_\w+|\b__m(?:64|128|256|512)\w*|\bv\w+q_[usf]\d+|\bwasm_\w+", path.read_text())
            assert not words, f"{path} uses {words}"


def test_arrows_point_one_way():
    """python -> core -> kernels: kernels know qrnn.h (sizes and names) of the core, and nobody the binding."""
    own = {directory: {p.name for p in directory.glob("*.h")} for directory in (CORE, KERNELS, BINDING)}
    for path in SOURCES:
        for header in includes(path):
            if path.parent == KERNELS:
                assert header not in own[CORE] - {"qrnn.h"} and header not in own[BINDING], f"{path}: {header}"
            elif path.parent == CORE:
                assert header not in own[BINDING], f"{path}: {header}"
                assert header not in own[KERNELS] - {"kernels.h", "target.h"}, f"{path}: {header}"
            elif path.parent == BINDING:
                assert header not in own[KERNELS] | (own[CORE] - {"qrnn.h"}), f"{path}: {header}"


def test_the_core_is_quiet():
    """It reads no environment, prints nothing, never exits."""
    forbidden = "getenv|secure_getenv|printf|fprintf|puts|putchar|fputs|perror|abort|exit|_exit|signal|assert"
    for path in SOURCES:
        if path.parent in (CORE, KERNELS):
            used = re.findall(rf"\b({forbidden})\s*\(", without_comments(path.read_text()))
            assert not used, f"{path} calls {used}"


def test_every_instruction_set_has_its_file():
    rows = re.findall(r"^QRNN_ISA\((\w+)\s*,", (KERNELS / "isa.def").read_text(), re.MULTILINE)
    assert rows[0] == "scalar" and len(rows) == len(set(rows))
    for row in rows:
        assert re.search(rf"\bqrnn_use_{row}\s*\(", (KERNELS / f"{row}.c").read_text()), row
    kernels = {p.stem for p in KERNELS.glob("*.c") if "qrnn_use_" in p.read_text()}
    assert kernels - {"isa"} == set(rows)
    from qrnn import _core

    assert list(_core.known_isas()) == rows, "the extension was built from other sources"


# ---------------------------------------------------------------------------------------------------
# Text
# ---------------------------------------------------------------------------------------------------
def test_short_files():
    long = {str(p): n for p in SOURCES if (n := len(p.read_text().splitlines())) >= 500}
    assert not long


def functions(text):
    """(name, first line, lines) of each function: an outermost block behind a closing parenthesis."""
    text = without_comments(text)
    text = re.sub(
        r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.MULTILINE
    )
    text = re.sub(r'extern\s+"?\s*"?\s*\{', " ", text)
    depth, start, found = 0, None, []
    for at, char in enumerate(text):
        if char == "{":
            if depth == 0:
                head = text[:at].rsplit("}", 1)[-1].rsplit(";", 1)[-1]
                name = re.search(r"(\w+)\s*\([^{]*\)\s*$", head, re.DOTALL)
                first = text[: at - len(head)].count("\n") + head[: len(head) - len(head.lstrip())].count("\n")
                start = (name.group(1), first + 1) if name and "=" not in head else None
            depth += 1
        elif char == "}":
            depth = max(depth - 1, 0)
            if depth == 0 and start:
                found.append((*start, text[:at].count("\n") + 2 - start[1]))
                start = None
    return found


def test_the_function_counter_counts():
    """The rule below is worth something: it sees a long function in front of and behind other things."""
    body = "\n".join(f"    a += {n};" for n in range(70))
    text = "#define M(x) { \\\n  x }\nstruct s {\n int a;\n};\n"
    text += f"static int f(int a)\n{{\n{body}\n    return a;\n}}\nint b;\n"
    text += 'static const int t[] = {1, 2};\nint g(void) { return "}"[0]; }\n'
    assert functions(text) == [("f", 6, 74), ("g", 82, 1)]


def test_short_functions():
    found = [(p, f) for p in SOURCES for f in functions(p.read_text())]
    assert len(found) > 60, "functions were not found"
    long = [f"{p.relative_to(ROOT)}:{line}: {name} has {n} lines" for p, (name, line, n) in found if n >= 60]
    assert not long, "\n".join(long)


# ---------------------------------------------------------------------------------------------------
# Compiling
# ---------------------------------------------------------------------------------------------------
@pytest.mark.core
@needs_compiler
@pytest.mark.parametrize("path", COMPUTING, ids=names(COMPUTING))
def test_no_warnings(path):
    """At -Wall -Wextra -Wpedantic -Wconversion, as C11, with every compiler that is here."""
    found = [shutil.which(name) for name in (COMPILER, "gcc", "clang")]
    for compiler in {os.path.realpath(path): path for path in found if path}.values():
        flags = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion")
        assert compile_c(path, *flags, compiler=compiler) == ""


@needs_compiler
def test_public_header_compiles_alone(tmp_path):
    """qrnn.h: C99 and C++, without any other include before it, and twice."""
    for suffix, standard in (("c", "c99"), ("c", "c11"), ("cpp", "c++11"), ("cpp", "c++17")):
        program = tmp_path / f"alone.{suffix}"
        program.write_text(
            '#include "qrnn.h"\n#include "qrnn.h"\n'
            "int use(void);\nint use(void) { return qrnn_isa_supported(0) + QRNN_MAX_DEPTH; }\n"
        )
        compiler = COMPILER if suffix == "c" else shutil.which("c++") or shutil.which("g++")
        if compiler is None:
            pytest.skip("NO C++ COMPILER: qrnn.h was compiled as C only")
        flags = (f"-std={standard}", "-Wall", "-Wextra", "-pedantic-errors", "-Werror", "-fsyntax-only")
        done = run(compiler, f"-I{CORE}", *flags, str(program))
        assert done.returncode == 0, done.stderr


def test_public_version():
    """qrnn.h has the version, as text and in parts; the package's is that."""
    from qrnn import __version__

    macros = dict(re.findall(r"^#define QRNN_VERSION(\w*) (\S+)$", (CORE / "qrnn.h").read_text(), re.MULTILINE))
    assert macros.pop("") == f'"{__version__}"'
    assert [macros[part] for part in ("_MAJOR", "_MINOR", "_PATCH")] == __version__.split("."), macros


@needs_compiler
def test_public_names():
    """qrnn.h declares functions qrnn_noun_verb, types qrnn_*, constants QRNN_*; nothing else."""
    text = re.sub(r"\{[^}]*\}", "{}", without_comments((CORE / "qrnn.h").read_text()))  # no members
    declared = re.findall(r"\b(\w+)\s*\([^;{]*\)\s*;", text)
    assert len(declared) > 20 and all(name.startswith("qrnn_") for name in declared), declared
    macros = re.findall(r"#\s*define\s+(\w+)", text)
    assert all(name.startswith("QRNN_") for name in macros)


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Every file of core/ and kernels/, compiled for the baseline CPU as setup.py does."""
    directory = tmp_path_factory.mktemp("objects")
    made = {}
    for path in COMPUTING:
        made[path] = directory / f"{path.parent.name}_{path.stem}.o"
        compile_c(path, "-std=c11", "-O3", "-fPIC", "-fvisibility=hidden", out=made[path])
    return made


def instructions(path):
    """Mnemonics of an object file, prefixes such as lock and notrack taken off."""
    text = run("objdump", "-d", "--no-show-raw-insn", "-M", "att", str(path)).stdout
    found = re.findall(r"^\s+[0-9a-f]+:\s+(?:(?:lock|rep\w*|notrack|bnd|data16|cs)\s+)*([a-z]\w*)", text, re.MULTILINE)
    assert found or not text.count(">:\n")
    return set(found)


def is_vex(mnemonic):
    """VEX and EVEX mnemonics begin with v or k; those of BMI are listed. verr and the like are old."""
    bmi = {
        "andn",
        "bextr",
        "blsi",
        "blsmsk",
        "blsr",
        "bzhi",
        "mulx",
        "pdep",
        "pext",
        "rorx",
        "sarx",
        "shlx",
        "shrx",
    }
    base = mnemonic.rstrip("lq")
    return (
        (mnemonic.startswith("v") and mnemonic not in ("verr", "verw", "vmcall", "vmmcall"))
        or base in bmi
        or (re.fullmatch(r"k(mov|and|or|xor|not|add|shift|test|unpck)\w*", mnemonic) is not None)
    )


needs_x86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="NOT AN x86 CPU: no VEX code to look for")


@pytest.mark.core
@needs_compiler
@needs_binutils
@needs_x86
def test_no_avx_in_baseline_objects(objects):
    """Nothing but the kernel files of an instruction set holds its instructions."""
    rows = re.findall(r"^QRNN_ISA\((\w+),\s*(\w.*)\)", (KERNELS / "isa.def").read_text(), re.MULTILINE)
    special = {KERNELS / f"{name}.c" for name, needs in rows if "AVX" in needs}
    assert special
    for path, made in objects.items():
        vex = sorted(m for m in instructions(made) if is_vex(m))
        if path in special:
            assert vex, f"{path.name} holds no AVX code: this test sees nothing"
        else:
            assert not vex, f"{path.name}: {vex}"


@pytest.mark.core
@needs_compiler
@pytest.mark.parametrize("name", ["contract", "mistakes", "fma", pytest.param("cpus", marks=needs_x86)])
def test_contracts_that_python_cannot_break(name, objects, tmp_path):
    """tests/c/contract.c, mistakes.c, fma.c, cpus.c."""
    program, sources = tmp_path / name, [ROOT / f"tests/c/{part}.c" for part in (name, "cases")]
    flags = ("-std=c11", "-D_GNU_SOURCE", "-O1", f"-I{CORE}", f"-I{KERNELS}")
    built = run(COMPILER, *flags, *map(str, [*sources, *objects.values()]), "-lm", "-lpthread", "-o", str(program))
    assert built.returncode == 0, built.stderr
    done = run(str(program))
    assert re.search(r"^\d{3,} passed, 0 failed$", done.stdout, re.MULTILINE), done.stdout + done.stderr


@pytest.mark.core
@needs_compiler
@needs_binutils
def test_objects_export_only_the_projects_names(objects):
    """Names that other files see begin with qrnn_; a kernel file exports one, which fills the table, and
    what another set leaves to it."""
    left = {"avx512vnni": ["qrnn_s13s8_avx512vnni", "qrnn_u8s8_avx512vnni"]}
    isas = re.findall(r"^QRNN_ISA\((\w+)", (KERNELS / "isa.def").read_text(), re.MULTILINE)
    for path, made in objects.items():
        symbols = [s.split()[-1] for s in run("nm", "--defined-only", "--extern-only", str(made)).stdout.splitlines()]
        assert all(s.startswith("qrnn_") for s in symbols), f"{path.name}: {symbols}"
        if path.parent == KERNELS and path.stem in isas:
            assert sorted(symbols) == [*left.get(path.stem, []), f"qrnn_use_{path.stem}"]


@pytest.mark.core
@needs_compiler
@needs_binutils
def test_no_mutable_globals_in_kernels_and_cells(objects):
    """What is computed depends on the module alone: no writable data but what the list names."""
    allowed = {
        "system_posix.c": {"key"},  # registers the function at a thread's end, once
        "isa.c": {"known"},  # what CPUID said: the same whoever asks
    }
    for path, made in objects.items():
        table = run("objdump", "-t", str(made)).stdout
        found = {
            line.split()[-1].split(".")[0]
            for line in table.splitlines()
            if re.search(r"\s(\.data|\.bss|\*COM\*)(\.\w+)?\s", line)
            and not re.search(r"\.data\.rel\.ro", line)
            and not line.split()[-1].startswith(".")
        }
        assert found <= allowed.get(path.name, set()), f"{path.name}: {found}"


# ---------------------------------------------------------------------------------------------------
# The built extension
# ---------------------------------------------------------------------------------------------------
def extension():
    from qrnn import _core

    return Path(_core.__file__)


@needs_binutils
def test_exported_symbols_of_the_extension():
    """One symbol: what Python loads."""
    lines = run("nm", "-D", "--defined-only", str(extension())).stdout.splitlines()
    symbols = {line.split()[-1] for line in lines} - {"_init", "_fini", "_edata", "_end", "__bss_start"}
    assert symbols == {"PyInit__core"}


@needs_binutils
def test_the_extension_needs_only_the_c_library():
    """No BLAS, no OpenMP, no C++ runtime."""
    needed = re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", str(extension())).stdout)
    assert needed and all(re.match(r"(lib(c|m|pthread|gcc_s|python3)\b|ld-linux|libc\.musl)", n) for n in needed), (
        needed
    )
