"""Options of cells and sequences on every instruction set against the reference, with ==; and against float64."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from support import as_hx, as_tuple, assert_same_bits, note, random_rows
from support.kernel_cases import assert_same_run, assert_same_states
from support.reference_options import activation, units_of
from support.reference_sequence import run

import qrnn
from qrnn import _core, nn

pytestmark = pytest.mark.core
f32 = np.float32

#: Every function, with parameters of no default.
FUNCTIONS = [
    "tanh",
    "sigmoid",
    "relu",
    ("hard_sigmoid", 0.3, 0.4),
    "linear",
    "softsign",
    ("elu", 1.5),
    ("leaky_relu", 0.2),
    ("scaled_tanh", 1.7, 0.6),
    "softplus",
    ("affine", 0.4, -0.1),
    ("thresholded_relu", 0.3),
]
#: Bounded functions of gates, by which states stay within bounds.
GATES = ["sigmoid", ("hard_sigmoid", 0.3, 0.4), "softsign", "tanh"]

LSTM_OPTIONS = {
    "peepholes": {"peepholes": True},
    "coupled": {"input_forget": True},
    "coupled peepholes": {"input_forget": True, "peepholes": True},
    "clips": {"clip": 0.8, "cell_clip": 0.5},
    "norm": {"layer_norm": True},
    "another norm": {"layer_norm": 1e-3, "cell_clip": 0.9, "input_forget": True},
    "everything": {
        "peepholes": True,
        "clip": 1.5,
        "cell_clip": 1,
        "activations": ("hard_sigmoid", ("elu", 2), "softsign"),
    },
}
KINDS = {
    "RNN": (nn.RNN, nn.RNNCell, {}),
    "LSTM": (nn.LSTM, nn.LSTMCell, {}),
    "GRU": (nn.GRU, nn.GRUCell, {}),
    "GRU before": (nn.GRU, nn.GRUCell, {"reset_after": False}),
}
PLACES = {"RNN": 1, "LSTM": 3, "GRU": 2, "GRU before": 2}
SIZES = (1, 7, 16, 17, 33, 50)


def options_of(kind):
    """Options of a kind, by names for texts."""
    for name in [*LSTM_OPTIONS] if kind == "LSTM" else []:
        yield name, LSTM_OPTIONS[name]
    yield "clip", {"clip": 0.7}
    for number, function in enumerate(FUNCTIONS):
        if PLACES[kind] == 1:
            yield f"{function}", {"activations": (function,)}
        else:
            gate = GATES[number % len(GATES)]
            yield f"{gate}, {function}", {"activations": (gate, function, "tanh")[: PLACES[kind]]}
            if kind == "LSTM":
                yield f"h {function}", {"activations": (gate, "tanh", function)}


def scaled(layer):
    """The layer with peepholes, gains and learned states that show."""
    rng = np.random.default_rng(5)
    for each in layer._spec.matrices:
        if not each.multiplies:
            setattr(layer, each.weight, rng.uniform(-0.9, 0.9, each.shape).astype(f32))
    return layer


def engines_of(layer):
    return [layer, *(quantized(layer, engine) for engine in ("qrnn", "qrnn13"))]


def quantized(layer, engine):
    cls = getattr(qrnn, type(layer).__name__)
    return cls.from_float(layer, engine=engine, isa=layer.isa)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_with_options(isa, kind):
    _, cls, more = KINDS[kind]
    rng = np.random.default_rng(1)
    for number, (name, options) in enumerate(options_of(kind)):
        hidden, batch, inputs = SIZES[number % len(SIZES)], (1, 3, 9)[number % 3], (5, 19)[number % 2]
        qrnn.manual_seed(number)
        layer = scaled(cls(inputs, hidden, isa=isa, **more, **options))
        x = random_rows(rng, batch, inputs)
        states = tuple(random_rows(rng, batch, hidden, 0.6) for _ in range(layer._spec.row.states))
        for each in engines_of(layer):
            assert each.isa == isa
            note(each)
            [[unit]] = units_of(each)
            assert_same_states(each(x, as_hx(states)), unit.step(x, states), f"{kind}: {name}, {each.engine}")


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_with_options(isa, kind):
    cls, _, more = KINDS[kind]
    rng = np.random.default_rng(2)
    for number, (name, options) in enumerate(options_of(kind)):
        hidden, batch, inputs = SIZES[(number + 2) % len(SIZES)], (2, 5, 1)[number % 3], (5, 19)[number % 2]
        form = {"num_layers": number % 2 + 1, "bidirectional": number % 4 > 1}
        if kind == "LSTM" and number % 3 == 0 and hidden > 1:
            form.update(proj_size=hidden // 2, proj_clip=0.1)
        qrnn.manual_seed(number)
        layer = scaled(cls(inputs, hidden, isa=isa, **form, **more, **options))
        x = random_rows(rng, 4 * batch, inputs).reshape(4, batch, inputs)
        lengths = rng.integers(0, 5, batch).tolist() if number % 2 else None
        for each in engines_of(layer):
            got = each(x, lengths=lengths)
            assert_same_run(got, run(units_of(each), x, None, lengths), f"{kind}: {name}, {each.engine}")


def test_directions_have_their_own_activations(isa):
    own = (("sigmoid", "tanh"), (("hard_sigmoid", 0.2, 0.5), "softsign"))
    layer = nn.GRU(5, 17, bidirectional=True, activations=own, isa=isa)
    assert layer.activations == own
    x = np.random.default_rng(3).standard_normal((6, 3, 5)).astype(f32)
    assert_same_run(layer(x), run(units_of(layer), x))
    plain = nn.GRU(5, 17, isa=isa)  # the forward direction computes what a layer without options does
    plain.load_state_dict({name: layer.state_dict()[name] for name in plain.state_dict()})
    np.testing.assert_allclose(layer(x)[0][..., :17], plain(x)[0], rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ("float32", "qrnn", "qrnn13"))
def test_a_layer_that_reads_backwards_only(kind, engine, isa):
    cls, _, more = KINDS[kind]
    qrnn.manual_seed(8)
    layer = cls(5, 17, num_layers=2, reverse=True, isa=isa, **more)
    qrnn.manual_seed(8)
    forward = cls(5, 17, num_layers=2, isa=isa, **more)
    if engine != "float32":
        layer, forward = quantized(layer, engine), quantized(forward, engine)
    assert layer.reverse and not forward.reverse
    x, lengths = np.random.default_rng(4).standard_normal((6, 3, 5)).astype(f32), [6, 2, 0]
    output, last = layer(x, lengths=lengths)
    for row, length in enumerate(lengths[:2]):  # each row from its own end
        want, its_last = forward(x[:length, row : row + 1][::-1].copy())
        assert_same_bits(output[:length, row : row + 1], want[::-1])
        assert_same_bits(as_tuple(last)[0][:, row], as_tuple(its_last)[0][:, 0])
        assert not output[length:, row].any()


def test_learned_states_are_those_of_calls_without(isa):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((4, 3, 5)).astype(f32)
    for cls, more in ((nn.LSTM, {"proj_size": 7}), (nn.GRU, {"reset_after": False}), (nn.RNN, {})):
        layer = scaled(cls(5, 17, 2, bidirectional=True, initial_states=True, isa=isa, **more))
        for each in (layer, quantized(layer, "qrnn"), quantized(layer, "qrnn13")):
            states = tuple(
                np.repeat(getattr(each, name)[:, None], 3, axis=1) for name in ("h_0", "c_0")[: each._spec.row.states]
            )
            for lengths in (None, [4, 0, 2]):
                assert_same_run(each(x, lengths=lengths), each(x, as_hx(states), lengths=lengths))
            zeros = tuple(np.zeros_like(state) for state in states)
            assert (each(x, as_hx(zeros))[0] != each(x)[0]).any()


def test_functions_are_those_of_float64(isa):
    x = np.concatenate([np.linspace(-20, 20, 4001), np.logspace(-12, 1, 100), -np.logspace(-12, 1, 100)]).astype(f32)
    for function in FUNCTIONS:
        cell = nn.RNNCell(1, 1, bias=False, activations=(function,), isa=isa)
        cell.weight_ih, cell.weight_hh = np.ones((1, 1)), np.zeros((1, 1))
        name, *parameters = [function] if isinstance(function, str) else function
        parameters += [0] * (2 - len(parameters))
        want = activation(name, *(float(f32(each)) for each in parameters), True)(x.astype(np.float64))
        got = cell(x[:, None])[:, 0]
        near = 3e-8 if name in ("affine", "hard_sigmoid") else 1e-45  # their sums cancel
        np.testing.assert_allclose(got, want, rtol=4e-7, atol=near, err_msg=f"{function}")


@pytest.mark.parametrize(
    "function, exact, limit",
    [
        ("elu", lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x), 2.6),
        ("softplus", lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 3.4),
    ],
)
def test_elu_and_softplus_are_within_their_ulp(function, exact, limit, isa):
    bits = np.arange(0x20000000, 0x42D40000, 20011, dtype=np.uint32)
    x = np.concatenate([bits, bits | np.uint32(0x80000000)]).view(f32)
    cell = nn.RNNCell(1, 1, bias=False, activations=(function,), isa=isa)
    cell.weight_ih, cell.weight_hh = np.ones((1, 1)), np.zeros((1, 1))
    got, want = cell(x[:, None])[:, 0].astype(np.longdouble), exact(x.astype(np.longdouble))
    _, exponent = np.frexp(want)
    assert (np.abs(got - want) <= limit * np.ldexp(1.0, np.maximum(exponent, -125) - 24)).all()


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_functions_pass_a_nan(function, isa):
    cell = nn.RNNCell(1, 1, activations=(function,), isa=isa)
    assert np.isnan(cell(np.array([[np.nan]], f32))).all()


def test_the_table_of_functions_is_onnxs():
    assert {name: len(defaults) for name, defaults in _core.activations().items()} == {
        **dict.fromkeys(["tanh", "sigmoid", "relu", "linear", "softsign", "softplus"], 0),
        **dict.fromkeys(["elu", "leaky_relu", "thresholded_relu"], 1),
        **dict.fromkeys(["hard_sigmoid", "scaled_tanh", "affine"], 2),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ("float32", "qrnn", "qrnn13"))
def test_threads_change_no_bit(kind, engine, isa):
    cls, _, more = KINDS[kind]
    options = {"clip": 0.9, "activations": ("hard_sigmoid", ("elu", 1.2), "softsign")[: PLACES[kind]]}
    if kind == "LSTM":
        options.update(peepholes=True, cell_clip=0.8, proj_size=100, proj_clip=0.2)
    if kind == "RNN":
        options["activations"] = ("softsign",)
    layer = scaled(cls(40, 200, 2, bidirectional=True, isa=isa, **more, **options))
    layer = layer if engine == "float32" else quantized(layer, engine)
    x, lengths = np.random.default_rng(9).standard_normal((30, 7, 40)).astype(f32), [30, 0, 17, 30, 1, 29, 30]
    before = qrnn.get_num_threads()
    try:
        qrnn.set_num_threads(1)
        want = layer(x, lengths=lengths)
        for threads in (2, 3):
            qrnn.set_num_threads(threads)
            assert_same_run(layer(x, lengths=lengths), want)
    finally:
        qrnn.set_num_threads(before)


SLOPES = [
    *((kind, name) for kind in KINDS for name, _ in options_of(kind) if "norm" not in name),
    ("LSTM", "norm"),
]


@pytest.mark.parametrize(("kind", "name"), SLOPES, ids=lambda each: str(each))
def test_slopes_by_differences(kind, name, isa):
    """Of h' by what each gate sums, which its bias shifts; where that is normalized, by mean and variance held.

    Rows with a unit within the step from a kink are not compared.
    """
    cls, _, more = KINDS[kind]
    n, batch, step = 37, 40, np.float32(2e-3)
    qrnn.manual_seed(4)
    layer = scaled(cls(4, n, isa=isa, **more, **dict(options_of(kind))[name]))
    rng = np.random.default_rng(7)
    x = rng.standard_normal((1, batch, 4)).astype(f32)
    hx = as_hx(tuple(rng.uniform(-0.5, 0.5, (1, batch, n)).astype(f32) for _ in range(layer._spec.row.states)))
    slopes = layer._forward_layers(x, hx)[3][0, 0]
    bias, factor = "bias_ln_l0" if name == "norm" else "bias_ih_l0", 1.0
    want = np.zeros((batch, n))
    for gate in range(layer._spec.row.gates):
        if kind == "GRU before" and gate == 0:
            continue  # goes through W_hn to every unit, and is left out
        if name == "norm":
            h = as_tuple(hx)[0][0]
            rows = slice(gate * n, (gate + 1) * n)
            sums = x[0] @ layer.weight_ih_l0[rows].T + h @ layer.weight_hh_l0[rows].T
            sums = sums + layer.bias_ih_l0[rows] + layer.bias_hh_l0[rows]
            factor = layer.weight_ln_l0[gate] / np.sqrt(sums.var(axis=1, keepdims=True) + 1e-5)
        outs = []
        for sign in (1, -1):
            shifted = np.array(getattr(layer, bias))
            shifted.reshape(-1)[gate * n : (gate + 1) * n] += sign * step
            moved = pickle.loads(pickle.dumps(layer))
            setattr(moved, bias, shifted)
            outs.append(moved(x, hx)[0][0].astype(np.float64))
        want += ((outs[0] - outs[1]) / (2 * np.float64(step)) * factor) ** 2
    close = np.isclose(slopes, want.mean(axis=1), rtol=5e-3, atol=1e-4)
    assert close.mean() >= 0.8 and slopes.any(), (slopes, want.mean(axis=1))
