"""Progress bars of long work: where they come, what switches them, and what they count."""

from __future__ import annotations

import io
import sys
import types

import numpy as np
import pytest
from support.progress_bars import record_bars

import qrnn
from qrnn import _progress, nn

DATA = [np.ones((5, 2, 3), np.float32)] * 4


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture
def nowhere(monkeypatch):
    """Neither a terminal nor a notebook, and nobody has said anything."""
    monkeypatch.setattr(_progress, "_chosen", None)
    monkeypatch.delenv("QRNN_PROGRESS", raising=False)
    monkeypatch.setattr(sys, "stderr", Stream(False))
    monkeypatch.setitem(sys.modules, "IPython", None)
    return monkeypatch


def test_bars_are_for_terminals_and_notebooks(nowhere):
    assert not _progress.wanted()
    nowhere.setattr(sys, "stderr", Stream(True))
    assert _progress.wanted()
    nowhere.setattr(sys, "stderr", None)  # of a program without a console
    assert not _progress.wanted()
    shell = types.SimpleNamespace(kernel=object())
    nowhere.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert _progress.wanted()
    del shell.kernel  # IPython in a pipe
    assert not _progress.wanted()


def test_one_switch(nowhere):
    """A call's own word, then the function's, then the environment's, then where it runs."""
    nowhere.setenv("QRNN_PROGRESS", "1")
    assert _progress.wanted()
    qrnn.set_progress(False)
    assert not _progress.wanted() and _progress.wanted(True)
    qrnn.set_progress(True)
    nowhere.setenv("QRNN_PROGRESS", "0")
    assert _progress.wanted() and not _progress.wanted(False)
    qrnn.set_progress(None)
    assert not _progress.wanted()
    with pytest.raises(TypeError, match="show: expected True, False or None, got str"):
        qrnn.set_progress("no")


def bars_of(monkeypatch, work):
    bars = record_bars(monkeypatch)
    work()
    return [(each.text, each.total, each.done, each.closed) for each in bars]


def test_what_is_counted(monkeypatch):
    """Inputs of the reference and of each model, and then each model in each round and in the one before."""
    model = nn.GRU(3, 4)
    models = {"float": model, "int8": qrnn.quantize_dynamic(model)}
    measured = 4 * 3 + 2 * (5 + 1)
    assert bars_of(monkeypatch, lambda: qrnn.compare(models, DATA, rounds=5)) == [
        ("measuring", measured, measured, True)
    ]
    assert bars_of(monkeypatch, lambda: list(qrnn.map(model, DATA))) == [("batches", 4, 4, True)]
    assert bars_of(monkeypatch, lambda: qrnn.summary(model, DATA, rounds=5)) == [("summary", 12, 12, True)]


def test_an_error_removes_the_bar(monkeypatch):
    bars = record_bars(monkeypatch)
    with pytest.raises(qrnn.BatchError):
        list(qrnn.map(nn.GRU(3, 4), [*DATA, "no array"]))
    assert [(each.done, each.closed) for each in bars] == [(4, True)]


def test_short_work_is_silent_and_imports_nothing(monkeypatch):
    bars = record_bars(monkeypatch, delay=100.0)
    monkeypatch.delitem(sys.modules, "tqdm.auto")
    list(qrnn.map(nn.GRU(3, 4), DATA))
    assert not bars and "tqdm.auto" not in sys.modules


def test_without_tqdm_nothing_is_shown(monkeypatch):
    bars = record_bars(monkeypatch)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert len(list(qrnn.map(nn.GRU(3, 4), DATA))) == 4 and not bars


def test_a_bar_of_tqdms(nowhere):
    pytest.importorskip("tqdm", reason="TQDM IS NOT INSTALLED: no bar of its was drawn")
    nowhere.setattr(_progress, "DELAY", 0.0)
    nowhere.setattr(sys, "stderr", Stream(True))
    assert len(list(qrnn.map(nn.GRU(3, 4), DATA))) == 4
    assert "batches:" in sys.stderr.getvalue()
