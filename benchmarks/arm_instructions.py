"""Count the instructions in the ARM kernels' inner loops, beside those of published kernels.

    python benchmarks/arm_instructions.py [--compiler aarch64-linux-gnu-gcc]

The program compiles csrc/kernels/neon*.c as setup.py does, for 64-bit ARM, and counts the instructions in one pass of a
tile's loop over the inputs. It runs and times nothing. A multiplying instruction counts for as many products as it
makes: 8 (smull), 16 (sdot), 32 (usmmla). The exit status is 1 if a tile takes more instructions per product, relative
to the published kernel beside it, than its bound.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ("-std=c11", "-O3", "-fno-wrapv", "-Icsrc/core", "-Icsrc/kernels")
#: What the second table assumes of a core: SIMD units of 128 bits, loads per cycle, instructions per cycle.
CORES = {"2 units": (2, 2, 4), "4 units": (4, 3, 8)}
PRODUCTS = {"smull": 8, "smull2": 8, "smlal": 8, "smlal2": 8, "sdot": 16, "sudot": 16, "usmmla": 32}


class Published(NamedTuple):
    """A published inner loop: instructions of an assembly source; operations, counter and branch of a C source."""

    name: str
    instructions: int
    rows: int
    outputs: int
    inputs: int


XNN_NEON = Published("XNNPACK qs8-qc8w 2x8c8 neon-mlal (assembly)", 61, 2, 8, 16)
XNN_DOT = Published("XNNPACK qd8-f32-qc8w 4x16c4 neondot-ld128 (assembly)", 79, 4, 16, 16)
XNN_MM4 = Published("XNNPACK qd8-f32-qc8w 4x16c8 neoni8mm (C)", 54, 4, 16, 16)
XNN_MM8 = Published("XNNPACK qd8-f32-qc8w 8x8c8 neoni8mm (C)", 50, 8, 8, 16)
KAI_DOT = Published("KleidiAI qai8dxp1x4_qsi8cxp4x4 neon_dotprod (assembly)", 22, 1, 4, 32)
KAI_MM = Published("KleidiAI qai8dxp4x8_qsi8cxp4x8 16x4 neon_i8mm (assembly)", 111, 16, 4, 32)


class Tile(NamedTuple):
    """A function of a kernel file and what one pass of its loop covers; rows in two planes count twice."""

    isa: str
    function: str
    codes: str
    rows: int
    outputs: int
    beside: tuple[Published, ...] = ()
    most: float = 0.0
    inputs: int = 16
    loops: int = 1  # consecutive loops, each with its share of the outputs


TILES = (
    Tile("neon", "paired_2", "8 bit", 2, 16, (XNN_NEON,), 1.1),
    Tile("neon", "narrow_2", "7 bit", 2, 16, (XNN_NEON,), 1.1),
    Tile("neon", "alone_2", "8 bit, a weight of -128", 2, 16),
    Tile("neon", "paired_1x2", "8 bit", 1, 32),
    Tile("neon", "tile_s13_1", "13 bit", 2, 16),
    Tile("neondot", "tile_4", "8 bit", 4, 16, (XNN_DOT,), 1.1),
    Tile("neondot", "tile_6", "8 bit", 6, 16),
    Tile("neondot", "tile_1x4", "8 bit", 1, 64, (KAI_DOT,), 1.1),
    Tile("neondot", "tile_s13_2", "13 bit", 4, 16),
    Tile("neoni8mm", "tile_8", "8 bit", 8, 16, (XNN_MM8, KAI_MM), 1.35, loops=2),
    Tile("neoni8mm", "tile_4", "8 bit", 4, 16, (XNN_MM4, KAI_MM), 1.35),
    Tile("neoni8mm", "tile_1x4", "8 bit", 1, 64, (KAI_DOT,), 1.1),
    Tile("neoni8mm", "tile_s13_4", "13 bit", 8, 16, loops=2),
)


def functions(compiler, isa, folder):
    """List each function's instructions as (address, mnemonic, operands); its name lacks suffixes of compilers."""
    made = folder / f"{isa}.o"
    subprocess.run([compiler, *FLAGS, "-c", f"csrc/kernels/{isa}.c", "-o", made], cwd=ROOT, check=True)
    objdump = re.sub(r"(gcc|clang)(-\d+)?$", "objdump", compiler)
    text = subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", made], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for line in text.splitlines():
        if name := re.match(r"[0-9a-f]+ <([^.>]+).*>:", line):
            body = found.setdefault(name[1], [])
        elif instruction := re.match(r"\s+([0-9a-f]+):\s+(\S+)\s*(.*)", line):
            body.append((int(instruction[1], 16), instruction[2], instruction[3]))
    return found


def is_branch(mnemonic):
    return mnemonic == "b" or mnemonic.startswith(("b.", "cb", "tb"))


def loops(body):
    """List the instructions of each loop of one block: from the target of its backward branch to that branch."""
    at = {address: i for i, (address, _, _) in enumerate(body)}
    for end, (address, mnemonic, operands) in enumerate(body):
        target = re.search(r"([0-9a-f]+) <", operands)
        if is_branch(mnemonic) and target and int(target[1], 16) <= address and int(target[1], 16) in at:
            block = [(name, rest) for _, name, rest in body[at[int(target[1], 16)] : end + 1]]
            if not any(is_branch(name) for name, _ in block[:-1]):
                yield block


class Counts(NamedTuple):
    products: int
    instructions: int
    making: int  # instructions that multiply or add up products
    simd: int  # vector instructions other than loads and stores
    loads: int  # load instructions
    loaded: int  # registers

    def products_a_cycle(self, units, ports, width):
        return self.products / max(self.simd / units, self.loaded / ports, self.instructions / width)


def counted(tile, body):
    """Count the instructions in a tile's loops, of which each makes its share of the products."""
    share = tile.rows * tile.outputs * tile.inputs // tile.loops
    fitting = [block for block in loops(body) if sum(PRODUCTS.get(name, 0) for name, _ in block) == share]
    if len(fitting) != tile.loops:
        sys.exit(f"{tile.isa}: {tile.function} has {len(fitting)} loops of {share} products, not {tile.loops}")
    block = [instruction for one in fitting for instruction in one]
    loads = [name for name, _ in block if name.startswith("ld")]
    return Counts(
        products=share * tile.loops,
        instructions=len(block),
        making=sum(name in PRODUCTS or name == "sadalp" for name, _ in block),
        simd=sum(rest.startswith("v") and not name.startswith(("ld", "st")) for name, rest in block),
        loads=len(loads),
        loaded=sum(2 if name == "ldp" else 1 for name in loads),
    )


def print_beside(found):
    """Print the first table; return how many tiles exceed their bound of instructions."""
    print(
        "| set | codes | tile | products | instructions | making products | loads | beside | its own | ratio | asked |"
    )
    print("|---|---|---|---:|---:|---:|---:|---|---:|---:|---:|")
    missed = 0
    for tile, n in found.items():
        row = f"| {tile.isa} | {tile.codes} | {tile.rows} x {tile.outputs} "
        row += f"| {n.products} | {n.instructions} | {n.making} | {n.loads} |"
        for published in tile.beside:
            theirs = published.rows * published.outputs * published.inputs
            ratio = n.instructions / n.products / (published.instructions / theirs)
            missed += ratio > tile.most
            print(row, f"{published.name} | {published.instructions} of {theirs} | {ratio:.2f} | {tile.most} |")
        if not tile.beside:
            print(row, "| | | |")
    return missed


def print_cycles(found):
    """Print the second table: the most products per cycle that a core's units allow, ignoring latencies."""
    print("| set | codes | tile | SIMD instructions | registers loaded |", " | ".join(CORES), "|")
    print("|---|---|---|---:|---:|" + "---:|" * len(CORES))
    for tile, n in found.items():
        rates = " | ".join(f"{n.products_a_cycle(*core):.1f}" for core in CORES.values())
        print(f"| {tile.isa} | {tile.codes} | {tile.rows} x {tile.outputs} | {n.simd} | {n.loaded} | {rates} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", default="aarch64-linux-gnu-gcc")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        code = {isa: functions(arguments.compiler, isa, Path(folder)) for isa in {tile.isa for tile in TILES}}
    found = {tile: counted(tile, code[tile.isa][tile.function]) for tile in TILES}
    missed = print_beside(found)
    print()
    print_cycles(found)
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
