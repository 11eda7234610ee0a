"""Cells and sequences of every kind of the torch engines beside PyTorch's own. It has no sequences of kind RNN.

Everything up to the non-linearities has PyTorch's bits. Its sigmoid is up to 2 ulp off, its tanh up to 1,
so a step agrees within 1e-6, and over many steps until the last bits of h, or of the range of h, carry
one code over a rounding tie: from there on the difference is of the size of a code's effect. Those codes
are counted, and what they did is printed at the end of the run.

onednn's last step rounds otherwise without AVX-512: there its codes and integers are compared instead.
"""

from __future__ import annotations

import numpy as np
import pytest
import support
from support import (
    HAVE_TORCH,
    as_hx,
    as_tuple,
    assert_same_bits,
    needs_torch,
    pack_unit,
    pack_units,
    random_rows,
    random_state,
    ties,
)
from support import reference as ref

from qrnn import _core

if HAVE_TORCH:
    import torch
    from support import torch_units
    from support.torch_rounding import skip_unless_bits_agree

f32 = np.float32
ENGINES = ("fbgemm", "qnnpack", "onednn")
STEPS = 50

# Largest difference of outputs over many steps: of sigmoid's and tanh's last bits alone (measured 3e-7), and
# once a code of h has flipped. Such a code moves h by its step, at most 2/127, times a weight, and later
# steps forget it. Measured over 360 models: 6.3e-4, of 22 codes among 2.3 million.
UNFLIPPED = 1e-6
FLIPPED = 5e-3

pytestmark = [needs_torch, pytest.mark.filterwarnings("ignore")]
TITLE = "cells and sequences beside PyTorch's"


@pytest.fixture(autouse=True)
def bits_agree(request):
    if HAVE_TORCH:
        skip_unless_bits_agree(request)


class Model:
    """A float torch module, what torch.ao makes of it, and the core's module of the same weights."""

    def __init__(self, name, engine, number, inputs, hidden, **options):
        self.name, self.engine = name, engine
        per_channel = number % 2 == 1
        module = getattr(torch.nn, name)(inputs, hidden, **options)
        self.theirs = torch_units.quantized(module, engine, per_channel)
        self.packed = torch_units.packed_matrices(self.theirs)
        self.isa = _core.isas()[number % len(_core.isas())]
        if name.endswith("Cell"):
            self.units = [[torch_units.unit_of(module, engine, per_channel)]]
            self.ours = pack_unit(self.units[0][0], self.isa)
        else:
            self.units = torch_units.units_of(module, engine, per_channel)
            self.ours = pack_units(self.units, self.isa)

    def step(self, x, state):
        """One step of a cell: ours and theirs, tuples of states."""
        torch.backends.quantized.engine = self.engine
        theirs = self.theirs(torch.from_numpy(x), torch_units.tensors(state))
        return as_tuple(self.ours(x, as_hx(state))), torch_units.arrays(theirs)

    def run(self, x, state=None, lengths=None):
        """A sequence: ours and theirs, (output, *final states)."""
        torch.backends.quantized.engine = self.engine
        output, final = self.ours(x, as_hx(state), lengths=lengths)
        theirs = torch_units.run(self.theirs, x, state, lengths)
        return (output, *as_tuple(final)), (theirs[0], *theirs[1])


def worst(ours, theirs):
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


def cell_sizes(rng, number):
    most = 200 if number % 20 == 0 else 100 if number % 4 == 0 else 40
    return (int(n) for n in rng.integers(1, most, 2))


# ---------------------------------------------------------------------------------------------------
# Products and one step
# ---------------------------------------------------------------------------------------------------
def assert_gates(engine, unit, packed, isa, x, state, what):
    """The core's integers and pre-activations of a unit against PyTorch's quantized linear."""
    acc_ih, acc_hh, pre = _core._gates(pack_unit(unit, isa), x, as_hx(state))
    products = []
    for name, matrix, v, acc in zip(("ih", "hh"), packed, (x, state[0]), (acc_ih, acc_hh)):
        weight, bias = getattr(unit, name), getattr(unit, f"bias_{name}")
        act = ref.activation(engine, v)
        y = ref.dequantize(engine, acc, act, weight, bias)
        torch_units.assert_torch_product(engine, matrix, v, weight, bias, acc, y, f"{what} {name}")
        products.append(torch_units.torch_product(engine, matrix, v))
    if engine != "onednn" or torch_units.AVX512:
        y_ih, y_hh = products
        assert_same_bits(pre, y_hh if unit.kind == "gru" else y_ih + y_hh, f"{what} pre")
    return 2 * acc_ih.size


@pytest.mark.parametrize("engine", ["fbgemm", "x86", "qnnpack", "onednn"])
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_gates_have_pytorchs_bits(name, engine):
    """130 cells: every integer and pre-activation; inputs of all magnitudes, and near rounding ties."""
    rng = np.random.default_rng(100)
    torch.manual_seed(100)
    qmax, elements = 255 if engine == "qnnpack" else 127, 0
    for number in range(130):
        inputs, hidden = cell_sizes(rng, number)
        model = Model(name, engine, number, inputs, hidden)
        unit, batch = model.units[0][0], int(rng.integers(1, 10))
        if number % 3 == 0:
            x, h = ties(rng, batch, inputs, qmax), ties(rng, batch, hidden, qmax)
        else:
            x = random_rows(rng, batch, inputs, 10.0 ** rng.uniform(-8, 6), number)
            h = random_rows(rng, batch, hidden, 10.0 ** rng.uniform(-8, 3), number // 7)
        state = (h, *unit.zeros(batch)[1:])
        elements += assert_gates(engine, unit, model.packed[0], model.isa, x, state, f"cell {number}")
    how = ", its AVX2 step recomputed" if engine == "onednn" and not torch_units.AVX512 else ""
    support.report(TITLE, f"{engine}, 130 {name}s{how}: products of {elements} elements, no bit differs")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_gates_of_layers_have_pytorchs_bits(name, engine):
    """Every layer and direction of sequence modules, on inputs as its position has them."""
    rng = np.random.default_rng(101)
    torch.manual_seed(101)
    for number in range(12):
        inputs, hidden = cell_sizes(rng, number + 1)
        options = {"num_layers": number % 3 + 1, "bidirectional": number // 3 % 2 == 1}
        model = Model(name, engine, number, inputs, hidden, **options)
        flat = [unit for layer in model.units for unit in layer]
        for unit, packed in zip(flat, model.packed, strict=True):
            x = random_rows(rng, 5, unit.ih.codes.shape[1])
            state = tuple(v[0] for v in random_state(rng, [[unit]], 5))
            assert_gates(engine, unit, packed, model.isa, x, state, f"model {number}")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_one_step_of_cells(name, engine):
    """Within 1e-6, with states as cells have them."""
    rng = np.random.default_rng(102)
    torch.manual_seed(102)
    most = 0.0
    for number in range(100):
        inputs, hidden = cell_sizes(rng, number)
        model = Model(name, engine, number, inputs, hidden)
        x = random_rows(rng, 6, inputs, 10.0 ** rng.uniform(-4, 1), number)
        state = tuple(v[0].clip(-1, 1) for v in random_state(rng, model.units, 6))
        most = max(most, worst(*model.step(x, None if number % 5 == 0 else state)))
    support.report(TITLE, f"{engine}, 100 {name}s, one step: at most {most:.1e} apart")
    assert most <= 1e-6


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_one_step_of_sequences(name, engine):
    """One layer, one or both directions, one step: within 1e-6."""
    rng = np.random.default_rng(103)
    torch.manual_seed(103)
    most = 0.0
    for number in range(60):
        inputs, hidden = cell_sizes(rng, number)
        model = Model(name, engine, number, inputs, hidden, bidirectional=number % 4 > 1)
        x = random_rows(rng, 6, inputs, 10.0 ** rng.uniform(-4, 1), number)[None]
        state = tuple(v.clip(-1, 1) for v in random_state(rng, model.units, 6))
        most = max(most, worst(*model.run(x, None if number % 5 == 0 else state)))
    support.report(TITLE, f"{engine}, 60 {name}s, one step: at most {most:.1e} apart")
    assert most <= 1e-6


# ---------------------------------------------------------------------------------------------------
# Fifty steps
# ---------------------------------------------------------------------------------------------------
def flipped_codes(engine, ours, theirs):
    """Codes of h that differ, step by step: [steps]. Each step of h has one scale."""
    flips = []
    for a, b in zip(ours, theirs):
        a, b = ref.activation(engine, a), ref.activation(engine, b)
        centred = (v.codes.astype(int) - v.zero_point[:, None] for v in (a, b))
        flips.append(int((next(centred) != next(centred)).sum()))
    return np.array(flips)


def fifty_steps_of_a_cell(model, rng, batch):
    """Ours and theirs, each on its own states: h of all steps."""
    states = [random_state(rng, model.units, batch)] * 2
    states = [tuple(v[0].clip(-1, 1) for v in state) for state in states]
    outputs = [], []
    torch.backends.quantized.engine = model.engine
    for x in random_rows(rng, STEPS * batch, model.units[0][0].ih.codes.shape[1]).reshape(STEPS, batch, -1):
        states[0] = as_tuple(model.ours(x, as_hx(states[0])))
        states[1] = torch_units.arrays(model.theirs(torch.from_numpy(x), torch_units.tensors(states[1])))
        for out, state in zip(outputs, states):
            out.append(state[0])
    return tuple(np.stack(out) for out in outputs)


def fifty_steps_of_a_sequence(model, rng, batch):
    inputs = model.units[0][0].ih.codes.shape[1]
    x = random_rows(rng, STEPS * batch, inputs).reshape(STEPS, batch, inputs)
    ours, theirs = model.run(x, tuple(v.clip(-1, 1) for v in random_state(rng, model.units, batch)))
    return ours[0], theirs[0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell", "LSTM", "GRU"])
def test_fifty_steps(name, engine):
    """30 models each, 450 in all, fed back on their own states: last bits, then the rare flipped code."""
    rng = np.random.default_rng(104)
    torch.manual_seed(104)
    most, most_before, flips, codes, flipped_models = 0.0, 0.0, 0, 0, 0
    for number in range(30):
        inputs, hidden = cell_sizes(rng, number)
        model = Model(name, engine, number, inputs, hidden)
        fifty_steps = fifty_steps_of_a_cell if name.endswith("Cell") else fifty_steps_of_a_sequence
        ours, theirs = fifty_steps(model, rng, int(rng.integers(1, 9)))
        different = flipped_codes(engine, ours, theirs)
        first = int(np.argmax(different > 0)) if different.any() else STEPS - 1
        apart = np.abs(ours - theirs)
        most, most_before = max(most, apart.max()), max(most_before, apart[: first + 1].max())
        flips, codes = flips + int(different.sum()), codes + ours.size
        flipped_models += bool(different.any())
    support.report(
        TITLE,
        f"{engine}, 30 {name}s, {STEPS} steps: {flips} of {codes} codes of h differ, in {flipped_models} "
        f"models; outputs at most {most:.1e} apart, {most_before:.1e} before the first",
    )
    assert most_before <= UNFLIPPED
    assert most <= FLIPPED
    assert flips <= codes / 1000


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_layers_directions_and_lengths(name, engine):
    """Up to 3 layers, both directions, as PackedSequences too: ranges over what is valid and active."""
    rng = np.random.default_rng(105)
    torch.manual_seed(105)
    far, most = 0, 0.0
    for number in range(48):
        inputs, hidden = (int(n) for n in rng.integers(1, 40, 2))
        options = {"num_layers": number % 3 + 1, "bidirectional": number // 3 % 2 == 1}
        model = Model(name, engine, number, inputs, hidden, **options)
        batch = int(rng.integers(1, 9))
        x = random_rows(rng, 10 * batch, inputs).reshape(10, batch, inputs)
        lengths = rng.integers(1, 11, batch).tolist() if number // 6 % 2 else None
        if lengths:
            x *= np.where(np.arange(10)[:, None, None] < np.array(lengths)[:, None], 1, 5)  # wide padding
        state = random_state(rng, model.units, batch) if number // 12 % 2 else None
        apart = worst(*model.run(x.astype(f32), state, lengths))
        assert apart <= FLIPPED, (number, apart)
        far, most = far + (apart > UNFLIPPED), max(most, apart)
    support.report(
        TITLE,
        f"{engine}, 48 {name}s of 1-3 layers, both directions, lengths: {far} models with a flipped "
        f"code, at most {most:.1e} apart",
    )
    assert far <= 4
