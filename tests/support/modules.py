"""Reference cells and sequences with random weights, and the core's modules with the same weights."""

from __future__ import annotations

import numpy as np

from support import reference as ref
from support.summary import exercised

f32 = np.float32
#: The formats of activations of engines that quantize row by row.
FORMATS = {"qrnn": "u8", "qrnn13": "s13"}


def random_weight(rng, rows, cols, per_channel=True, low=-128):
    """Make random codes and scales; every code may occur, -128 included."""
    codes = rng.integers(low, 128, (rows, cols)).astype(np.int8)
    scale = rng.uniform(0.002, 0.02, rows if per_channel else ()).astype(f32)
    return ref.Weight(codes, np.asarray(scale, f32))


def random_bias(rng, rows, present=True):
    return rng.uniform(-1, 1, rows).astype(f32) if present else None


def random_cell(rng, engine, nonlinearity, inputs, hidden, *, per_channel=True, bias=True, low=-128):
    """A reference cell with random codes."""
    return ref.Cell(
        engine,
        nonlinearity,
        random_weight(rng, hidden, inputs, per_channel, low),
        random_weight(rng, hidden, hidden, per_channel, low),
        random_bias(rng, hidden, bias),
        random_bias(rng, hidden, bias),
    )


def pack(cell, isa=None):
    """The core's module of a reference cell."""
    from qrnn import _core

    module = _core.Module()
    module._pack(
        f"rnn_{cell.nonlinearity}",
        cell.engine,
        isa,
        (cell.ih.codes, cell.ih.scale, cell.bias_ih),
        (cell.hh.codes, cell.hh.scale, cell.bias_hh),
    )
    note(module)
    return module


def pack_linear(engine, weight, bias, isa=None):
    """The core's module of a quantized linear layer."""
    from qrnn import _core

    module = _core.Module()
    module._pack("linear", engine, isa, (weight.codes, weight.scale, bias))
    note(module)
    return module


def pack_float(kind, ih, hh=None, isa=None):
    """The core's float32 module; ih and hh are (weight, bias)."""
    from qrnn import _core

    module = _core.Module()
    pairs = [ih] if hh is None else [ih, hh]
    module._pack(kind, "float32", isa, *((weight, None, bias) for weight, bias in pairs))
    note(module)
    return module


def random_unit(rng, kind, engine, inputs, hidden, *, proj=0, per_channel=True, bias=True, low=-128):
    """Make a reference unit (a cell, or a layer in one direction) whose gates are seldom saturated."""
    gates = ref.GATES[kind]

    def weight(rows, columns):
        bound = 2 / np.sqrt(max(columns, 1))
        if engine in ref.ENGINES:
            w = random_weight(rng, rows, columns, per_channel, low)
            return w._replace(scale=np.asarray(w.scale * f32(bound), f32))
        return rng.uniform(-bound, bound, (rows, columns)).astype(f32)

    return ref.Unit(
        kind,
        engine,
        weight(gates * hidden, inputs),
        weight(gates * hidden, proj or hidden),
        random_bias(rng, gates * hidden, bias),
        random_bias(rng, gates * hidden, bias),
        weight(proj, hidden) if proj else None,
    )


def random_units(rng, kind, engine, inputs, hidden, layers=1, directions=1, *, proj=0, **options):
    """The reference units of a sequence module, [layers][directions]."""
    sizes = [inputs] + [directions * (proj or hidden)] * (layers - 1)
    return [[random_unit(rng, kind, engine, n, hidden, proj=proj, **options) for _ in range(directions)] for n in sizes]


def random_state(rng, units, batch, *, scale=0.7):
    """Initial states of all layers and directions: a tuple (h,) or (h, c) of [units, batch, size]."""
    flat = [unit for layer in units for unit in layer]
    sizes = flat[0].state_sizes
    return tuple((rng.standard_normal((len(flat), batch, n)) * scale).astype(f32) for n in sizes)


def _matrices(unit):
    for name in ("ih", "hh", "hr"):
        weight, bias = getattr(unit, name), getattr(unit, f"bias_{name}", None)
        if weight is not None:
            codes = isinstance(weight, ref.Weight)
            own = [FORMATS[weight.activations]] if codes and weight.activations else []
            yield (weight.codes, weight.scale, bias, *own) if codes else (weight, None, bias)


def pack_unit(unit, isa=None):
    """The core's cell of a reference unit."""
    from qrnn import _core

    module = _core.Module()
    module._pack(unit.kind, unit.engine, isa, *_matrices(unit))
    note(module)
    return module


def pack_units(units, isa=None, *, batch_first=False):
    """The core's sequence module of reference units."""
    from qrnn import _core

    module = _core.Module()
    flat = [unit for layer in units for unit in layer]
    matrices = [matrix for unit in flat for matrix in _matrices(unit)]
    shape = (len(units), len(units[0]), batch_first)
    module._pack(flat[0].kind, flat[0].engine, isa, *matrices, sequence=shape)
    note(module)
    return module


def as_hx(state):
    """Return a state tuple in the form of PyTorch's calls: h alone, or the pair."""
    return None if state is None else state[0] if len(state) == 1 else tuple(state)


def as_tuple(state):
    """Return the result of a call as a tuple of states."""
    return state if isinstance(state, tuple) else (state,)


def note(module):
    """Record the instruction set on which a module really runs as exercised."""
    exercised.add(module.isa)
