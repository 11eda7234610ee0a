"""A stand-in for tqdm that records its calls."""

from __future__ import annotations

import sys
import types

__all__ = ["record_bars"]


class Bar:
    """One bar: its text, how many steps it has, how many were counted, and whether it was removed."""

    def __init__(self, total, desc, leave, initial):
        assert not leave
        self.total, self.text, self.done, self.closed = total, desc, initial, False

    def update(self, steps):
        self.done += steps

    def close(self):
        self.closed = True


def record_bars(monkeypatch, delay=0.0):
    """Record all bars from here on in a list, as if each task took longer than `delay`."""
    bars = []

    def made(**options):
        bars.append(Bar(**options))
        return bars[-1]

    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = made
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    monkeypatch.setattr("qrnn._progress.DELAY", delay)
    monkeypatch.setattr("qrnn._progress._chosen", True)
    return bars
