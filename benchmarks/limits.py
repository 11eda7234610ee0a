"""Measure the machine's limits: bare loops of loads, int8 products and float products, and an empty Python call.

limits.c and floor.c are compiled at run time by `cc`. Without a compiler no limit is measured, and the
tables say so.
"""

import ctypes
import importlib.util
import os
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
# instruction set of qrnn -> suffixes of the C functions that load, multiply int8 and multiply floats
LOOPS = {
    "scalar": ("scalar", "scalar", "scalar"),
    "avx2": ("avx2", "avx2", "avx2"),
    "avxvnni": ("avx2", "avxvnni", "avx2"),
    "avx512vnni": ("avx512vnni", "avx512vnni", "avx512vnni"),
    "amx": ("avx512vnni", "amx", "avx512vnni"),
}


def compiled(source, *options):
    """Compile a C file of this folder into a shared library; return its path."""
    compiler = os.environ.get("CC", "cc").split()
    target = Path(tempfile.mkdtemp(prefix="qrnn-limits-")) / f"{Path(source).stem}.so"
    subprocess.run(
        [*compiler, "-O2", "-shared", "-fPIC", *options, str(HERE / source), "-o", str(target)],
        check=True,
        capture_output=True,
        text=True,
    )
    return target


def empty_calls():
    """Return two functions of (x, h) that only check both and return a new array, or a pair of arrays."""
    target = compiled("floor.c", f"-I{sysconfig.get_path('include')}", f"-I{np.get_include()}")
    spec = importlib.util.spec_from_file_location("floor_of_a_call", target)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.one, module.two


def cache_sizes():
    """Return [(name, bytes)] of the first core's data caches, smallest first."""
    found = []
    for entry in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        text = {name: (entry / name).read_text().strip() for name in ("level", "type", "size")}
        if text["type"] != "Instruction":
            unit = {"K": 1 << 10, "M": 1 << 20}.get(text["size"][-1], 1)
            found.append((f"L{text['level']}", int(text["size"].rstrip("KM")) * unit))
    return sorted(found, key=lambda entry: entry[1])


def level_of(size, caches):
    """Name the smallest cache that holds `size` bytes, or "memory"."""
    return next((name for name, held in caches if size <= held), "memory")


class Limits:
    """The loops for one instruction set; methods that measure return nanoseconds."""

    READS = ("read", "ahead")  # ways of reading: plainly, and with prefetch; which is faster depends on the cache

    def __init__(self, isa, largest):
        self.isa, self.caches = isa, cache_sizes()
        library = ctypes.CDLL(str(compiled("limits.c")))
        load, dots, fmas = LOOPS[isa]
        self._read = {name: getattr(library, f"{name}_{load}") for name in self.READS}
        for function in self._read.values():
            function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t), None
        self._products = {}
        for name, function in (
            ("int8", getattr(library, f"dots_{dots}")),
            ("float32", getattr(library, f"fmas_{fmas}")),
        ):
            function.argtypes, function.restype = (ctypes.c_size_t,), ctypes.c_size_t
            self._products[name] = function
        self.block = {name: function(1) for name, function in self._products.items()}
        self._buffer = np.ones(largest + 4096 + 64, np.uint8)
        self._start = self._buffer.ctypes.data + -self._buffer.ctypes.data % 64
        self.empty_one, self.empty_two = empty_calls()

    def read(self, way, size, times):
        """Return the nanoseconds for reading `size` bytes `times` times in one of the ways READS."""
        function, size = self._read[way], max(64, size // 64 * 64)
        start = time.perf_counter_ns()
        function(self._start, size, times)
        return time.perf_counter_ns() - start

    def multiply(self, kind, blocks):
        """Return the nanoseconds for `blocks` blocks of products; each block has `self.block[kind]` products."""
        start = time.perf_counter_ns()
        self._products[kind](blocks)
        return time.perf_counter_ns() - start

    def table(self):
        """Return the rates that the bare loops reach, for the notes on the machine."""
        sizes = [kib << 10 for kib in (16, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)]
        largest = self._buffer.size - 4160
        reads = {}
        for size in sizes:
            if size <= largest:
                times = max(1, (1 << 22) // size)
                self.read("read", size, times)
                fastest = min(self.read(way, size, times) for way in self.READS for _ in range(7))
                reads[f"{size >> 10} KiB"] = round(size * times / fastest, 1)
        found = {"isa": self.isa, "caches": dict(self.caches), "read GB/s": reads}
        for kind, products in self.block.items():
            fastest = min(self.multiply(kind, 4000) for _ in range(20))
            found[f"{kind} Gmac/s"] = round(4000 * products / fastest, 1)
        return found
