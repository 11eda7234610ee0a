"""``qrnn doctor``: versions, the CPU, and whether every instruction set gives the same bits here."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .. import _config, _random, nn
from .._numpy_convert import quantize_dynamic
from .._show import installed, versions
from ._results import FINE, NOT_POSSIBLE, Result, table

__all__ = ["doctor"]

#: Packages of the extras.
_PACKAGES = ("torch", "onnx", "onnxruntime", "keras", "safetensors", "click", "tqdm")


def doctor() -> Result:
    """Versions, the CPU, its instruction sets, and a check of them."""
    found = {name: str(value) for name, value in versions().items()}
    packages = {name: installed(name) for name in _PACKAGES}
    checks = _checks()
    values = {"versions": found, "executable": sys.executable, "packages": packages, "checks": checks}
    rows = [*found.items(), ("executable", sys.executable), *packages.items()]
    lines = [line.rstrip() for line in table(("what", "is"), dict(rows).items())]
    lines += [
        f"instruction set {name}: {'the same bits as scalar' if good else 'OTHER BITS'}"
        for name, good in checks.items()
    ]
    return Result(values, lines, FINE if all(checks.values()) else NOT_POSSIBLE)


def _checks() -> dict[str, bool]:
    """Whether each instruction set of this CPU gives the same bits as the scalar one."""
    x = np.random.default_rng(0).standard_normal((7, 3, 33), dtype=np.float32)
    results: dict[str, bytes] = {}
    for isa in _config.isas():
        with _random.other_generator():  # gives each the same weights
            layers: list[Any] = [nn.LSTM(33, 40, isa=isa), nn.GRU(33, 17, isa=isa)]
        layers += [quantize_dynamic(layer, engine=engine, isa=isa) for layer in layers for engine in ("qrnn", "fbgemm")]
        results[isa] = b"".join(layer(x)[0].tobytes() for layer in layers)
    return {isa: result == results["scalar"] for isa, result in results.items()}
