"""What the core answers to the package alone: its tables, and calls that no layer makes. Wrong ones are refused too."""

from __future__ import annotations

import numpy as np
import pytest

import qrnn
from qrnn import _core, nn

SIZES = ("lstm", 4, 3, 0, (1, 1, False))
OPTIONS = nn.LSTM(4, 3, activations=("hard_sigmoid", "tanh", "elu"), clip=2.0).options


def changed(place, value):
    return (*OPTIONS[:place], value, *OPTIONS[place + 1 :])


class NoBool:
    def __bool__(self):
        raise OverflowError("neither")


@pytest.mark.parametrize(
    "arguments, kind, text",
    [
        (("lstm", 4, 3, 0, (1, 1)), TypeError, "sequence"),
        (("lstm", -1, 3), ValueError, "sizes of at least 0, got -1, 3 and 0"),
        (("lstm", 4, -3), ValueError, "sizes of at least 0, got 4, -3 and 0"),
        (("lstm", 4, 3, -1), ValueError, "sizes of at least 0, got 4, 3 and -1"),
        (("lstm", "4", 3), TypeError, "int"),
        (("no", 4, 3), ValueError, "kind: expected .*lstm.*got 'no'"),
        ((*SIZES, 3), TypeError, "options: expected None or a tuple of 9, got 3"),
        ((*SIZES, OPTIONS[1:]), TypeError, "options: expected None or a tuple of 9"),
        ((*SIZES, changed(0, 3)), ValueError, "activations: expected a tuple of 3, .* got 3"),
        ((*SIZES, changed(0, OPTIONS[0][:1])), ValueError, "activations: expected a tuple of 3"),
        ((*SIZES, changed(0, (3, *OPTIONS[0][1:]))), TypeError, "activations"),
        ((*SIZES, changed(0, (("tanh", 1.0), *OPTIONS[0][1:]))), TypeError, "activations: expected"),
        ((*SIZES, changed(0, (("no", 0.0, 0.0), *OPTIONS[0][1:]))), ValueError, "no"),
        ((*SIZES, changed(1, "2")), TypeError, "real number"),
        ((*SIZES, changed(5, NoBool())), OverflowError, "neither"),
    ],
)
def test_wrong_layers_are_refused(arguments, kind, text):
    with pytest.raises(kind, match=text):
        _core.matrices(*arguments)


def test_matrices_of_a_layer():
    """Name, bias, rows, columns, whether it multiplies: 4 gates of 3 units, of 4 inputs and of 3 states."""
    assert _core.matrices(*SIZES, OPTIONS) == _core.matrices(*SIZES)
    assert [each[:4] for each in _core.matrices(*SIZES)] == [
        ("weight_ih_l0", "bias_ih_l0", 12, 4),
        ("weight_hh_l0", "bias_hh_l0", 12, 3),
    ]


f32 = np.float32
X = np.ones((5, 2, 4), f32)
CODES = [(np.ones((12, columns), np.int8), np.ones((), f32), None) for columns in (4, 3)]
FLAT = (np.ones(4, np.int8), np.ones((), f32), None)
NOT_CLEAR = (None, NoBool(), *OPTIONS[2:])


def sums():
    return np.zeros(1, np.int64), np.zeros(2), np.zeros(4), np.zeros((4, 4))


def pack(*arguments, **keywords):
    _core.Module()._pack(*arguments, **keywords)


@pytest.mark.parametrize(
    "call, kind, text",
    [
        (lambda: _core.Module()._forward_layers(X), RuntimeError, "it has no weights yet"),
        (lambda: _core.Module._forward_layers(qrnn.RNNCell(4, 3), X), TypeError, "expected a sequence"),
        (lambda: _core.Module._forward_layers(qrnn.LSTM(4, 3)), TypeError, "missing 1 required .* 'input'"),
        (lambda: pack("lstm", "qrnn", None, *CODES, options=3), TypeError, "options: expected None or a tuple"),
        (lambda: pack("linear", "qrnn", None, FLAT), ValueError, r"weight: expected shape \(rows, columns\)"),
        (lambda: pack("rnn_tanh", "qrnn", None, FLAT, CODES[1]), ValueError, "weight_ih: expected shape"),
        (
            lambda: pack(
                *("lstm", "qrnn", None, *CODES, (np.ones((3, 3), f32), None, 3)),
                sequence=(1, 1, False),
                options=nn.LSTM(4, 3, peepholes=True).options,
            ),
            ValueError,
            "weight_ch_l0: expected None for a matrix without a bias, got int",
        ),
        (lambda: _core.check_engine("lstm", 0, "fbgemm", 3), ValueError, "with engine 'fbgemm'"),
        (lambda: _core.check_engine("lstm", 0, "fbgemm", (None,)), ValueError, "with engine 'fbgemm'"),
        (lambda: _core.check_engine("lstm", 0, "fbgemm", NOT_CLEAR), ValueError, "clip: .* 'fbgemm'"),
        (lambda: _core.check_call(*SIZES, (-1, 2, 4)), RuntimeError, "sequence length"),
        (lambda: _core.fake_quantize("fbgemm", np.full((2, 4), np.nan, f32)), ValueError, "finite values"),
        (lambda: _core.add_moments("qrnn"), TypeError, "missing 2 required"),
        (lambda: _core.add_moments("qrnn", "text", sums()), TypeError, "v: expected an array of real numbers"),
    ],
)
def test_calls_that_no_layer_makes(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_moments_without_weights_are_those_of_ones():
    one, other = sums(), sums()
    _core.add_moments("qrnn", X[0], one, None, None)
    _core.add_moments("qrnn", X[0], other, None, np.ones(2, f32))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_limit_of_minus_one_is_a_number():
    """-1.0 is what Python's conversion gives for an error too."""
    assert _core.matrices(*SIZES, changed(1, -1.0)) == _core.matrices(*SIZES)
