"""Matrices in formats of their own: some float32, some of 13 bits beside int8 ones, in one module and one call."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support import as_hx, as_tuple, assert_same_bits, pack_unit, pack_units, random_lengths, random_rows, random_state
from support import reference as ref
from support import reference_sequence as ref_sequence
from support.kernel_cases import CASES, split
from support.modules import random_unit, random_units

from qrnn import _core

pytestmark = pytest.mark.core
QUANTIZED = [case for case in CASES if case[1] in ("qrnn", "fbgemm", "onednn")]


def some_float(unit, names):
    """The unit with these matrices in float32: the values that their codes stand for."""
    return unit._replace(
        **{name: getattr(unit, name).dequantize() for name in names if getattr(unit, name) is not None}
    )


def subsets(proj):
    """Every choice of float matrices that leaves one in codes."""
    names = ("ih", "hh", "hr") if proj else ("ih", "hh")
    return [some for n in range(1, len(names)) for some in itertools.combinations(names, n)]


@pytest.mark.parametrize("case", QUANTIZED, ids=" ".join)
def test_steps(case, isa):
    kind, engine, proj = split(case)
    rng = np.random.default_rng(41)
    for inputs, hidden, batch in ((5, 7, 1), (17, 33, 3), (64, 16, 66)):
        for names in subsets(proj(hidden)):
            unit = some_float(random_unit(rng, kind, engine, inputs, hidden, proj=proj(hidden)), names)
            module = pack_unit(unit, isa)
            x = random_rows(rng, batch, inputs)
            state = tuple(v[0] for v in random_state(rng, [[unit]], batch))
            for got, want in zip(as_tuple(module(x, as_hx(state))), unit.step(x, state)):
                assert_same_bits(got, want, f"{names} {inputs} {hidden} {batch}")


@pytest.mark.parametrize("case", QUANTIZED, ids=" ".join)
@pytest.mark.parametrize("lengths", [False, True])
def test_sequences(case, lengths, isa):
    """Layers and directions that choose differently."""
    kind, engine, proj = split(case)
    rng = np.random.default_rng(42)
    steps, batch, hidden = 4, 5, 18
    choices = itertools.cycle([*subsets(proj(hidden)), ()])
    units = random_units(rng, kind, engine, 6, hidden, layers=2, directions=2, proj=proj(hidden))
    units = [[some_float(unit, next(choices)) for unit in layer] for layer in units]
    module = pack_units(units, isa)
    x = random_rows(rng, steps * batch, 6).reshape(steps, batch, 6)
    state = random_state(rng, units, batch)
    ends = random_lengths(rng, steps, batch) if lengths else None
    output, last = module(x, as_hx(state), lengths=ends)
    want, finals = ref_sequence.run(units, x, state, ends)
    assert_same_bits(output, want)
    for got, final in zip(as_tuple(last), finals):
        assert_same_bits(got, final)


def some_rows(unit, names, engine):
    """The unit with the codes of these matrices multiplying what `engine` makes of a row."""
    return unit._replace(
        **{name: w._replace(activations=engine) for name in names if (w := getattr(unit, name)) is not None}
    )


@pytest.mark.parametrize("engine", ref.ENGINES)
@pytest.mark.parametrize("kind", ["rnn_relu", "lstm", "gru"])
@pytest.mark.parametrize("lengths", [False, True])
def test_formats_of_rows_under_every_engine(kind, engine, lengths, isa):
    """8 and 13 bits a row, a scale of all rows, and float32, side by side: under PyTorch's engines too."""
    rng = np.random.default_rng(48)
    steps, batch = 4, 5
    units = random_units(rng, kind, engine, 6, 18, layers=2, directions=2)
    units[0][0] = some_rows(units[0][0], ("ih",), "qrnn13")
    units[0][1] = some_rows(units[0][1], ("hh",), "qrnn13")
    units[1][0] = some_rows(some_rows(units[1][0], ("ih",), "qrnn"), ("hh",), "qrnn13")
    units[1][1] = some_rows(some_float(units[1][1], ("ih",)), ("hh",), "qrnn13")
    module = pack_units(units, isa)
    x = random_rows(rng, steps * batch, 6).reshape(steps, batch, 6)
    state = random_state(rng, units, batch)
    ends = random_lengths(rng, steps, batch) if lengths else None
    output, last = module(x, as_hx(state), lengths=ends)
    want, finals = ref_sequence.run(units, x, state, ends)
    assert_same_bits(output, want)
    for got, final in zip(as_tuple(last), finals):
        assert_same_bits(got, final)


def test_engines_say_what_their_codes_multiply():
    for engine, row in _core.engine_table().items():
        weight, scale = (np.ones((3, 4), np.int8), np.full((), 0.5, np.float32)) if row["quantized"] else (None, None)
        module = _core.Module()
        module._pack("linear", engine, None, (np.ones((3, 4), np.float32) if weight is None else weight, scale, None))
        assert module._unpack(0, "activations") == row["activations"]


def test_threads_change_no_bit():
    rng = np.random.default_rng(43)
    units = random_units(rng, "lstm", "qrnn", 48, 128, layers=2)
    units = [[some_float(unit, names) for unit in layer] for layer, names in zip(units, (("ih",), ("hh",)))]
    module, x = pack_units(units), random_rows(rng, 40 * 8, 48).reshape(40, 8, 48)
    alone = module(x)[0]
    _core.set_num_threads(3)
    try:
        assert_same_bits(module(x)[0], alone)
    finally:
        _core.set_num_threads(1)


def test_what_was_packed_comes_back():
    rng = np.random.default_rng(44)
    unit = some_float(random_unit(rng, "gru_reset_before", "qrnn", 5, 7), ["hh"])
    module = pack_unit(unit)
    assert module._unpack(0, "weight").dtype == np.int8 and module._unpack(0, "scale").shape == (21,)
    assert_same_bits(module._unpack(1, "weight"), unit.hh)
    assert module._unpack(1, "scale") is None
    assert [module._unpack(i, "activations") for i in (0, 1)] == ["u8", "float32"]


def test_a_named_format_of_activations_comes_back():
    module = _core.Module()
    module._pack("linear", "qrnn", None, (np.ones((3, 4), np.int8), np.full((), 0.5, np.float32), None, "qnnpack"))
    assert module._unpack(0, "activations") == "qnnpack"


def test_a_format_that_shares_a_scale_leaves_the_output_alone_when_it_fails():
    """Under an engine that else quantizes row by row."""
    rng = np.random.default_rng(47)
    module = _core.Module()
    parts = [
        (rng.integers(-9, 9, (4, 4), dtype=np.int8), np.full((), 0.5, np.float32), None, "qnnpack") for _ in range(2)
    ]
    module._pack("rnn_relu", "qrnn", None, *parts, sequence=(1, 1, False))
    x, out = np.ones((5, 2, 4), np.float32), np.full((5, 2, 4), 7, np.float32)
    x[3:] = 1e38
    h = np.full((1, 2, 4), 7, np.float32)
    with pytest.raises(ValueError, match="not finite|infinit"):
        module(x, out=(out, h))
    assert (out == 7).all() and (h == 7).all()


def test_the_probe_shows_sums_of_codes_alone():
    rng = np.random.default_rng(45)
    unit = some_float(random_unit(rng, "lstm", "qrnn", 5, 7), ["ih"])
    x, state = random_rows(rng, 2, 5), tuple(v[0] for v in random_state(rng, [[unit]], 2))
    acc_ih, acc_hh, pre = _core._gates(pack_unit(unit), x, as_hx(state))
    want = unit.gates(x, state)
    assert acc_ih is None and want[0] is None
    np.testing.assert_array_equal(acc_hh, want[1])
    assert_same_bits(pre, want[2])


def packed(weight, *more):
    _core.Module()._pack("linear", "qrnn", None, (weight, *more))


@pytest.mark.parametrize(
    "more, text",
    [
        ((None, None, "none"), "weight: no kernel multiplies weights and activations of these formats"),
        ((None, None, "u8"), "weight: no kernel multiplies weights and activations of these formats"),
        ((np.float32(1), None), "weight: expected dtype int8, got float32"),
    ],
)
def test_formats_that_do_not_meet(more, text):
    packed(np.ones((3, 4), np.float32), None, None)
    packed(np.ones((3, 4), np.float32), None, None, "float32")
    with pytest.raises(ValueError, match=f"^{text}$"):
        packed(np.ones((3, 4), np.float32), *more)
