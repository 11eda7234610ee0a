"""qrnn.nn.{LSTMCell, GRUCell, RNN, LSTM, GRU}: PyTorch's interface of the float32 modules."""

from __future__ import annotations

import copy
import inspect
import io
import itertools
import pickle
import warnings

import numpy as np
import pytest
from support import assert_same_bits, assert_same_results, leaves, needs_torch

import qrnn
from qrnn import nn

f32 = np.float32
pytestmark = pytest.mark.filterwarnings("error", "ignore:LSTM with projections:UserWarning")  # PyTorch's own

CELLS = ("RNNCell", "LSTMCell", "GRUCell")
SEQUENCES = ("RNN", "LSTM", "GRU")
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def grid(**choices):
    """Every combination of the options, as keyword arguments."""
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())]


OPTIONS = {
    "RNNCell": grid(bias=[True, False], nonlinearity=["tanh", "relu"]),
    "LSTMCell": grid(bias=[True, False]),
    "GRUCell": grid(bias=[True, False]),
}
for _name in SEQUENCES:
    OPTIONS[_name] = grid(
        num_layers=[1, 2, 3],
        bias=[True, False],
        batch_first=[False, True],
        bidirectional=[False, True],
        **{"RNN": {"nonlinearity": ["tanh", "relu"]}, "LSTM": {"proj_size": [0, 2]}, "GRU": {}}[_name],
    )
ALL = [(name, options) for name, all_options in OPTIONS.items() for options in all_options]
OURS = [
    ("GRUCell", {"reset_after": False}),
    ("GRU", {"reset_after": False, "num_layers": 2, "bidirectional": True}),
]


def ids(value):
    return ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value


every = pytest.mark.parametrize("name, options", ALL, ids=ids)
a_few = pytest.mark.parametrize("name, options", ALL[::5] + ALL[-1:] + OURS, ids=ids)


def make(name, options, sizes=(5, 4)):
    return getattr(nn, name)(*sizes, **options)


def inputs_of(module, steps=6, batch=3, seed=110):
    """An input and a state for a cell or a sequence, float or quantized."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.standard_normal(shape).astype(f32)

    if module.sequence is None:
        x, lead = draw(batch, module.input_size), (batch,)
    else:
        rows = (batch, steps) if module.batch_first else (steps, batch)
        x, lead = draw(*rows, module.input_size), (module.num_layers * module.num_directions, batch)
    h, c = draw(*lead, module.proj_size or module.hidden_size), draw(*lead, module.hidden_size)
    return x, ((h, c) if module.kind == "lstm" else h)


def twin(module, torch):
    """PyTorch's module of the same options and weights."""
    names = ("num_layers", "batch_first", "bidirectional") if module.sequence else ()
    kwargs = {name: getattr(module, name) for name in (*names, "bias")}
    if module.kind.startswith("rnn"):
        kwargs["nonlinearity"] = module.nonlinearity
    if module.proj_size:
        kwargs["proj_size"] = module.proj_size
    theirs = getattr(torch.nn, type(module).__name__)(module.input_size, module.hidden_size, **kwargs)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in module.state_dict().items()})
    return theirs


# ---------------------------------------------------------------------------------------------------
# Constructors
# ---------------------------------------------------------------------------------------------------
def test_signatures():
    """PyTorch's names in PyTorch's order, and after them, by keyword alone, ours."""
    rest = ["device", "dtype", "isa"]
    sequence = ["bias", "batch_first", "dropout", "bidirectional"]
    want = {
        "RNNCell": ["bias", "nonlinearity", *rest],
        "LSTMCell": ["bias", *rest],
        "GRUCell": ["bias", "device", "dtype", "reset_after", "isa"],
        "RNN": ["num_layers", "nonlinearity", *sequence, "device", "dtype", "proj_size", "isa"],
        "LSTM": ["num_layers", *sequence, "proj_size", *rest],
        "GRU": ["num_layers", *sequence, "device", "dtype", "reset_after", "proj_size", "isa"],
    }
    for name, names in want.items():
        parameters = inspect.signature(getattr(nn, name)).parameters
        assert list(parameters) == ["input_size", "hidden_size", *names]
        keywords = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
        ours = {"isa", "reset_after"} | ({"proj_size"} if name in ("RNN", "GRU") else set())
        assert set(keywords) == ours & set(names)


@needs_torch
@pytest.mark.parametrize("name", CELLS)
def test_signatures_of_cells_are_torchs(name):
    import torch

    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    ours = inspect.signature(getattr(nn, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for key, parameter in theirs.items():
        assert ours[key].default == parameter.default


@needs_torch
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("RNN", (4, 3, 2, "relu", False, True, 0.25, True)),
        ("LSTM", (4, 3, 2, False, True, 0.25, True, 2)),
        ("GRU", (4, 3, 2, False, True, 0.25, True)),
    ],
)
def test_positional_arguments_are_torchs(name, arguments):
    import torch

    for count in range(2, len(arguments) + 1):
        ours, theirs = getattr(nn, name)(*arguments[:count]), getattr(torch.nn, name)(*arguments[:count])
        assert repr(ours) == repr(theirs)
        assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
            (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
        ]


@every
def test_parameters(name, options):
    module = make(name, options)
    state = module.state_dict()
    kind, hidden, inputs = name.removesuffix("Cell"), 4, 5
    rows, state_size = GATES[kind] * hidden, options.get("proj_size") or hidden
    want = {}
    ways = ("", "_reverse")[: 1 + options.get("bidirectional", False)]
    for layer in range(options.get("num_layers", 1)):
        for way in ways:
            end = "" if name in CELLS else f"_l{layer}{way}"
            want[f"weight_ih{end}"] = (rows, len(ways) * state_size if layer else inputs)
            want[f"weight_hh{end}"] = (rows, state_size)
            if options["bias"]:
                want[f"bias_ih{end}"] = want[f"bias_hh{end}"] = (rows,)
            if options.get("proj_size"):
                want[f"weight_hr{end}"] = (state_size, hidden)
    assert [(k, v.shape) for k, v in state.items()] == list(want.items())
    for key, value in state.items():
        assert value.dtype == f32 and np.abs(value).max() <= 0.5
        got = getattr(module, key)
        assert_same_bits(got, value)
        assert not got.flags.writeable and key in dir(module)
    assert module.nbytes >= sum(value.nbytes for value in state.values())


@needs_torch
@every
def test_it_looks_like_torchs(name, options):
    """The repr, the parameters in their order, and the attributes."""
    import torch

    for dropout in (0.0, 0.5) if name in SEQUENCES and options["num_layers"] > 1 else (None,):
        kwargs = options if dropout is None else {**options, "dropout": dropout}
        ours, theirs = make(name, kwargs), getattr(torch.nn, name)(5, 4, **kwargs)
        assert repr(ours) == repr(theirs)
        assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
            (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
        ]
        names = ["input_size", "hidden_size", "bias", "training"]
        if name in SEQUENCES:
            names += ["num_layers", "batch_first", "dropout", "bidirectional", "proj_size", "mode"]
        if name.startswith("RNN"):
            names.append("nonlinearity")
        for each in names:
            got, want = getattr(ours, each), getattr(theirs, each)
            assert got == want and type(got) is type(want), each


def test_reprs():
    for text in (
        "RNNCell(4, 3, bias=False, nonlinearity=relu)",
        "LSTMCell(4, 3)",
        "LSTMCell(4, 3, bias=False)",
        "GRUCell(4, 3)",
        "GRUCell(4, 3, bias=False, reset_after=False)",
        "RNN(4, 3)",
        "RNN(4, 3, num_layers=2, bidirectional=True)",
        "LSTM(4, 3, num_layers=2, batch_first=True)",
        "LSTM(4, 3, proj_size=2, num_layers=2, bias=False, batch_first=True, dropout=0.5)",
        "GRU(4, 3)",
        "GRU(4, 3, num_layers=3, reset_after=False)",
    ):
        assert repr(eval(f"nn.{text.replace('=relu', chr(61) + repr('relu'))}")) == text
    assert repr(nn.RNN(4, 3, nonlinearity="relu")) == "RNN(4, 3)", "as PyTorch"


def test_reset_after():
    for cls in (nn.GRU, nn.GRUCell):
        assert cls(4, 3).reset_after is True and cls(4, 3).kind == "gru"
        module = cls(4, 3, reset_after=False)
        assert module.reset_after is False and module.kind == "gru_reset_before"
    assert nn.GRU(4, 3, reset_after=False).mode == "GRU"
    with pytest.raises(AttributeError):
        module.reset_after = True


BAD = [
    ("LSTM", {"dropout": 1.5}, ValueError, "dropout should be a number in range [0, 1] representing the "
     "probability of an element being zeroed"),
    ("LSTM", {"dropout": -0.1}, ValueError, "dropout should be a number in range"),
    ("GRU", {"dropout": True}, ValueError, "dropout should be a number in range"),
    ("GRU", {"dropout": float("nan")}, ValueError, "dropout should be a number in range"),
    ("LSTM", {"proj_size": -1}, ValueError, "proj_size should be a positive integer or zero to disable "
     "projections"),
    ("LSTM", {"proj_size": 4}, ValueError, "proj_size has to be smaller than hidden_size"),
    ("LSTM", {"proj_size": 5}, ValueError, "proj_size has to be smaller than hidden_size"),
    ("GRU", {"proj_size": 2}, ValueError, "proj_size argument is only supported for LSTM, not RNN or GRU"),
    ("RNN", {"proj_size": 0}, ValueError, "proj_size argument is only supported for LSTM, not RNN or GRU"),
    ("RNN", {"nonlinearity": "gelu"}, ValueError, "Unknown nonlinearity"),
    ("RNN", {"bias": 1}, TypeError, "bias should be of type bool, got: int"),
    ("LSTM", {"batch_first": "yes"}, TypeError, "batch_first should be of type bool, got: str"),
    ("LSTM", {"input_size": 4.0}, TypeError, "input_size should be of type int, got: float"),
    ("LSTM", {"input_size": 0}, ValueError, "input_size must be greater than zero"),
    ("GRU", {"hidden_size": "3"}, TypeError, "hidden_size should be of type int, got: str"),
    ("GRU", {"hidden_size": 0}, ValueError, "hidden_size must be greater than zero"),
    ("GRU", {"hidden_size": -3}, ValueError, "hidden_size must be greater than zero"),
    ("RNN", {"num_layers": 0}, ValueError, "num_layers must be greater than zero"),
]  # fmt: skip


def arguments(changes):
    return {"input_size": 5, "hidden_size": 4, **changes}


@pytest.mark.parametrize("name, changes, kind, text", BAD, ids=ids)
def test_bad_arguments(name, changes, kind, text):
    with pytest.raises(kind) as caught:
        getattr(nn, name)(**arguments(changes))
    assert str(caught.value).startswith(text)


@needs_torch
@pytest.mark.parametrize("name, changes, kind, text", BAD, ids=ids)
def test_bad_arguments_are_torchs(name, changes, kind, text):
    import torch

    with pytest.raises(kind) as caught:
        getattr(torch.nn, name)(**arguments(changes))
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("name", CELLS + SEQUENCES)
def test_other_bad_arguments(name):
    cls = getattr(nn, name)
    for kwargs, kind, text in (
        ({"device": "cuda"}, ValueError, "device"),
        ({"dtype": np.float64}, ValueError, "dtype"),
        ({"isa": "no"}, ValueError, "isa"),
        ({"isa": 3}, TypeError, "isa"),
        ({"hidden_size": 0}, ValueError, "hidden_size"),
        ({"input_size": -1}, ValueError, "input_size"),
        ({"hidden_size": 3.5}, TypeError, "hidden_size"),
        ({"input_size": None}, TypeError, "input_size"),
        ({"num_layers": 1.0}, TypeError, "num_layers"),
        ({"nothing": 1}, TypeError, "nothing"),
    ):
        with pytest.raises(kind, match=text):
            cls(**arguments(kwargs))
    for dtype in (None, np.float32, qrnn.float32, "float32"):
        cls(5, 4, device="cpu", dtype=dtype)
    assert cls(np.int64(5), np.int32(4)).input_size == 5


def test_cells_without_input():
    for name in CELLS:
        module = make(name, {}, (0, 3))
        x, hx = inputs_of(module)
        assert leaves(module(x, hx))[0].shape == (3, 3)


@pytest.mark.parametrize("name", SEQUENCES)
def test_dropout_with_one_layer_warns(name):
    """As in PyTorch, and the warning names the caller's line."""
    text = "dropout option adds dropout after all but last recurrent layer.*dropout=0.5 and num_layers=1"
    with pytest.warns(UserWarning, match=text) as caught:
        module = getattr(nn, name)(4, 3, dropout=0.5)
    assert caught[0].filename == __file__ and len(caught) == 1
    assert module.dropout == 0.5
    assert getattr(nn, name)(4, 3, num_layers=2, dropout=1).dropout == 1.0
    module.dropout = 0.25
    assert repr(module) == f"{name}(4, 3, dropout=0.25)"
    x, hx = inputs_of(module)
    want = module(x, hx)
    assert_same_results(module.eval()(x, hx), want, "dropout acts in no inference")


@needs_torch
def test_warning_of_dropout_is_torchs():
    import torch

    texts = []
    for cls in (nn.LSTM, torch.nn.LSTM):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cls(4, 3, dropout=0.5)
        texts += [(str(w.message), w.category) for w in caught]
    assert texts[0] == texts[1] and len(texts) == 2


def test_new_weights_come_from_the_one_generator():
    """In the order of PyTorch's parameters, uniform in +-1/sqrt(hidden_size)."""
    module = None
    for name, options in (
        ("GRUCell", {}),
        ("LSTM", {"num_layers": 2, "bidirectional": True, "proj_size": 9}),
    ):
        generator = qrnn.manual_seed(7)
        module = make(name, options, (20, 16))
        drawn = module.state_dict()
        assert max(np.abs(v).max() for v in drawn.values()) > 0.24
        for value in drawn.values():
            assert np.abs(value).max() <= 0.25
        generator = np.random.default_rng(np.random.SeedSequence(7))
        for key, value in drawn.items():
            assert_same_bits(value, generator.uniform(-0.25, 0.25, value.shape).astype(f32), key)
        qrnn.manual_seed(7)
        assert_same_bits(make(name, {**options, "bias": False}, (20, 16)).weight_ih_l0
                         if name == "LSTM" else make(name, {"bias": False}, (20, 16)).weight_ih,
                         next(iter(drawn.values())))  # fmt: skip


# ---------------------------------------------------------------------------------------------------
# Parameters and state
# ---------------------------------------------------------------------------------------------------
@a_few
def test_assignment(name, options):
    module = make(name, options)
    x, hx = inputs_of(module)
    for key, old in module.state_dict().items():
        before = module(x, hx)
        value = np.full(old.shape, 0.125)
        setattr(module, key, value)
        value[:] = 7
        assert (getattr(module, key) == 0.125).all()
        assert any((a != b).any() for a, b in zip(leaves(module(x, hx)), leaves(before))), key
        with pytest.raises(ValueError, match=key):
            setattr(module, key, np.zeros((2, 2, 2)))
        with pytest.raises(TypeError, match=key):
            setattr(module, key, None)
    for key in ("kind", "input_size", "hidden_size", "bias"):
        with pytest.raises(AttributeError):
            setattr(module, key, 1)
    for key in ("weight_ih_l7", "bias_ih_l0_backward", "weight", "nothing"):
        with pytest.raises(AttributeError, match=key):
            getattr(module, key)


def test_assigning_biases_that_are_not_there():
    module = nn.LSTM(4, 3, bias=False)
    assert module.bias_ih_l0 is None and module.bias is False
    with pytest.raises(ValueError, match="bias_ih_l0"):
        module.bias_ih_l0 = np.zeros(12)


def test_options_are_fixed():
    module = nn.LSTM(4, 3)
    for key in ("num_layers", "batch_first", "bidirectional", "proj_size", "mode", "sequence"):
        with pytest.raises(AttributeError):
            setattr(module, key, 2)


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: pickle.loads(pickle.dumps(m, 2)),
    ],
)
def test_copies_keep_everything(duplicate):
    for name, options in ALL + OURS:
        module = make(name, options).eval()
        if name in SEQUENCES:
            module.dropout = 0.25
        module.note = ["kept"]
        new = duplicate(module)
        x, hx = inputs_of(module)
        assert_same_results(new(x, hx), module(x, hx))
        assert type(new) is type(module) and repr(new) == repr(module) and new.note == ["kept"]
        assert (new.kind, new.sequence, new.proj_size) == (module.kind, module.sequence, module.proj_size)
        assert new.training is False and getattr(new, "dropout", 0) == getattr(module, "dropout", 0)


def test_copies_part():
    module = nn.GRU(4, 3)
    new = copy.deepcopy(module)
    new.weight_hh_l0 = np.zeros((9, 3))
    assert (module.weight_hh_l0 != 0).all() and (new.weight_hh_l0 == 0).all()


@a_few
def test_state_through_a_file(name, options):
    first, second = make(name, options), make(name, options)
    file = io.BytesIO()
    np.savez(file, **first.state_dict())
    file.seek(0)
    with np.load(file) as stored:
        result = second.load_state_dict(stored)
    assert result.missing_keys == [] and result.unexpected_keys == []
    x, hx = inputs_of(first)
    assert_same_results(second(x, hx), first(x, hx))


def test_loads_name_everything_at_once():
    model = nn.Sequential(nn.LSTM(4, 3, 2, bidirectional=True, proj_size=2), nn.GRUCell(4, 3))
    good = model.state_dict()
    bad = dict(good)
    del bad["0.weight_hr_l1_reverse"], bad["0.bias_hh_l0"]
    bad["0.weight_ih_l0_backward"] = bad["1.weight_hr"] = np.zeros(1)
    bad["0.weight_ih_l1"] = np.zeros((12, 3), f32)
    bad["1.bias_ih"] = np.zeros(3)
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(bad)
    assert str(caught.value).split("\n\t") == [
        "Error(s) in loading state_dict for Sequential:",
        'Missing key(s) in state_dict: "0.bias_hh_l0", "0.weight_hr_l1_reverse".',
        'Unexpected key(s) in state_dict: "0.weight_ih_l0_backward", "1.weight_hr".',
        "size mismatch for 0.weight_ih_l1: copying a param with shape (12, 3) from checkpoint, "
        "the shape in current model is (12, 4).",
        "size mismatch for 1.bias_ih: copying a param with shape (3,) from checkpoint, "
        "the shape in current model is (9,).",
    ]
    for key, value in model.state_dict().items():
        assert_same_bits(value, good[key], "a failed load changes nothing")
    del bad["0.weight_ih_l1"], bad["1.bias_ih"]
    bad["0.weight_hh_l0"] = np.zeros((12, 2))
    result = model.load_state_dict(bad, strict=False)
    assert set(result.missing_keys) == {
        "0.bias_hh_l0", "0.weight_hr_l1_reverse", "0.weight_ih_l1", "1.bias_ih"
    }  # fmt: skip
    assert result.unexpected_keys == ["0.weight_ih_l0_backward", "1.weight_hr"]
    assert (model[0].weight_hh_l0 == 0).all()
    assert_same_bits(model[0].bias_hh_l0, good["0.bias_hh_l0"])


def test_loads_of_other_options():
    """A projection, a direction, a layer or biases more or less are missing or unexpected keys."""
    state = nn.LSTM(4, 3).state_dict()
    for options, text in (
        ({"num_layers": 2}, "weight_ih_l1"),
        ({"bidirectional": True}, "weight_ih_l0_reverse"),
        ({"proj_size": 2}, "weight_hr_l0"),
        ({"bias": False}, "bias_ih_l0"),
    ):
        with pytest.raises(RuntimeError, match=text):
            nn.LSTM(4, 3, **options).load_state_dict(state)


# ---------------------------------------------------------------------------------------------------
# Calls
# ---------------------------------------------------------------------------------------------------
def assert_close(got, want):
    for g, w in zip(leaves(got), leaves(want), strict=True):
        w = w.detach().numpy()
        assert g.shape == w.shape and np.abs(g - w).max(initial=0) <= 1e-6 * max(1, np.abs(w).max(initial=0))


def as_torch(torch, hx):
    return tuple(map(torch.from_numpy, hx)) if isinstance(hx, tuple) else torch.from_numpy(hx)


@needs_torch
@every
def test_results_are_torchs(name, options):
    """With a state and without; whole batches, and one row unbatched."""
    import torch

    ours = make(name, options)
    theirs = twin(ours, torch)
    x, hx = inputs_of(ours)
    assert_close(ours(x), theirs(torch.from_numpy(x)))
    assert_close(ours(x, hx), theirs(torch.from_numpy(x), as_torch(torch, hx)))
    row = 0 if name in CELLS or options["batch_first"] else (slice(None), 0)
    x = np.ascontiguousarray(x[row])
    states = tuple(np.ascontiguousarray(h[0 if name in CELLS else (slice(None), 0)]) for h in leaves(hx))
    hx = states if len(states) > 1 else states[0]
    assert_close(ours(x), theirs(torch.from_numpy(x)))
    assert_close(ours(x, hx), theirs(torch.from_numpy(x), as_torch(torch, hx)))


@needs_torch
@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_are_packed_sequences(name, batch_first, bidirectional):
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    ours = getattr(nn, name)(5, 4, 2, batch_first=batch_first, bidirectional=bidirectional)
    theirs, lengths = twin(ours, torch), [2, 6, 1, 4]
    x, hx = inputs_of(ours, batch=4)
    packed = pack_padded_sequence(torch.from_numpy(x), lengths, batch_first, enforce_sorted=False)
    output, state = theirs(packed, as_torch(torch, hx))
    output = pad_packed_sequence(output, batch_first, total_length=6)[0]
    assert_close(ours(x, hx, lengths=lengths), (output, state))


@a_few
def test_a_subclass_with_forward_is_called(name, options):
    calls = []

    class Mine(getattr(nn, name)):
        def forward(self, input, hx=None):
            calls.append(1)
            return super().forward(input, hx)

    module = Mine(5, 4, **options)
    x, hx = inputs_of(module)
    result = module(x, hx)
    assert calls == [1] and leaves(result)[0].dtype == f32


def test_flatten_parameters():
    """Models written for PyTorch call it."""
    assert nn.LSTM(4, 3).flatten_parameters() is None


def test_tensors_in_tensors_out():
    torch = pytest.importorskip("torch")
    lstm = nn.LSTM(4, 3)
    output, (h_n, c_n) = lstm(torch.ones(5, 2, 4))
    assert all(isinstance(t, torch.Tensor) for t in (output, h_n, c_n))
    assert output.shape == (5, 2, 3) and c_n.shape == (1, 2, 3)
