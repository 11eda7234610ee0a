"""What notebooks show of modules, reports and quantized matrices: escaped, well formed, bounded, without scripts."""

from __future__ import annotations

import html.parser

import numpy as np
import pytest

import qrnn
from qrnn import nn
from qrnn._html import LIMIT

TAGS = {"div", "style", "details", "summary", "code", "span", "p", "table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"class", "scope", "role", "tabindex", "aria-label", "open", "colspan"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>&lt;'


class Page(html.parser.HTMLParser):
    """The tags, checked to be closed in turn, and the texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.depth = [], [], [], 0
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS and {name for name, _ in attrs} <= ATTRIBUTES, (tag, attrs)
        self.open.append(tag)
        self.tags.append(tag)
        self.depth = max(self.depth, len(self.open))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "style":
            self.texts.append(data)


def text_of(thing):
    return " ".join(Page(thing._repr_html_()).texts)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.readout = nn.GRU(4, 6), nn.Linear(6, 3)
        self.add_module(HOSTILE.replace(".", ""), nn.Linear(3, 2))

    def extra_repr(self):
        return HOSTILE


def test_a_module_folds_out_into_its_weights():
    model = Model()
    for each in (model, qrnn.quantize_dynamic(model)):
        page = Page(each._repr_html_())
        assert page.tags.count("details") == 4 and page.tags.count("table") == 3
        assert "weight_hh_l0" in page.texts and "18 x 6" in page.texts and HOSTILE in "".join(page.texts)
    assert "int8 x u8" in " ".join(page.texts)


def test_names_are_escaped_in_every_place():
    model = Model()
    data = [np.ones((3, 2, 4), np.float32)]

    class Hostile(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module(HOSTILE.replace(".", ""), nn.GRU(4, 6))

        def forward(self, x):
            return getattr(self, HOSTILE.replace(".", ""))(x)

    hostile = Hostile()
    reports = [
        qrnn.summary(model),
        qrnn.summary(hostile, data, rounds=1),
        qrnn.compare({HOSTILE: hostile, "b" + HOSTILE: qrnn.quantize_dynamic(hostile)}, data, rounds=1),
        qrnn.quantization.measure({HOSTILE: hostile, "b": hostile}, data),
    ]
    for report in reports:
        assert HOSTILE.replace(".", "") in text_of(report)


def test_a_quantized_matrix():
    weight = qrnn.Linear(64, 40).get_weight()["weight"]
    text = text_of(weight)
    assert "2,560 codes" in text and "QTensor(shape=(40, 64)" in text and "112 to 127" in text
    counts = np.histogram(weight.int_repr(), bins=np.arange(-128, 129, 16))[0]
    assert all(f"{count:,}" in text.split() for count in counts)
    assert "0 codes" in text_of(qrnn.QTensor(np.zeros((0, 3), np.int8), np.float32(1)))
    assert "scale 0.5" in text_of(qrnn.QTensor(np.zeros((2, 3), np.int8), np.float32(0.5)))


def test_ten_thousand_layers_are_under_a_megabyte():
    flat = nn.Sequential(*(nn.Linear(3, 3) for _ in range(10_000)))
    blocks = nn.Sequential(*(nn.Sequential(*(nn.Linear(3, 3) for _ in range(100))) for _ in range(100)))
    for model in (flat, blocks):
        page = model._repr_html_()
        assert len(page.encode()) < 1e6 and "more" in text_of(model)
        assert len(Page(page).tags) > 500
    report = qrnn.summary(flat)
    assert len(report) == 10_000 and len(report._repr_html_().encode()) < 1e6
    assert f"and {10_000 - text_of(report).count('Linear('):,} more" in text_of(report)
    assert LIMIT < 1e6


def test_names_of_any_length():
    model = nn.Sequential()
    for index in range(50):
        model.add_module(f"{index}" + "x" * 100_000, nn.Linear(3, 3))
    assert len(model._repr_html_().encode()) < 1e6 and len(qrnn.summary(model)._repr_html_().encode()) < 1e6


def test_modules_in_modules_in_modules():
    model = nn.Linear(3, 3)
    for _ in range(300):
        model = nn.Sequential(model)
    page = Page(model._repr_html_())
    assert page.depth < 60 and "and 1 more module" in page.texts
    model = nn.Sequential(nn.Linear(3, 3))
    model.again = model
    Page(model._repr_html_())


def test_quantized_layers_of_torch():
    torch = pytest.importorskip("torch", reason="PYTORCH IS NOT INSTALLED: its layers were not shown")
    import qrnn.torch as qnn

    layer = qnn.quantize_dynamic(torch.nn.LSTM(4, 6))
    assert "weight_hh_l0" in text_of(layer) and "int8" in text_of(layer) and "24 x 6" in text_of(layer)
    assert "codes" in text_of(layer.get_weight()["weight_hh_l0"])
