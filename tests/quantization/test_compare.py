"""compare: its figures against the same written anew in float64, its sentences, its pictures, and sessions."""

from __future__ import annotations

import json

import numpy as np
import pytest

import qrnn
from qrnn import _figures, nn
from qrnn._compared import apart
from qrnn._timing import in_rounds, spread

f32 = np.float32


class Tagger(nn.Module):
    """Scores of each step, batch first."""

    def __init__(self):
        super().__init__()
        self.rnn, self.readout = nn.GRU(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x, lengths=None):
        return self.readout(self.rnn(x, lengths=lengths)[0])


LENGTHS = [7, 2, 5, 0, 3]


@pytest.fixture
def compared():
    """Model, quantized model, data and report."""
    qrnn.manual_seed(3)
    model, rng = Tagger(), np.random.default_rng(5)
    quantized = qrnn.quantize_dynamic(model)
    data = [(rng.standard_normal((5, 7, 4), dtype=f32), LENGTHS), (rng.standard_normal((2, 4, 4), dtype=f32),)]
    return model, quantized, data, qrnn.compare({"float": model, "int8": quantized}, data, rounds=4)


def valid_rows(model, data):
    """float64 scores of each row of each batch, without padding."""
    for args in data:
        scores = model(*args).astype(np.float64)
        for row, length in zip(scores, args[1] if len(args) > 1 else [scores.shape[1]] * len(scores), strict=True):
            yield row[:length]


def test_errors_by_row_and_agreement(compared):
    model, quantized, data, report = compared
    exact, rough = list(valid_rows(model, data)), list(valid_rows(quantized, data))
    every = np.concatenate(exact)
    scale = np.sqrt(((every - every.mean(axis=0)) ** 2).sum() / (len(every) - 1))
    wanted = [np.sqrt(((a - b) ** 2).sum() / max(1, len(a))) / scale for a, b in zip(rough, exact, strict=True)]
    row = report.row("int8")
    np.testing.assert_allclose(row.outputs[0].by_row, wanted, rtol=1e-12)
    assert row.outputs[0].by_row[3] == 0 and len(row.outputs[0].by_step) == 7, "a row of length 0 has no error"
    assert row.error == pytest.approx(
        np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(rough, exact, strict=True)) / 25) / scale
    )
    same = np.concatenate(rough).argmax(axis=1) == every.argmax(axis=1)
    assert row.agreement == pytest.approx(same.mean())
    assert (row.nbytes, report[0].nbytes) == (quantized.nbytes, model.nbytes)
    assert [layer.name for layer in row.layers] == ["rnn", "readout"] and report[0].error == 0


def test_rows_of_states_belong_to_rows_of_the_batch():
    """h_n is (layers, batch, columns)."""
    qrnn.manual_seed(0)
    model, x = nn.GRU(3, 5, num_layers=2), np.random.default_rng(0).standard_normal((6, 4, 3), dtype=f32)
    quantized = qrnn.quantize_dynamic(model)
    found = qrnn.compare({"float": model, "int8": quantized}, [x], rounds=0)[1].outputs
    exact, rough = (m(x)[1].astype(float) for m in (model, quantized))
    every = exact.reshape(-1, 5)
    scale = np.sqrt(((every - every.mean(axis=0)) ** 2).sum() / (len(every) - 1))
    wanted = np.sqrt(((rough - exact) ** 2).sum(-1).mean(axis=0)) / scale
    assert [each.name for each in found] == ["output[0]", "output[1]"]
    np.testing.assert_allclose(found[1].by_row, wanted, rtol=1e-12)


def test_times_are_ratios_within_rounds(compared):
    report = compared[3]
    times = {name: np.array(each) for name, each in report._times.items()}
    assert report.facts == {
        "calls": 2,
        "rows": 7,
        "steps": 25,
        "rounds": 4,
        "threads": report.facts["threads"],
        "metric": None,
    }
    for row in report:
        np.testing.assert_allclose(row.microseconds[0], 1e6 * np.median(times[row.name]) / 25)
        np.testing.assert_allclose(row.time, np.quantile(times[row.name] / times["float"], (0.5, 0.25, 0.75)))
    assert report[0].time == (1, 1, 1)
    assert report.time_ratio("float", "int8") == spread(times["float"] / times["int8"])
    ours, theirs = (np.array(report.row(name).outputs[0].by_row) for name in ("int8", "int8"))
    assert report.error_ratio("int8", "int8") == (1, 1, 1) and report.error_ratio("int8", "float") is None
    assert len(ours) == len(theirs) == 7
    with pytest.raises(KeyError, match="expected one of float, int8, got int4"):
        report.time_ratio("int4", "float")


def test_rounds_come_in_new_orders_and_repeat_what_is_short():
    calls = []
    times = in_rounds({name: lambda name=name: calls.append(name) for name in "abc"}, 5)
    assert all(len(each) == 5 and 0 < min(each) < 1e-4 for each in times.values()) and len(calls) > 1000
    rounds = [name for place, name in enumerate(calls) if not place or calls[place - 1] != name]
    orders = {tuple(rounds[start : start + 3]) for start in range(0, len(rounds) - 2, 3)}
    assert len(orders) > 1


def test_the_report_as_text_html_and_values(compared):
    report = compared[3]
    text = str(report)
    assert text.splitlines()[0].split() == [
        "model", "error", "worst", "agreement", "bytes", "µs", "a", "step", "quartiles", "time",
    ]  # fmt: skip
    assert "int8 against float: error " in text and "What does not follow:" in text and "layer, error" in text
    found = report.to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["steps"] == 25 and found["rows"][1]["outputs"][0]["by_row"]
    hostile = qrnn.compare({"<script>x": np.sin, "&": np.cos}, [np.ones((2, 3), f32)], rounds=0)
    page = hostile._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;x" in page
    assert "µs" not in str(hostile) and "times: none were taken" in str(hostile)


def test_sentences_say_no_more_than_the_figures(compared):
    assert [apart(0.5, 0.9), apart(0.9, 1.1), apart(1.1, 1.2), apart(1.0, 1.2)] == [-1, 0, 1, 0]
    model, _, data, _ = compared
    report = qrnn.compare({"a": model, "b": model}, data, rounds=8)
    said = report.to_dict()
    assert report[1].error == 0 and "error 0.00%, 100% of the decisions kept, 1.00 of the bytes" in said["follows"][0]
    (line,) = said["does_not_follow"]
    assert "b changed none on 7 rows" in line and "under 42.9%" in line
    by_metric = qrnn.compare({"a": model, "b": model}, data, lambda a, b: 0.0, rounds=0)
    assert "agreement with a model is none" in line and "agreement" not in str(by_metric).splitlines()[-1]
    assert by_metric.facts["metric"] == "<lambda>"
    several = qrnn.compare({"a": model, "b": model, "c": model}, data, rounds=0)
    assert "none of the models changed one on 7 rows" in " ".join(str(several).split())


def test_a_part_of_a_report_is_against_the_same_model(compared):
    report = compared[3]
    assert "int8 against float: error" in str(report[1:]) and "layer, error" in str(report[1:])
    assert "against" not in str(report[:1]) and len(report[:0]) == 0 and report[:0]._repr_html_()
    assert report[1:].to_dict()["follows"] == report.to_dict()["follows"]


def test_without_a_layer_times_are_of_calls():
    report = qrnn.compare({"a": np.sin, "b": np.cos}, [np.ones((2, 3), f32)] * 3, rounds=2)
    assert report.facts["steps"] is None and report.facts["calls"] == 3
    assert "µs a call" in str(report) and report[1].nbytes is None and len(report[1].outputs[0].by_row) == 6


@pytest.mark.parametrize("dark", (None, False, True))
def test_pictures(compared, dark):
    pytest.importorskip("matplotlib", reason="MATPLOTLIB IS NOT INSTALLED: no picture was drawn")
    report = compared[3]
    page = report.plot(dark=dark)
    by_step, against, by_row, agreement = page.axes
    row = report.row("int8")
    np.testing.assert_allclose(by_step.lines[0].get_ydata(), 100 * np.array(row.outputs[0].by_step))
    np.testing.assert_allclose(by_row.lines[0].get_xdata()[1:], 100 * np.sort(row.outputs[0].by_row))
    assert {text.get_text() for text in against.texts} == {"float", "int8"}
    assert agreement.patches[0].get_width() == pytest.approx(100 * row.agreement)
    assert [len(part.plot().axes[2].lines) for part in (report[1:], report[:1], report[:0])] == [1, 1, 0]
    assert page._repr_png_().startswith(b"\x89PNG")
    alone = qrnn.compare({"a": lambda x: x[:, :1]}, [np.ones((2, 3), f32)], rounds=0).plot(dark=dark)
    assert [len(axes.texts) for axes in alone.axes] == [1, 1, 0, 1], "an empty picture says why it is"


def test_pictures_are_for_light_pages_and_dark_ones():
    def luminance(color):
        parts = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    def contrast(one, other):
        low, high = sorted(map(luminance, (one, other)))
        return (high + 0.05) / (low + 0.05)

    for color in _figures.COLORS:
        assert min(contrast(color, "#ffffff"), contrast(color, "#0d1117")) >= 3, color
    assert min(contrast(_figures.TEXTS[None], page) for page in ("#ffffff", "#0d1117")) >= 4
    assert contrast(_figures.TEXTS[False], "#ffffff") > 7 < contrast(_figures.TEXTS[True], "#0d1117")


def test_a_data_frame(compared):
    pandas = pytest.importorskip("pandas", reason="PANDAS IS NOT INSTALLED: to_pandas did not run")
    report = compared[3]
    frame = report.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and list(frame.index) == ["float", "int8"]
    assert frame.loc["int8", "error"] == report[1].error and frame.loc["int8", "time_low"] == report[1].time.low


def test_what_is_not_installed_is_named(compared, monkeypatch):
    for module, call, text in (
        ("pandas", compared[3].to_pandas, "to_pandas needs pandas"),
        ("matplotlib", compared[3].plot, "this needs matplotlib"),
    ):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(ImportError, match=text):
            call()
    with pytest.raises(TypeError, match="dark: expected True, False or None, got int"):
        compared[3].plot(dark=1)


# ---- sessions of ONNX Runtime


@pytest.fixture
def session():
    """A Linear, whose weights are given, as a session."""
    onnx = pytest.importorskip("onnx", reason="ONNX IS NOT INSTALLED: no session was compared")
    runtime = pytest.importorskip("onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: no session was compared")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT

    def made(layer, outputs=("y",)):
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)]
        nodes += [helper.make_node("Neg", ["y"], [name]) for name in outputs[1:]]
        arrays = {"w": layer.weight, "b": layer.bias}
        graph = helper.make_graph(
            nodes,
            "linear",
            [helper.make_tensor_value_info("x", kind, [None, layer.in_features])],
            [helper.make_tensor_value_info(name, kind, [None, layer.out_features]) for name in outputs],
            [onnx.numpy_helper.from_array(np.array(array), name) for name, array in arrays.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        data = model.SerializeToString()
        return runtime.InferenceSession(data, providers=["CPUExecutionProvider"]), len(data)

    return made


def test_sessions(session):
    qrnn.manual_seed(0)
    layer = nn.Linear(4, 3)
    onnx, size = session(layer)
    data = [np.random.default_rng(0).standard_normal((8, 4)), {"x": np.ones((2, 4), f32)}]
    models = {"float": lambda x: layer(x), "onnx": onnx, "int8": qrnn.quantize_dynamic(layer)}
    with pytest.raises(TypeError):
        qrnn.compare(models, data, rounds=0)  # a Linear calls its argument input
    report = qrnn.compare({"float": lambda x: layer(x), "onnx": onnx}, data, rounds=2)
    assert report[1].error < 1e-6 and report[1].nbytes == size and report[1].agreement == 1
    backwards = qrnn.compare({"onnx": onnx, "float": lambda x: [layer(x)]}, data, rounds=0)
    assert backwards[1].error < 1e-6, "the outputs of a session have no names: they go by their order"


def test_sessions_of_several_outputs(session):
    qrnn.manual_seed(0)
    layer, x = nn.Linear(4, 3), [np.ones((2, 4), f32)]
    onnx, _ = session(layer, ("y", "minus"))
    report = qrnn.compare({"float": lambda x: {"a": layer(x), "b": (-layer(x),)}, "onnx": onnx}, x, rounds=0)
    assert [each.name for each in report[1].outputs] == ["output['a']", "output['b'][0]"] and report[1].error < 1e-6


@pytest.mark.parametrize(
    "sample, text",
    [
        ((np.ones((2, 4), f32), np.ones(3)), "session: expected at most 1 inputs, got 2: x"),
        ({"input": np.ones((2, 4), f32)}, "session: expected inputs named x, got input"),
        ({"x": None}, "session: expected a value for its input x, got none"),
    ],
)
def test_mistakes_of_calls_of_sessions(session, sample, text):
    onnx, _ = session(nn.Linear(4, 3))
    with pytest.raises(TypeError, match=text):
        qrnn.compare({"onnx": onnx}, [sample], rounds=0)


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        (([], [np.zeros(3)]), TypeError, "models: expected a mapping of names to models, got list"),
        (({"a": 3}, [np.zeros(3)]), TypeError, "models: expected a callable for 'a', got int"),
        (({"a": np.sin}, np.zeros(3)), TypeError, "data: expected a list of inputs.*got ndarray"),
        (({"a": np.sin}, []), ValueError, "data: expected at least one input, got none"),
        (({"a": np.sin}, [np.zeros(3)], 3), TypeError, "metric: expected a function"),
    ],
)
def test_mistakes(arguments, error, text):
    with pytest.raises(error, match=text):
        qrnn.compare(*arguments)
    with pytest.raises(ValueError, match="rounds: expected at least 0, got -1"):
        qrnn.compare({"a": np.sin}, [np.zeros(3)], rounds=-1)
