"""Measures of several models on the same data, against the same written anew in float64."""

from __future__ import annotations

import json

import numpy as np
import pytest

import qrnn
from qrnn import nn
from qrnn._timing import interleaved
from qrnn.quantization import measure

f32 = np.float32


def relative(reference, output):
    """Rms of the error over rms of the reference about the mean of each column; rows first."""
    reference, output = (np.asarray(each, np.float64).reshape(-1, each.shape[-1]) for each in (reference, output))
    about = reference - reference.mean(axis=0)
    spread = np.linalg.norm(about) / np.sqrt(len(about) - 1)
    return np.linalg.norm(output - reference) / np.sqrt(len(about)) / spread


class Tagger(nn.Module):
    """Scores for every step, and one score for every sequence."""

    def __init__(self, batch_first=False):
        super().__init__()
        self.rnn = nn.GRU(4, 6, batch_first=batch_first)
        self.readout = nn.Linear(6, 3)

    def forward(self, x, lengths=None):
        output, h = self.rnn(x, lengths=lengths)
        return self.readout(output), {"last": h[0]}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def data_of(rng, batch_first=False):
    shape = (5, 7, 4) if batch_first else (7, 5, 4)
    return [rng.standard_normal(shape, dtype=f32) * scale + 1 for scale in (1, 2)]


@pytest.mark.parametrize("batch_first", (False, True))
def test_error_worst_and_decisions(rng, batch_first):
    model, data = Tagger(batch_first), data_of(rng, batch_first)
    quantized = qrnn.quantize_dynamic(model)
    row = measure({"float": model, "int8": quantized}, data)[1]
    results = [[each(x) for x in data] for each in (model, quantized)]
    scores = [np.concatenate([scores.reshape(-1, 3) for scores, _ in each]) for each in results]
    last = [np.concatenate([found["last"] for _, found in each]) for each in results]
    assert [each.name for each in row.outputs] == ["output[0]", "output[1]['last']"]
    assert row.outputs[0].error == pytest.approx(relative(*scores), rel=1e-12)
    assert row.outputs[1].error == pytest.approx(relative(*last), rel=1e-12)
    assert row.error == max(each.error for each in row.outputs)
    about = scores[0].astype(float) - scores[0].mean(axis=0, dtype=float)
    spread = np.sqrt((about**2).sum() / (len(about) - 1) / 3)
    largest = np.abs(scores[0].astype(float) - scores[1]).max()
    assert row.outputs[0].worst == pytest.approx(largest / spread, rel=1e-12)
    assert row.outputs[0].changed == np.mean(scores[0].argmax(-1) != scores[1].argmax(-1))
    assert row.nbytes == quantized.nbytes


def test_the_first_model_has_no_error(rng):
    report = measure({"float": Tagger(), "another": Tagger()}, data_of(rng))
    first, second = report
    assert (first.error, first.worst, first.changed) == (0, 0, 0) and second.error > 0.3
    assert all(layer.error == 0 for layer in first.layers)


@pytest.mark.parametrize("batch_first", (False, True))
def test_by_step(rng, batch_first):
    model, data = Tagger(batch_first), data_of(rng, batch_first)
    other = qrnn.quantize_dynamic(model)
    found = measure({"float": model, "int8": other}, data)[1].outputs[0].by_step
    axis = 1 if batch_first else 0
    exact, rough = (np.concatenate([m(x)[0] for x in data], axis=1 - axis).astype(float) for m in (model, other))
    columns = exact.reshape(-1, 3)
    spread = np.sqrt(((columns - columns.mean(axis=0)) ** 2).sum() / (len(columns) - 1))
    squares = ((rough - exact) ** 2).sum(-1).mean(axis=1 - axis)
    np.testing.assert_allclose(found, np.sqrt(squares) / spread, rtol=1e-12)


@pytest.mark.parametrize("batch_first", (False, True))
@pytest.mark.parametrize("given", ("keyword", "position", "dict at the end"))
def test_padding_is_left_out(rng, batch_first, given):
    """Whatever stands in the padding, and wherever the lengths are given."""
    model, (x, _) = Tagger(batch_first), data_of(rng, batch_first)
    lengths = [7, 2, 5, 1, 3]
    item = {
        "keyword": {"x": x, "lengths": lengths},
        "position": (x, lengths),
        "dict at the end": (x, {"lengths": lengths}),
    }
    quantized = qrnn.quantize_dynamic(model)
    row = measure({"float": model, "int8": quantized}, [item[given]])[1]
    rows = []
    for each in (model, quantized):
        scores = each(x, lengths=lengths)[0]
        scores = scores if batch_first else scores.swapaxes(0, 1)
        rows.append(np.concatenate([scores[i, :n] for i, n in enumerate(lengths)]))
    assert row.outputs[0].error == pytest.approx(relative(*rows), rel=1e-12)
    assert len(row.outputs[0].by_step) == 7
    layer = row.layers[0]
    h = [
        np.concatenate([(o if batch_first else o.swapaxes(0, 1))[i, :n] for i, n in enumerate(lengths)])
        for o in (m.rnn(x, lengths=lengths)[0] for m in (model, quantized))
    ]
    assert layer.name == "rnn" and layer.error == pytest.approx(relative(*h), rel=1e-12)


def test_an_output_of_one_number_a_step_has_its_padding_left_out(rng):
    """Of two axes, where there are lengths: (steps, batch)."""

    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.readout = nn.LSTM(4, 6), nn.Linear(6, 1)

        def forward(self, x, lengths=None):
            return self.readout(self.rnn(x, lengths=lengths)[0])[..., 0]

    model, (x, _), lengths = Detector(), data_of(rng), [7, 2, 5, 1, 3]
    quantized = qrnn.quantize_dynamic(model)
    row = measure({"float": model, "int8": quantized}, [(x, lengths)])[1]
    rows = [np.concatenate([m(x, lengths)[:n, i, None] for i, n in enumerate(lengths)]) for m in (model, quantized)]
    assert row.error == pytest.approx(relative(*rows), rel=1e-12) and row.changed is None


def test_layers_and_cells(rng):
    """A cell that is called step by step has an error for each step."""

    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.readout = nn.LSTMCell(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            state = None
            for step in x:
                state = self.cell(step, state)
            return self.readout(state[0])

    model, data = Steps(), data_of(rng)
    quantized = qrnn.quantize_dynamic(model)
    report = measure({"float": model, "int8": quantized}, data)
    cell, readout = report[1].layers
    assert (cell.name, readout.name) == ("cell", "readout") and len(cell.by_step) == 7

    def states(model):
        for x in data:
            state = None
            for step in x:
                state = model.cell(step, state)
                yield state[0]

    assert cell.error == pytest.approx(relative(*(np.concatenate(list(states(m))) for m in (model, quantized))))
    assert "cell" in str(report) and report._repr_html_().count("<table>") == 2
    assert not measure({"float": model, "int8": quantized}, data, layers=False)[1].layers


def test_a_metric_of_the_users(rng):
    model, data = Tagger(), data_of(rng)
    quantized = qrnn.quantize_dynamic(model)
    seen = []

    def metric(reference, output):
        seen.append((reference, output))
        return np.abs(reference[0] - output[0]).max()

    row = measure({"float": model, "int8": quantized}, [(x, {"lengths": [7, 2, 5, 1, 3]}) for x in data], metric)[1]
    values = []
    for x in data:
        difference = np.abs(model(x, [7, 2, 5, 1, 3])[0] - quantized(x, [7, 2, 5, 1, 3])[0])
        values.append(max(difference[:n, i].max() for i, n in enumerate([7, 2, 5, 1, 3])))
    assert row.error == pytest.approx(np.mean(values)) and len(seen) == 4
    assert set(seen[0][0][1]) == {"last"} and not seen[0][0][0][2:, 1].any(), "padding is 0"


@pytest.mark.parametrize("value, error", [("0.5", TypeError), (float("nan"), ValueError), (-1.0, ValueError)])
def test_what_a_metric_may_not_return(rng, value, error):
    with pytest.raises(error, match="metric: expected it to return a number"):
        measure({"float": Tagger()}, data_of(rng), lambda reference, output: value)


def test_any_callable(rng):
    """Functions have no layers and no lengths of their own."""
    report = measure({"a": lambda x: np.sin(x), "b": lambda x: np.sin(x) * 1.01}, data_of(rng))
    rows = [
        np.concatenate([factor * np.sin(x).reshape(-1, 4) for x in data_of(np.random.default_rng(5))])
        for factor in (1, 1.01)
    ]
    assert report[1].error == pytest.approx(relative(*rows), rel=1e-5)
    assert report[1].layers == () and report[1].nbytes is None


def test_outputs_of_other_widths_in_each_call():
    """Their numbers are one column."""
    data = [np.arange(n, dtype=f32)[None] for n in (3, 5)]
    row = measure({"a": np.sin, "b": lambda x: np.sin(x) + f32(0.5)}, data)[1]
    exact = np.concatenate([np.sin(x)[0] for x in data])[:, None]
    assert row.error == pytest.approx(relative(exact, exact + 0.5), rel=1e-5) and row.changed is None


def test_a_single_row_is_relative_to_its_own_size():
    row = measure({"a": lambda x: x, "b": lambda x: x + f32(0.5)}, [np.full((1, 4), 2, f32)])[1]
    assert row.error == pytest.approx(0.25)


def test_outputs_that_are_not_finite(rng):
    data = data_of(rng)
    assert measure({"a": np.sin, "b": lambda x: np.full_like(x, np.nan)}, data)[1].error == np.inf
    with pytest.raises(ValueError, match=r"data\[0\]: the output of the reference is not finite"):
        measure({"a": lambda x: np.full_like(x, np.inf)}, data)


def test_times_are_of_interleaved_rounds(rng):
    calls = []
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    turns = [name for place, name in enumerate(calls) if not place or calls[place - 1] != name]
    assert len(turns) >= 5, "each round calls both"
    assert all(each.low <= each.median <= each.high for each in times.values())
    row = measure({"float": Tagger()}, data_of(rng), rounds=2)[0]
    assert row.seconds.median > 0 and measure({"float": Tagger()}, data_of(rng))[0].seconds is None


def test_the_report(rng):
    model, data = Tagger(), data_of(rng)
    report = measure({"float": model, "int8": qrnn.quantize_dynamic(model)}, data, rounds=1)
    found = report.to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["rows"][1]["layers"][0]["name"] == "rnn" and len(found["rows"][1]["outputs"]) == 2
    text = str(report)
    assert text.splitlines()[0].split() == [
        "model",
        "error",
        "worst",
        "decisions",
        "changed",
        "bytes",
        "ms",
        "quartiles",
    ]
    assert "layer, error" in text and f"{model.nbytes:,}" in text
    page = report._repr_html_()
    assert page.count("<table>") == 2 and "script" not in page


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        (([], [np.zeros(3)]), TypeError, "models: expected a mapping of names to models, got list"),
        (({}, [np.zeros(3)]), ValueError, "models: expected at least one model"),
        (({"a": 3}, [np.zeros(3)]), TypeError, "models: expected a callable for 'a', got int"),
        (({"a": np.sin}, np.zeros(3)), TypeError, "data: expected a list of inputs.*got ndarray: put it into a list"),
        (({"a": np.sin}, {"x": np.zeros(3)}), TypeError, "data: expected a list of inputs"),
        (({"a": np.sin}, 3), TypeError, "data: expected a list of inputs"),
        (({"a": np.sin}, []), ValueError, "data: expected at least one input, got none"),
        (({"a": np.sin}, [()]), ValueError, r"data\[0\]: expected an input, got an empty tuple"),
        (({"a": np.sin}, [{1: 2}]), TypeError, r"data\[0\]: expected names of arguments as keys, got 1"),
        (({"a": np.sin}, [np.zeros(3)], 3), TypeError, "metric: expected a function"),
        (
            ({"a": lambda x: None}, [np.zeros(3)]),
            TypeError,
            r"data\[0\]: expected a model that returns arrays",
        ),
        (({"a": np.sin, "b": lambda x: x[:2]}, [np.zeros(3, f32)]), ValueError, "b: expected output of as many rows"),
        (({"a": np.sin, "b": lambda x: (x,)}, [np.zeros(3, f32)]), ValueError, "b: expected the outputs of the refer"),
    ],
)
def test_mistakes(arguments, error, text):
    with pytest.raises(error, match=text):
        measure(*arguments)


def test_models_are_left_as_they_were(rng):
    model = Tagger()
    before = [type(each) for each in model.modules()]
    measure({"float": model}, data_of(rng))
    assert [type(each) for each in model.modules()] == before
