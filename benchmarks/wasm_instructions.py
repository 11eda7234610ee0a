"""Count the SIMD instructions in the inner loops for WebAssembly, beside those of published kernels.

    python benchmarks/wasm_instructions.py [--compiler clang] [--objdump llvm-objdump]

The program compiles csrc/kernels/wasm.c with simd128 and counts the SIMD instructions, loads included, in one pass of a
tile's loop. It ignores other instructions (locals, counters), which each browser compiles in its own way. It runs and
times nothing. The exit status is 1 if a tile takes more than MOST times the instructions per product of the published
kernel beside it.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from arm_instructions import ROOT, Published

MOST = 1.1
FLAGS = ("--target=wasm32-wasi", "-std=c11", "-O2", "-msimd128", "-Icsrc/core", "-Icsrc/kernels")
DOT = "i32x4.dot_i16x8_s"  # 8 products
SIMD = re.compile(r"(?:v128|[if]\d+x\d+)\.")

XNN_1 = Published("XNNPACK qd8-f32-qc8w 1x4c8 wasmsimd dot16x2 (C)", 13, 1, 4, 8)
XNN_2 = Published("XNNPACK qd8-f32-qc8w 2x4c8 wasmsimd dot16x2 (C)", 22, 2, 4, 8)


class Tile(NamedTuple):
    """A function of wasm.c, and what one pass of each of its loops covers."""

    function: str
    rows: int
    outputs: int
    inputs: int
    beside: Published


TILES = (Tile("tile_1", 1, 16, 8, XNN_1), Tile("tile_2", 2, 8, 8, XNN_2))


def functions(compiler, objdump, folder):
    """Return the instructions of each function, by name."""
    made = folder / "wasm.o"
    subprocess.run([compiler, *FLAGS, "-c", "csrc/kernels/wasm.c", "-o", made], cwd=ROOT, check=True)
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", made], capture_output=True, text=True, check=True)
    found = {}
    for line in text.stdout.splitlines():
        if name := re.match(r"[0-9a-f]+ <(.+)>:", line):
            body = found.setdefault(name[1], [])
        elif instruction := re.match(r"\s+[0-9a-f]+:\s+(\S+)", line):
            body.append(instruction[1])
    return found


def loops(body):
    """Return the instructions of each innermost loop."""
    open_blocks = []  # for each open block its start and, for a loop, whether it holds another loop
    for i, name in enumerate(body):
        if name in ("block", "loop", "if", "try"):
            for block in open_blocks:
                block[2] |= name == "loop"
            open_blocks.append([name, i, False])
        elif name.startswith("end") and open_blocks:
            kind, begin, nested = open_blocks.pop()
            if kind == "loop" and not nested:
                yield body[begin:i]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", default="clang")
    parser.add_argument("--objdump", default="llvm-objdump")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        code = functions(arguments.compiler, arguments.objdump, Path(folder))
    missed = 0
    print("| tile | products | SIMD instructions | making products | beside | its own | ratio | asked |")
    print("|---|---:|---:|---:|---|---:|---:|---:|")
    for tile in TILES:
        products = tile.rows * tile.outputs * tile.inputs
        fitting = [loop for loop in loops(code[tile.function]) if 8 * loop.count(DOT) == products]
        if not fitting:
            sys.exit(f"{tile.function} has no loop of {products} products")
        count = max(sum(bool(SIMD.match(name)) for name in loop) for loop in fitting)
        published, theirs = tile.beside, tile.beside.rows * tile.beside.outputs * tile.beside.inputs
        ratio = count / products / (published.instructions / theirs)
        missed += ratio > MOST
        row = f"| {tile.rows} x {tile.outputs} | {products} | {count} | {products // 8 * 2}"
        print(f"{row} | {published.name} | {published.instructions} of {theirs} | {ratio:.2f} | {MOST} |")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
