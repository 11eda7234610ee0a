"""One small adapter for each peer, which turns a cell's weights into the contenders of a benchmark."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Contender:
    """An implementation of one step of a cell.

    `step(x, h)` returns the new h; with `writes`, it puts it into its third argument, `out=`.
    `native` converts a float32 array for `step`; np.asarray converts the result back.
    """

    name: str
    precision: str  # of the activations: "float32", or codes of "8 bits" or "7 bits"
    step: Callable[..., Any]
    native: Callable[[np.ndarray], Any] = np.array
    writes: bool = False
    details: str = ""


def available(names):
    """Return the adapters of the installed peers among `names`, and the names that are not installed."""
    from . import numpy_cell, qrnn_cells

    adapters, missing = [], []
    for name in names:
        if name == "qrnn":
            adapters.append(qrnn_cells.contenders)
        elif name == "numpy":
            adapters.append(numpy_cell.contenders)
        elif name == "torch":
            try:
                from . import bridge_cells, torch_cells
            except ImportError:
                missing.append("torch")
            else:
                adapters += [torch_cells.contenders, bridge_cells.contenders]
        else:
            raise ValueError(f"unknown peer {name!r}; known are qrnn, numpy, torch")
    return adapters, missing
