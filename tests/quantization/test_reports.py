"""Reports: rows that print as a table, as HTML and as plain values, of one kind."""

from __future__ import annotations

import html.parser
import json
import pickle

import numpy as np
import pytest

import qrnn
from qrnn import nn
from qrnn._report import percent


def calibrated():
    qrnn.manual_seed(1)
    model = qrnn.prepare(nn.Sequential(nn.RNNCell(5, 4), nn.Linear(4, 2)), qconfig={})
    model(np.random.default_rng(0).standard_normal((30, 5), dtype=np.float32))
    return qrnn.convert(model)


class Page(html.parser.HTMLParser):
    """The texts of the cells of a table, and the names of all tags."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        assert {name for name, _ in attrs} <= {"class", "scope", "role", "tabindex", "aria-label"}, "no script"
        self.tags.append(tag)

    def handle_data(self, data):
        if self.tags[-1] != "style":
            self.cells.append(data)


def test_a_report_is_text_html_and_plain_values():
    report = qrnn.quantization.calibration_report(calibrated())
    found = report.to_dict()
    assert [row["name"] for row in found["rows"]] == ["0.weight_ih", "0.weight_hh", "1.weight"]
    assert json.loads(json.dumps(found)) == found
    page = Page(report._repr_html_())
    assert set(page.tags) <= {"div", "style", "table", "thead", "tbody", "tr", "th", "td", "p"}
    weights, layers = (table.splitlines() for table in str(report).split("\n\n"))
    layers, said = layers[:-1], layers[-1]
    assert len(weights) == 4 and len(layers) == 4 and layers[-1].startswith("the model ")
    assert said.startswith("Decisions of the model unlike the float model's: ")
    assert all(len({len(line) for line in table}) == 1 for table in (weights, layers))
    assert [cell for cell in page.cells if cell not in str(report)] == []


def test_parts_of_a_report_are_reports():
    report = qrnn.quantization.calibration_report(calibrated())
    assert type(report[1:]) is type(report) and list(report[1:]) == list(report)[1:]
    assert report.layers and report.models and not report[1:].layers and not report[1:].models
    assert len(report[:0]) == 0 and str(report[:0]) == "no weight was rounded by data"
    assert report[:0]._repr_html_().endswith("<p>no weight was rounded by data</p></div>")
    assert str(pickle.loads(pickle.dumps(report))) == str(report)


def test_reports_that_version_0_1_0_pickled():
    report = qrnn.quantization.calibration_report(calibrated())
    old = type(report).__new__(type(report))
    old.__setstate__({"_weights": tuple(report)})
    assert str(old) == str(report[:]) and not old.layers


@pytest.mark.parametrize(
    "value, text",
    [(None, ""), (0.0, "0.00%"), (0.123456, "12.3%"), (0.0123456, "1.23%"), (0.000123456, "0.0123%"), (3.4, "340%"),
     (0.9999, "100%"), (1.0, "100%"), (0.5, "50.0%")],
)  # fmt: skip
def test_percentages_have_three_digits(value, text):
    assert percent(value) == text
