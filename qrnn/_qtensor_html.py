"""A quantized matrix in HTML, as notebooks show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._html import Room, code, folded, page, quiet, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["shown"]

#: The number of ranges of codes in the table.
_BINS = 16


def shown(text: str, codes: NDArray[np.int8], scale: NDArray[np.float32]) -> str:
    """The HTML of a matrix of codes with its scales; `text` is its repr."""
    scales = scale.reshape(-1).astype(np.float64)
    said = f"{codes.size:,} codes"
    if scales.size:
        low, middle, high = np.quantile(scales, (0, 0.5, 1)).tolist()
        said += f", scale {low:.4g}" if low == high else f", scales {low:.4g} to {high:.4g}, median {middle:.4g}"
    rows: list[Any] = [("codes", "weights", "part")]
    counts = np.bincount((codes.reshape(-1).astype(np.intp) + 128) // _BINS, minlength=256 // _BINS).tolist()
    for place, count in enumerate(counts):
        first = place * _BINS - 128
        share = f"{count / codes.size:.1%}" if codes.size else ""
        rows.append((f"{first} to {first + _BINS - 1}", f"{count:,}", share))
    inner = table(rows, "how many weights have which codes", Room())
    return page([folded(f"{code(text)} {quiet(said)}", inner)])
