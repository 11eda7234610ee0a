"""What the tests of examples/server run on."""

from __future__ import annotations

import asyncio
import importlib
import sys
import types

import pytest
from support import ROOT
from support.serving import INPUTS, WINDOW, Model

import qrnn

FOLDER = ROOT / "examples" / "server"
NAMES = ("engine", "metrics", "server", "load")


@pytest.fixture
def programs(monkeypatch):
    """The files of examples/server as modules, whose names are common ones."""
    if not FOLDER.exists():
        pytest.skip("NO examples/: the server did not run")
    monkeypatch.syspath_prepend(str(FOLDER))
    yield types.SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    for name in NAMES:
        sys.modules.pop(name)


@pytest.fixture
def websockets():
    return pytest.importorskip("websockets", reason="WEBSOCKETS IS NOT INSTALLED: the server did not run")


@pytest.fixture(scope="module")
def model():
    qrnn.manual_seed(3)
    return qrnn.quantize_dynamic(Model())


@pytest.fixture
def engine(programs, model):
    return programs.engine.Engine(model, INPUTS, streams=8, own=6, window=WINDOW)


@pytest.fixture
def serving(programs, websockets, model):
    """Run a coroutine function with a server and its address; the server stops after it, without an error."""

    def run(body, streams=64, **limits):
        async def all_of_it():
            engine = programs.engine.Engine(model, INPUTS, streams=streams, own=32, window=WINDOW)
            server = programs.server.Server(engine, programs.server.Limits(**{"tick": 0.001, **limits}))
            uri, stop = f"ws://127.0.0.1:{await server.start()}", asyncio.Event()
            served = asyncio.create_task(server.serve_until(stop))
            try:
                await asyncio.wait_for(body(server, uri), 60)
            finally:
                stop.set()
                await served

        asyncio.run(all_of_it())

    return run
