"""Cells of a user's own: beside the kernels, as sequences, quantized, and what is said of wrong ones."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import assert_same_bits
from support.custom_cells import GRU, LSTM, PAIRS, Elman, pair

import qrnn
from qrnn import nn

f32 = np.float32
SEQUENCES = [
    {},
    {"num_layers": 2},
    {"bidirectional": True, "batch_first": True},
    {"num_layers": 3, "bidirectional": True},
]


def flat(result):
    output, states = result
    return [output, *(states if isinstance(states, tuple) else [states])]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(f32)


def states_for(kind, *shape):
    h = draw(*shape, seed=1)
    return (h, draw(*shape, seed=2)) if kind == "lstm" else h


@pytest.mark.parametrize("options", SEQUENCES, ids=str)
@pytest.mark.parametrize("kind", PAIRS)
def test_the_built_in_kinds_in_python(kind, options):
    """Within 1e-6 of the float kernels over 20 steps: layers, directions, lengths, initial states, unbatched input."""
    custom, layer = pair(kind, 5, 4, **options)
    places = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    x = draw(3, 20, 5) if options.get("batch_first") else draw(20, 3, 5)
    hx = states_for(kind, places, 3, 4)
    one = tuple(each[:, 0] for each in hx) if kind == "lstm" else hx[:, 0]
    for args, lengths in (((x,), None), ((x, hx), None), ((x, hx), [7, 20, 0]), ((draw(20, 5), one), None)):
        got, want = flat(custom(*args, lengths=lengths)), flat(layer(*args, lengths=lengths))
        for each, other in zip(got, want, strict=True):
            assert each.shape == other.shape and each.dtype == f32 and np.abs(each - other).max() <= 1e-6


@pytest.mark.parametrize("quantized", [False, "qrnn", "qrnn13"])
@pytest.mark.parametrize("kind", PAIRS)
def test_a_sequence_is_its_steps_and_a_row_that_row_alone(kind, quantized):
    custom, _ = pair(kind, 5, 4, num_layers=2)
    if quantized:
        custom = qrnn.quantize_dynamic(custom, engine=quantized)
        assert isinstance(custom.l1.h, qrnn.Linear) and custom.l1.h.engine == quantized
    x, lengths = draw(9, 3, 5), [9, 4, 0]
    output, finals = custom(x)
    state, outputs = None, []
    for step in x:
        y, state = custom(step[None], state)
        outputs.append(y)
    assert_same_bits(np.concatenate(outputs), output)
    for got, want in zip(flat((y, state))[1:], flat((y, finals))[1:], strict=True):
        assert_same_bits(got, want)
    padded = custom(x, lengths=lengths)
    for row, length in enumerate(lengths[:2]):
        for got, want in zip(flat(padded), flat(custom(x[:length, row])), strict=True):
            got = got[:, row]
            assert_same_bits(got[:length] if got.shape[0] == 9 else got, want)
    assert not padded[0][4:, 1].any() and not padded[0][:, 2].any() and not flat(padded)[1][:, 2].any()


def test_reverse_begins_at_the_end_of_each_row():
    custom, _ = pair("gru", 5, 4, bidirectional=True)
    x = draw(9, 2, 5)
    output, h_n = custom(x, lengths=[9, 4])
    alone, final = custom(x[:4, 1])
    assert_same_bits(output[:4, 1], alone)
    assert_same_bits(h_n[:, 1], final)


@pytest.mark.parametrize("kind", PAIRS)
def test_one_step_of_a_cell(kind):
    custom, _ = pair(kind, 5, 4)
    cell, x, hx = custom.l0, draw(3, 5), states_for(kind, 3, 4)
    first = (lambda state: state[0]) if kind == "lstm" else (lambda state: state)
    assert_same_bits(first(cell(x)), custom(x[None])[0][0])
    for row in range(3):
        alone = cell(x[row], tuple(each[row] for each in hx) if kind == "lstm" else hx[row])
        assert_same_bits(first(alone), first(cell(x, hx))[row])


def test_a_torch_engine_sees_no_padding():
    custom = qrnn.quantize_dynamic(pair("gru", 5, 4)[0], engine="fbgemm")
    x = draw(6, 2, 5)
    want = custom(x, lengths=[6, 2])[0]
    x[2:, 1] = 1e6
    assert_same_bits(custom(x, lengths=[6, 2])[0], want)


def test_quantized_and_calibrated():
    """Prepare, calibration, convert, states and descriptions are those of any model.

    The error is near that of the layer, which also weighs each step by the slopes of its gates: over 150 draws of the
    weights they were at most 2.6 % apart.
    """
    custom, layer = pair("gru", 16, 32)
    data = [np.tanh(draw(200, 4, 16, seed=seed) @ draw(16, 16, seed=9) * 0.3) for seed in range(4)]
    prepared = [qrnn.prepare(model, qconfig={}, inplace=False) for model in (custom, layer)]
    for x in data[1:]:
        for model in prepared:
            model(x)
    (calibrated, kernels), plain = map(qrnn.convert, prepared), qrnn.quantize_dynamic(custom)
    want = custom(data[0])[0]
    errors = [np.sqrt(np.mean((model(data[0])[0] - want) ** 2)) for model in (calibrated, kernels, plain)]
    assert errors[0] < 0.95 * errors[2] < 0.01 and abs(errors[0] - errors[1]) < 0.05 * errors[1], errors
    names = {entry.name for entry in qrnn.quantization.calibration_report(calibrated)}
    assert {"l0.x.weight", "l0.h.weight"} <= names, names
    other = qrnn.quantize_dynamic(nn.Recurrent(GRU(16, 32)))
    other.load_state_dict(calibrated.state_dict())
    for new in (other, copy.deepcopy(calibrated), pickle.loads(pickle.dumps(calibrated))):
        assert_same_bits(new(data[0])[0], calibrated(data[0])[0])
    assert calibrated.l0.h.describe()["engine"] == "qrnn" and "l0.h.format" in calibrated.state_dict()


def test_texts_and_other_cells():
    rnn = nn.Recurrent(LSTM(4, 3), num_layers=2, bidirectional=True, batch_first=True, dropout=0.5)
    options = "num_layers=2, batch_first=True, bidirectional=True, dropout=0.5"
    assert repr(rnn).startswith(f"Recurrent(\n  {options}\n  (l0): LSTM(")
    assert "4, 3, states=('h', 'c')" in repr(rnn)
    assert [name for name, _ in rnn.named_children()] == ["l0", "l0_reverse", "l1", "l1_reverse"]
    assert (rnn.l1.input_size, rnn.l1.hidden_size) == (6, 3)

    class Option(Elman):
        def __init__(self, hidden_size, input_size, scale=1):
            super().__init__(input_size, hidden_size)
            self.scale = scale

    assert nn.Recurrent(Option(3, input_size=4, scale=2), num_layers=2).l1.scale == 2
    with pytest.raises(
        TypeError, match="^Option: expected input_size as its first argument; otherwise define Option.another"
    ):
        nn.Recurrent(Option(3, 4), num_layers=2)


def test_inputs_is_called_once():
    calls = []

    class Pair(nn.Cell):
        def inputs(self, x):
            calls.append(x.shape)
            return x, 2 * x

        def step(self, x, h):
            h += x[0] + x[1]  # in place: of the caller's arrays nothing changes
            return h

    x, h0 = np.ones((5, 2, 3), f32), np.ones((1, 2, 3), f32)
    output, h_n = nn.Recurrent(Pair(3, 3))(x, h0)
    assert calls == [(10, 3)] and h_n.tolist() == [[[16.0] * 3] * 2] and output[:, 0, 0].tolist() == [4, 7, 10, 13, 16]
    assert (x == 1).all() and (h0 == 1).all()
    nn.Recurrent(Pair(3, 3))(x, lengths=[5, 1])
    assert calls[1:] == [(6, 3)]


# ---------------------------------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------------------------------
class Wrong(nn.Cell):
    """A cell that returns what it is told."""

    def __init__(self, result, states=("h",), inputs=None):
        super().__init__(4, 3, states)
        self.result, self.given = result, inputs

    def inputs(self, x):
        return x if self.given is None else self.given

    def step(self, x, *states):
        return self.result


H = np.zeros((2, 3), f32)


@pytest.mark.parametrize(
    "result, states, kind, text",
    [
        ((H, H), ("h",), ValueError, "Wrong.step: expected the array h, got tuple of 2"),
        (H, ("h", "c"), ValueError, "Wrong.step: expected arrays h, c, got ndarray"),
        ([H, H, H], ("h", "c"), ValueError, "Wrong.step: expected arrays h, c, got list of 3"),
        (None, ("h",), TypeError, "Wrong.step: h: expected an array of real numbers, got None"),
        ((H, "c"), ("h", "c"), TypeError, "Wrong.step: c: expected an array of real numbers, got str"),
        ((H, H[:1]), ("h", "c"), ValueError, r"Wrong.step: c: expected shape \(2, 3\), got \(1, 3\)"),
        (np.zeros((2, 4)), ("h",), ValueError, r"Wrong.step: h: expected shape \(2, 3\), got \(2, 4\)"),
    ],
)
def test_errors_of_a_wrong_step(result, states, kind, text):
    with pytest.raises(kind, match=f"^{text}"):
        Wrong(result, states)(np.zeros((2, 4)))
    with pytest.raises(kind, match=f"^{text}"):
        nn.Recurrent(Wrong(result, states))(np.zeros((5, 2, 4)))


def test_errors_of_wrong_inputs():
    for wrong, kind in ((np.zeros((3, 4)), ValueError), (1.0, ValueError), ((H, None), TypeError)):
        with pytest.raises(kind, match=r"^Wrong.inputs: expected (arrays of 2 rows|an array of real numbers), got"):
            Wrong(H, inputs=wrong)(np.zeros((2, 4)))


def test_errors_of_calls():
    cell, pair_of = Wrong(H), Wrong((H, H), ("h", "c"))
    x, h = np.zeros((2, 4)), np.zeros((2, 3))
    for call, kind, text in (
        (lambda: cell(np.zeros((2, 5))), RuntimeError, "Wrong: input has inconsistent input_size: got 5, expected 4"),
        (lambda: cell(x[None]), ValueError, "Wrong: Expected input to be 1D or 2D, got 3D"),
        (lambda: cell(x, h[:1]), RuntimeError, "Wrong: h: Input batch size 2 doesn't match hidden batch size 1"),
        (lambda: cell(x, "h"), TypeError, "Wrong: hx: expected an array of real numbers, got str"),
        (lambda: pair_of(x, h), TypeError, r"Wrong: hx: expected a tuple \(h, c\), got ndarray"),
        (lambda: pair_of(x, (h,)), ValueError, r"Wrong: hx: expected a tuple \(h, c\), got 1 items"),
        (lambda: pair_of(x, (h, h[:, :2])), RuntimeError, "Wrong: c: hidden has inconsistent hidden_size: got 2"),
        (lambda: nn.Cell(4, 3)(x), NotImplementedError, r"Cell \[Cell\] is missing the required \"step\" method"),
    ):
        with pytest.raises(kind, match=f"^{text}"):
            call()
    rnn, steps = nn.Recurrent(pair_of), np.zeros((5, 2, 4))
    for call, kind, text in (
        (lambda: rnn(steps[None]), ValueError, "Recurrent: Expected input to be 2D or 3D, got 4D"),
        (
            lambda: rnn(steps[..., :3]),
            RuntimeError,
            "Recurrent: input.size.-1. must be equal to input_size",
        ),
        (lambda: rnn(steps, (h[None], h)), RuntimeError, "Recurrent: c: For batched 3-D input, hx should also be 3-D"),
        (lambda: rnn(steps, lengths=[6, 1]), ValueError, "Recurrent: lengths: expected 0 to 5, got 6 for batch row 0"),
    ):
        with pytest.raises(kind, match=f"^{text}"):
            call()
    cell.register_forward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="^l0: a sequence calls the step of Wrong, and so runs none of its hooks"):
        nn.Recurrent(cell)(steps)


def test_errors_of_constructors():
    for call, kind, text in (
        (lambda: nn.Cell(4, 3, "h"), TypeError, "states: expected names such as"),
        (lambda: nn.Cell(4, 3, 2), TypeError, "states: expected names such as"),
        (lambda: nn.Cell(4, 3, ()), ValueError, "states: expected at least one name and each once"),
        (lambda: nn.Cell(4, 3, ("h", "h")), ValueError, "states: expected at least one name and each once"),
        (lambda: nn.Cell(-1, 3), ValueError, "input_size: expected at least 0, got -1"),
        (lambda: nn.Cell(4, 3.0), TypeError, "hidden_size: expected an integer, got float"),
        (lambda: nn.Recurrent(nn.GRUCell(4, 3)), TypeError, "cell: expected a qrnn.nn.Cell, got GRUCell"),
        (lambda: nn.Recurrent(Elman(4, 3), num_layers=0), ValueError, "num_layers"),
        (lambda: nn.Recurrent(Elman(4, 3), dropout=2), ValueError, "dropout"),
        (lambda: nn.Recurrent(Elman(4, 3), batch_first=1), TypeError, "batch_first"),
    ):
        with pytest.raises(kind, match=text):
            call()
