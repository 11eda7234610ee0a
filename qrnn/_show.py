"""show_versions: the versions that a bug report should contain."""

from __future__ import annotations

from typing import Any

from . import _config, _core
from ._version import __version__

__all__ = ["installed", "show_versions", "versions"]


def _cpu() -> str:
    """The CPU's name, as far as the system tells it."""
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def installed(name: str) -> str:
    """The version of an installed distribution. Does not import it."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def versions() -> dict[str, Any]:
    """What `show_versions` prints, by name."""
    import platform

    import numpy

    isas = ", ".join(_core.isas())
    chosen = _config.isa_of_environment
    return {
        "qrnn": __version__,
        "numpy": numpy.__version__,
        "torch": installed("torch"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "isas": isas if chosen is None else f"{isas} (QRNN_ISA={chosen})",
        "engine": _config.resolve_engine(),
        "threads": _core.get_num_threads(),
    }


def show_versions() -> None:
    """Print the versions, the CPU and its instruction sets, the current engine and the number of threads.

    Examples
    --------
    >>> import qrnn
    >>> qrnn.show_versions()  # doctest: +ELLIPSIS
    qrnn      ...
    numpy     ...
    torch     ...
    python    ...
    platform  ...
    cpu       ...
    isas      scalar...
    engine    qrnn
    threads   1
    """
    for name, value in versions().items():
        print(f"{name:<10}{value}")
