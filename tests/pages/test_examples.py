"""The examples: the models that they carry, and their programs on a part of their data."""

from __future__ import annotations

import importlib
import inspect
import sys

import numpy as np
import pytest
from support import ROOT, assert_same_bits, needs_torch

import qrnn
from qrnn import nn

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="NO examples/: the programs did not run")

NAMES = ("digits", "irnn", "vowels_lstm", "vowels_gru", "text_rnn", "text_lstm", "text_gru")


@pytest.fixture
def example(monkeypatch):
    """Import a program of examples/, which see one another there; skip where its data are not installed."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name):
        try:
            module = importlib.import_module(name)
            if name.startswith("vowels"):
                importlib.import_module("vowels_data").data_directory()
        except ModuleNotFoundError as error:
            pytest.skip(f"NOT INSTALLED: {error}")
        if name == "comparison":
            monkeypatch.setattr(module, "ROUNDS", 1)
        return module

    load("comparison")
    return load


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


# ---------------------------------------------------------------------------------------------------
# The models
# ---------------------------------------------------------------------------------------------------
def inputs(example, name):
    """A batch for a model, as its forward takes it; random where the real data are not the point."""
    rng = np.random.default_rng(0)
    if name.startswith("text"):
        return (example("text_data").one_hot(rng.integers(0, 96, (20, 5))),)
    if name.startswith("vowels"):
        return rng.normal(0, 0.5, (6, 29, 12)).astype(np.float32), np.array([7, 29, 12, 18, 29, 8])
    shape = (6, 8, 8) if name == "digits" else (6, 64, 1)
    return (rng.uniform(0, 1, shape).astype(np.float32),)


def first(result):
    return result[0] if isinstance(result, tuple) else result


def test_the_models_are_all_there(example):
    assert example("trained").NAMES == NAMES
    own = [f"vowels_{name}" for name in example("options").LAYERS]  # whose program loads them
    assert sorted(p.stem for p in EXAMPLES.glob("*.npz")) == sorted([*NAMES, *own])
    assert sum(p.stat().st_size for p in EXAMPLES.glob("*.npz")) < 2.5e6
    for path in EXAMPLES.glob("*.npz"):
        with np.load(path) as weights:
            assert all(w.dtype == np.float32 and np.isfinite(w).all() for w in weights.values()), path


@needs_torch
def test_a_model_is_what_was_trained(example, name):
    """The training program's model loads the file, and computes what qrnn.nn's does."""
    import torch

    trained, kind = example("trained"), name.split("_")[0]
    program = example(f"train_{kind}")
    if kind in ("digits", "irnn"):
        theirs = program.Classifier(program.HIDDEN_SIZE)
    else:
        settings = program.MODELS[name.split("_")[1]]
        theirs = (program.Classifier if kind == "vowels" else program.LanguageModel)(*settings)
    with np.load(EXAMPLES / f"{name}.npz") as weights:
        theirs.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    arguments = inputs(example, name)
    with torch.no_grad():
        want = first(theirs.eval()(*theirs_inputs(name, arguments))).numpy()
    got = first(trained.load(name)(*arguments))
    assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()


def theirs_inputs(name, arguments):
    """What PyTorch's model takes: the same, but for the text, which it makes one-hot by itself."""
    import torch

    tensors = [torch.from_numpy(a) for a in arguments]
    return [tensors[0].argmax(-1)] if name.startswith("text") else tensors


def test_a_quantized_model_keeps_its_bits(example, name):
    """Quantized twice, and with its file loaded into another one: the same scores; and less than half the size."""
    original = example("trained").load(name)
    arguments = inputs(example, name)
    quantized, other = qrnn.quantize_dynamic(original), qrnn.quantize_dynamic(original)
    want = first(quantized(*arguments))
    assert not np.array_equal(want, first(original(*arguments)))
    assert_same_bits(first(other(*arguments)), want, name)
    other.load_state_dict(quantized.state_dict())
    assert_same_bits(first(other(*arguments)), want, name)
    size = example("comparison").size_in_bytes
    assert size(quantized) < size(original) / 2


def test_irnn_is_near_the_identity(example):
    with np.load(EXAMPLES / "irnn.npz") as weights:
        away = weights["rnn_cell.weight_hh"] - np.eye(128, dtype=np.float32)
    assert np.sqrt(np.square(away).mean()) < 0.05 and np.abs(np.diag(away)).max() < 0.25


def test_irnn_reads_digits_pixel_by_pixel(example):
    trained, data = example("trained"), example("digits_data")
    _, _, x, y = data.load()
    pixels = x.reshape(len(x), -1, 1)
    original = trained.load("irnn")
    quantized = qrnn.quantize_dynamic(original)
    right = [(model(pixels).argmax(1) == y).mean() for model in (original, quantized)]
    assert right[0] > 0.94 and right[1] > right[0] - 0.02, right


# ---------------------------------------------------------------------------------------------------
# Text
# ---------------------------------------------------------------------------------------------------
def test_text_sets_share_no_paragraph(example):
    data = example("text_data")
    texts = ["".join(data.ALPHABET[c] for c in part) for part in data.load()]
    training, held = (set(text.split("\n\n")) for text in texts)
    assert not training & held
    assert 0.05 < len(texts[1]) / len(texts[0]) < 0.2


def test_text_in_pieces(example):
    data = example("text_data")
    codes = data.encode("Python’s “help”\nis here… ß")
    assert "".join(data.ALPHABET[c] for c in codes) == 'Python\'s "help"\nis here... '
    assert data.streams(codes, 4).T.reshape(-1).tolist() == codes[: len(codes) // 4 * 4].tolist()
    assert_same_bits(data.one_hot(codes).argmax(-1).astype(np.float32), codes.astype(np.float32))


@pytest.mark.parametrize("kind, bound", [("rnn", 2.3), ("lstm", 2.0), ("gru", 2.0)])
def test_language_models_predict_the_next_character(example, kind, bound):
    data = example("text_data")
    pieces = data.streams(data.load()[1][:8000], 20)
    original = example("trained").load(f"text_{kind}")
    bits = []
    for model in (original, qrnn.quantize_dynamic(original)):
        scores = np.asarray(model(data.one_hot(pieces[:-1]))[0], np.float64)
        likelihood = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        bits.append(-np.take_along_axis(likelihood, pieces[1:, :, None], -1).mean() / np.log(2))
    assert bits[0] < bound and bits[1] < bits[0] + 0.05, bits


# ---------------------------------------------------------------------------------------------------
# The programs
# ---------------------------------------------------------------------------------------------------
def test_digits(example, capsys):
    example("digits").main()  # ends with an error if quantization costs accuracy
    assert "qrnn int8, engine fbgemm" in capsys.readouterr().out


def test_digits_side_by_side(example, tmp_path):
    """The pictures of docs/compare.md, small ones."""
    program = example("compare_digits")
    models, data = program.digits(12)
    report = qrnn.compare(models, data, rounds=1)
    assert report.facts["rows"] == 12 and report.facts["steps"] == 96
    assert report.row("int8").error < 0.02 and len(report.row("int8").layers[0].by_step) == 8
    pytest.importorskip("matplotlib", reason="MATPLOTLIB IS NOT INSTALLED: no picture was drawn")
    program.pictures(report, str(tmp_path / "compare"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compare-dark.svg", "compare-light.svg"]


def test_vowels(example, capsys):
    example("vowels").main()
    assert capsys.readouterr().out.count("the same scores alone as in the padded batch") == 2


@pytest.mark.parametrize("name", ["peepholes", "norm"])
def test_trained_options_hold_their_accuracy(example, name, capsys):
    options = example("options")
    _, data = example("vowels_data").load()
    rows = options.evaluate(options.load(name), *data)
    assert len(rows) == 3 and capsys.readouterr().out.count("bytes") == 3
    assert rows[0]["accuracy"] > 0.96 and all(row["accuracy"] > rows[0]["accuracy"] - 0.01 for row in rows), rows
    assert all(0 < row["error"] < 1 for row in rows[1:]), rows


@needs_torch
@pytest.mark.parametrize("name", ["peepholes", "norm"])
def test_trained_options_are_the_modules_that_were_trained(example, name):
    """The float layer against the PyTorch program that `train_options.py` trains."""
    import torch

    _, (x, lengths, _) = example("vowels_data").load()
    weights = np.load(EXAMPLES / f"vowels_{name}.npz")
    model = example("train_options").Classifier(name == "norm").eval()
    model.load_state_dict({key: torch.from_numpy(weights[key]) for key in weights})
    with torch.no_grad():
        want = model(torch.from_numpy(x), torch.from_numpy(lengths)).numpy()
    np.testing.assert_allclose(example("options").load(name)(x, lengths), want, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_speakers_are_recognised(example, kind):
    vowels = example("vowels")
    _, (x, lengths, y) = example("vowels_data").load()
    models = example("comparison").versions_of(example("trained").load(f"vowels_{kind}"))
    rows, scores = vowels.evaluate(models, x[::3], lengths[::3], y[::3])
    assert all(row["accuracy"] > 0.94 for row in rows), rows
    # An engine that scales the whole batch at once cannot answer a row as it does that row alone.
    other, model = models[2]
    assert vowels.differ_alone(model, x[::3], lengths[::3], scores[other]) > 60


@needs_torch
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_speech_is_scored_as_by_torch_ao(example, kind):
    """Engine fbgemm on all utterances at once, backwards too, against a PackedSequence in torch.ao.

    A last bit of PyTorch's sigmoid, which depends on the CPU, can tip a code: of few utterances.
    """
    import torch

    _, (x, lengths, _) = example("vowels_data").load()
    _, ours = example("comparison").versions_of(example("trained").load(f"vowels_{kind}"))[2]
    theirs = dict(example("vowels").torch_models(kind)).get("torch.ao int8, fbgemm")
    if theirs is None:
        pytest.skip("NO fbgemm IN THIS PYTORCH: the demo's scores were not compared")
    got, want = ours(x, lengths), theirs(torch.from_numpy(x), torch.from_numpy(lengths)).numpy()
    differ = np.abs(got - want).max(axis=1) > 1e-4 * np.abs(want).max()
    assert differ.mean() < 0.05


def test_vowels_are_as_published(example):
    training, held = example("vowels_data").load()
    assert [len(part) for part in (*training, *held)] == [270] * 3 + [370] * 3
    assert np.bincount(training[2]).tolist() == [30] * 9
    assert np.bincount(held[2]).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    for x, lengths, _ in (training, held):
        assert lengths.min() == 7 and lengths.max() <= 29
        behind = np.arange(29) >= lengths[:, None]
        assert not x[behind].any() and x[~behind].any(axis=1).all()
    assert training[0][0, :2, 0].tolist() == [np.float32(1.860936), np.float32(1.891651)]


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_streams_are_what_they_are_alone(example, kind):
    streams = example("streams")
    row = streams.compare(kind, "qrnn", count=60, ticks=12, changes=4)
    assert row["differ"] == 0 and row["served"] == 60 + 12 * 4 and row["steps"] > 100
    # The comparison can fail: one scale for the whole batch makes streams depend on one another.
    assert streams.compare(kind, "fbgemm", count=60, ticks=12, changes=4)["differ"] > 50


def test_streams_come_and_go(example):
    cell = qrnn.quantize_dynamic(nn.GRUCell(3, 5))
    streams = example("streams").Streams(cell, capacity=2, tables=1)
    x = np.ones((1, 3), np.float32)
    streams.add("a")
    once = streams.step(["a"], x)
    assert not np.array_equal(streams.step(["a"], x), once)
    streams.add("b")
    with pytest.raises(IndexError):
        streams.add("c")
    with pytest.raises(KeyError):
        streams.add("b")
    streams.drop("a")
    with pytest.raises(KeyError):
        streams.step(["a"], x)
    streams.add("c")  # in the row of "a", from zeros
    assert_same_bits(streams.step(["c"], x), once)


def test_custom_cells(example, capsys):
    program = example("custom_cells")
    rows = list(program.compare(8, 16, 40))
    assert [row[0] for row in rows] == [cell.__name__ for cell in program.CELLS] + ["GRU (kernels)"]
    assert all(0 < error < 0.03 for _, error, *_ in rows), rows
    for cell in program.CELLS:
        assert len(inspect.getsource(cell).splitlines()) <= 20, cell.__name__


def sig(x):
    return 1 / (1 + np.exp(-x))


def ind_rnn(s, x, h):
    return (np.maximum(s("x", x) + s("u") * h, 0),)


def minimal_gru(s, x, h):
    of_f, of_n = np.split(s("x", x), 2, -1)
    f = sig(of_f + s("f", h))
    return ((1 - f) * h + f * np.tanh(of_n + s("n", f * h)),)


def peephole_lstm(s, x, h, c):
    i, f, g, o = np.split(s("x", x) + s("h", h), 4, -1)
    new = sig(f + s("peep")[1] * c) * c + sig(i + s("peep")[0] * c) * np.tanh(g)
    return sig(o + s("peep")[2] * new) * np.tanh(new), new


def sru(s, x, h, c):
    n, f, r, skip = np.split(s("x", x), 4, -1)
    f, r = sig(f + s("v")[0] * c), sig(r + s("v")[1] * c)
    new = f * c + (1 - f) * n
    return r * new + (1 - r) * skip, new


def layer_norm_lstm(s, x, h, c):
    def normed(name, y):
        mean, variance = y.mean(-1, keepdims=True), y.var(-1, keepdims=True)
        return (y - mean) / np.sqrt(variance + 1e-5) * s(f"{name}.weight") + s(f"{name}.bias")

    i, f, g, o = np.split(normed("of_x", s("x", x)) + normed("of_h", s("h", h)), 4, -1)
    new = sig(f) * c + sig(i) * np.tanh(g)
    return sig(o) * np.tanh(normed("of_c", new)), new


CELL_EQUATIONS = {
    "IndRNN": ind_rnn,
    "MinimalGRU": minimal_gru,
    "PeepholeLSTM": peephole_lstm,
    "SRU": sru,
    "LayerNormLSTM": layer_norm_lstm,
}


@pytest.mark.parametrize("kind", CELL_EQUATIONS)
def test_custom_cells_are_their_equations(example, kind):
    """In float64, over 20 steps."""
    rnn = example("custom_cells").models(5, 8)[kind]
    state = {name.removeprefix("l0."): value.astype(float) for name, value in rnn.state_dict().items()}

    def s(name, value=None):
        """A parameter, or what the Linear of that name makes of a value."""
        if value is None:
            return state[name]
        return value @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)

    x = np.random.default_rng(0).normal(0, 1, (20, 3, 5)).astype(np.float32)
    states = tuple(np.zeros((3, 8)) for _ in rnn.states)
    for got, step in zip(rnn(x)[0], x.astype(float), strict=True):
        states = CELL_EQUATIONS[kind](s, step, *states)
        assert np.abs(got - states[0]).max() <= 3e-6


def test_the_package_is_not_imported_for_its_data(example):
    example("vowels_data").load()
    assert not {"aeon", "sktime"} & set(sys.modules)
