"""Describe the machine and the software on which a benchmark runs."""

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
TELLING = ("QRNN_ISA", "OPENBLAS_CORETYPE", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")


def use_one_thread():
    """Make libraries use one thread. Call it before NumPy is imported: they read these variables when loaded."""
    use_threads(1)


def use_threads(number):
    """Make libraries use `number` threads; see `use_one_thread`."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(number)


def cpu_name():
    """Return the CPU's name as far as the system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return _cpu_name_asked() or platform.processor() or platform.machine()


def _cpu_name_asked():
    """Ask the system's own program or registry, as /proc/cpuinfo has no name (ARM, macOS, Windows); "" if unknown."""
    if sys.platform == "win32":
        import winreg

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            return winreg.QueryValueEx(key, "ProcessorNameString")[0].strip()
    command = ["sysctl", "-n", "machdep.cpu.brand_string"] if sys.platform == "darwin" else ["lscpu"]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    if command == ["lscpu"]:
        names = [line.partition(":")[2].strip() for line in printed.splitlines() if line.startswith("Model name")]
        return ", ".join(dict.fromkeys(names))  # a machine may have cores of two kinds
    return printed


def compiler():
    """Name the compiler of the extension and its version."""
    from qrnn import _core

    return _core.COMPILER


def _blas():
    try:
        import threadpoolctl
    except ImportError:
        return "unknown (threadpoolctl is not installed)"
    pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
    return (
        "; ".join(
            f"{p['internal_api']} {p['version']} {p.get('architecture', '')}, {p['num_threads']} thread(s)"
            for p in pools
        )
        or "none found"
    )


def describe(with_torch):
    """Return the description as a dictionary of plain values."""
    import numpy

    import qrnn

    found = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "instruction sets": ", ".join(qrnn.isas()),
        "instruction set run": qrnn.RNNCell(1, 1).isa,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "qrnn": f"{qrnn.__version__}, compiled by {compiler()}",
        "numpy": numpy.__version__,
        "blas": _blas(),
        "torch": "not run",
    }
    if with_torch:
        import torch

        found["torch"] = f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
        found["torch engine"] = torch.backends.quantized.engine
    if hasattr(os, "getloadavg"):
        found["load at the start"] = round(os.getloadavg()[0], 2)
    found.update({name: os.environ[name] for name in TELLING if name in os.environ})
    return found
