"""What the core checks without computing: its exceptions and texts are those of a call."""

from __future__ import annotations

import itertools
import re

import pytest
from support.calls import KINDS, make, pair, zeros

from qrnn import _core


def outcome(call, *args, **kwargs):
    """What became of a call: None, or the exception's type and text."""
    try:
        call(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)
    return None


def test_engines_and_instruction_sets():
    for check, names, what in (
        (_core.check_engine_name, _core.engines(), "an engine's name"),
        (_core.check_isa, _core.isas(), "an instruction set's name"),
    ):
        assert [check(name) for name in names] == list(names)
        argument = check.__name__.removeprefix("check_").removesuffix("_name")
        with pytest.raises(TypeError, match=rf"^{argument}: expected {what} \(str\), got int$"):
            check(5)
        expected = re.escape(f'other: expected one of {", ".join(names)}, got "it\'s"')
        with pytest.raises(ValueError, match=f"^{expected}"):
            check("it's", "other")
        with pytest.raises(TypeError):
            check()
    with pytest.raises(ValueError, match="got 'float32'$"):
        _core.check_engine_name("float32")
    with pytest.raises(ValueError, match="there is no such instruction set$"):
        _core.check_isa("no")
    missing = set(_core.known_isas()) - set(_core.isas())
    for name in missing:
        with pytest.raises(ValueError, match="this CPU lacks it$"):
            _core.check_isa(name)


CELL_SHAPES = [(), (4,), (5,), (2, 4), (2, 5), (0, 4), (1, 2, 4)]
CELL_STATES = [None, (), (3,), (5,), (2, 3), (2, 5), (3, 3), (0, 3), (1, 2, 3)]
LAYER_SHAPES = [(), (4,), (5, 4), (5, 5), (0, 4), (5, 2, 4), (2, 5, 4), (5, 2, 3), (0, 2, 4), (5, 0, 4), (1, 5, 2, 4)]
LAYER_STATES = [None, (3,), (2, 3), (2, 5), (2, 2, 3), (2, 5, 3), (1, 2, 3), (2, 2, 5), (2, 0, 3), (1, 2, 2, 3)]


@pytest.mark.parametrize("sequence", [None, (1, 2, False), (1, 2, True)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_checked_calls_raise_what_calls_raise(kind, sequence):
    module, pairs = make(kind, sequence=sequence), _core.kinds()[kind]["states"] == 2
    inputs, states = (CELL_SHAPES, CELL_STATES) if sequence is None else (LAYER_SHAPES, LAYER_STATES)
    seen = set()
    for x, h, c in itertools.product(inputs, states, states if pairs else [None]):
        if pairs and (h is None) != (c is None):
            continue
        shapes = None if h is None else pair(kind, h, c) if pairs else (h,)
        hx = None if h is None else pair(kind, zeros(*h), zeros(*c) if pairs else None)
        want = outcome(module, zeros(*x), hx)
        assert outcome(_core.check_call, kind, 4, 3, 0, sequence, x, shapes) == want, (x, h, c)
        seen.add(want)
    assert None in seen and len(seen) > 10


@pytest.mark.parametrize("lengths", [[5, 1], (2, 3), [6, 1], [0, 1], [1], [1, 2, 3], 7, {1, 2}, ["a", 1], [1.0, 2]])
def test_checked_lengths(lengths):
    module = make("lstm", sequence=(1, 1, False), proj=2)
    want = outcome(module, zeros(5, 2, 4), lengths=lengths)
    check = ("lstm", 4, 3, 2, (1, 1, False), (5, 2, 4), ((1, 2, 2), (1, 2, 3)), lengths)
    assert outcome(_core.check_call, *check) == want
    if want is None:
        assert _core.check_call(*check) == list(lengths)
    assert _core.check_call(*check[:-1]) is None
    module = make("lstm", "fbgemm", sequence=(1, 1, False))
    want = outcome(module, zeros(5, 2, 4), lengths=lengths)
    assert outcome(_core.check_call, "lstm", 4, 3, 0, *check[4:6], None, lengths, "fbgemm") == want


def test_checked_linears():
    module = _core.Module()
    module._pack("linear", "float32", None, (zeros(3, 4), None, None))
    for shape in ((), (4,), (5,), (0, 4), (2, 3, 4), (2, 3, 5)):
        want = outcome(module, zeros(*shape))
        assert outcome(_core.check_call, "linear", 4, 3, 0, None, shape) == want


def test_bad_arguments_of_checks():
    good = ("lstm", 4, 3, 0, None, (2, 4))
    for args, error, text in (
        ((), TypeError, "check_call"),
        (("no", *good[1:]), ValueError, "^kind: expected "),
        ((*good[:5], [2, 4]), TypeError, "^input_shape: expected a tuple"),
        ((*good[:5], (1,) * 65), TypeError, "^input_shape: expected a tuple"),
        ((*good[:5], (2, "4")), TypeError, "integer"),
        ((*good, ((2, 3),)), TypeError, "^state_shapes: expected None or"),
        ((*good, [(2, 3), (2, 3)]), TypeError, "^state_shapes: expected None or"),
        ((*good, (2, 3)), TypeError, r"^state_shapes\[0\]: expected a tuple"),
        ((*good, ((2, 3), 3)), TypeError, r"^state_shapes\[1\]: expected a tuple"),
        (("linear", *good[1:], ()), TypeError, "^state_shapes: expected None or"),
        (("gru", 4, 3, 0, (1, 3, False), (2, 4)), ValueError, "^sequence: expected num_directions from 1 to 2"),
        (("gru", 4, -3, 0, None, (2, 4)), ValueError, "^expected sizes of at least 0"),
        (("linear", 4, 3, 0, (1, 1, False), (2, 4)), ValueError, "^sequence: expected None for a linear"),
        (("gru", 4, 3, 0, "no", (2, 4)), TypeError, "sequence"),
        (("gru", 4, 3, 0, (1, 1, False), (5, 2, 4), None, [5, 1], "no"), ValueError, "^engine: expected "),
    ):
        with pytest.raises(error, match=text):
            _core.check_call(*args)
    for args, error, text in (
        ((), TypeError, "check_engine"),
        (("no", 0, "qrnn"), ValueError, "^kind: expected "),
        (("lstm", 0, "no"), ValueError, "^engine: expected one of"),
    ):
        with pytest.raises(error, match=text):
            _core.check_engine(*args)


def test_states_are_split_as_calls_split_them():
    module = make("lstm")
    for hx in (1, zeros(2, 2, 3), (1,), [1, 2, 3], "hc"):
        want = outcome(module, zeros(2, 4), hx)
        assert outcome(_core.split_state, "lstm", hx) == want
    assert _core.split_state("lstm", [1, 2]) == (1, 2) and _core.split_state("gru", [1, 2]) == ([1, 2],)
    for args in ((), ("no", 1)):
        with pytest.raises((TypeError, ValueError)):
            _core.split_state(*args)
