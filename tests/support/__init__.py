"""What several test files share. pytest rewrites the assertions here as it does those of tests."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite(*(f"support.{path.stem}" for path in Path(__file__).parent.glob("[a-z]*.py")))

from support.bits import assert_same_bits, assert_same_results, bits, hexes, leaves, same_bits, step_ulps, ulps
from support.float_settings import float_environment
from support.inputs import SHAPES, SIZES, random_lengths, random_rows, ties
from support.modules import (
    as_hx,
    as_tuple,
    note,
    pack,
    pack_float,
    pack_linear,
    pack_unit,
    pack_units,
    random_bias,
    random_cell,
    random_state,
    random_unit,
    random_units,
    random_weight,
)
from support.processes import ROOT, environment, run_python
from support.summary import exercised, report, tables
from support.torch_there import HAVE_TORCH, needs_torch

__all__ = [
    "HAVE_TORCH",
    "ROOT",
    "SHAPES",
    "SIZES",
    "as_hx",
    "as_tuple",
    "assert_same_bits",
    "assert_same_results",
    "bits",
    "environment",
    "exercised",
    "float_environment",
    "hexes",
    "leaves",
    "needs_torch",
    "note",
    "pack",
    "pack_float",
    "pack_linear",
    "pack_unit",
    "pack_units",
    "random_bias",
    "random_cell",
    "random_lengths",
    "random_rows",
    "random_state",
    "random_unit",
    "random_units",
    "random_weight",
    "report",
    "run_python",
    "same_bits",
    "step_ulps",
    "tables",
    "ties",
    "ulps",
]
