"""examples/server: every answer is the model's, whatever becomes of connections and whatever others send."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time

import pytest
from support import ROOT, assert_same_bits
from support.serving import INPUTS, WINDOW, exchange, frames_of, until

import qrnn
from qrnn import nn

FOLDER = ROOT / "examples" / "server"


def test_every_answer_is_the_models(serving, programs, model):
    async def body(server, uri):
        clients = [programs.load.Client(uri, frames_of(n, 20, n)) for n in (1, 5, 8)]
        for client in clients:
            await client.connect()
        await asyncio.gather(*map(exchange, clients))
        for client in clients:
            assert_same_bits(client.y, model(client.x))
            await client.socket.close()
        await until(lambda: not len(server.engine.stream))  # who says goodbye is forgotten
        assert server.metrics.frames == 20 * 14 and server.metrics.steps < 20 * 14

    serving(body)


def test_a_session_goes_on_after_its_connection(serving, programs, model):
    """The connection breaks after each message, before or after the answers were read."""

    async def body(server, uri):
        client = programs.load.Client(uri, frames_of(4, 16))
        await client.connect()
        turn = 0
        while not client.done:
            for _ in range(1 + turn % WINDOW):
                await client.send()
            if turn % 2:
                await client.receive()
            client.socket.transport.abort()
            turn += 1
            await client.connect()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(client.receive(), 0.5 if (client.sent > client.got).any() else 0.01)
        assert turn > 4 and not client.errors
        assert_same_bits(client.y, model(client.x))

    serving(body)


def test_a_second_connection_takes_over(serving, programs, websockets, model):
    async def body(server, uri):
        client = programs.load.Client(uri, frames_of(2, 8))
        await client.connect()
        await client.send()
        old = client.socket
        await client.connect()
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            while True:
                await old.recv()
        await exchange(client)
        assert_same_bits(client.y, model(client.x))
        assert len(server.engine.sessions) == 1

    serving(body)


def test_a_session_that_nobody_comes_back_for(serving, programs):
    async def body(server, uri):
        client = programs.load.Client(uri, frames_of(4, 8))
        await client.connect()
        await client.send()
        client.socket.transport.abort()
        await until(lambda: not server.engine.sessions and not len(server.engine.stream))
        with pytest.raises(RuntimeError, match="token: expected one that this server gave"):
            await client.connect()

    serving(body, keep=0.05)


def test_metrics_are_prometheus_text(serving, programs):
    async def body(server, uri):
        client = programs.load.Client(uri, frames_of(3, 8))
        await client.connect()
        await exchange(client)
        found = await asyncio.to_thread(programs.load.metrics, uri)
        assert found["qrnn_frames_total"] == 24 and found["qrnn_streams"] == 3 and found["qrnn_connections"] == 1
        assert found['qrnn_wait_seconds_bucket{le="+Inf"}'] == found["qrnn_wait_seconds_count"] == 24
        assert found["qrnn_step_seconds_count"] == found["qrnn_steps_total"] >= 8

    serving(body)


@pytest.mark.parametrize("pause", [0, 0.5], ids=["waiting", "in-a-step"])
def test_what_was_accepted_is_answered_before_the_end(pause, programs, websockets, model):
    async def body():
        engine = programs.engine.Engine(model, INPUTS, window=WINDOW)
        step = engine.step

        def slow_step(taken):
            time.sleep(pause)
            return step(taken)

        engine.step = slow_step
        server = programs.server.Server(engine, programs.server.Limits(tick=0.1))
        uri, stop = f"ws://127.0.0.1:{await server.start()}", asyncio.Event()
        client = programs.load.Client(uri, frames_of(3, WINDOW))
        await client.connect()
        for _ in range(WINDOW):
            await client.send()
        await until(lambda: engine.accepted.sum() == 3 * WINDOW)
        if pause:
            await until(lambda: not any(session.waiting for session in engine.sessions.values()))
        stop.set()
        served = asyncio.create_task(server.serve_until(stop))
        while not client.done:
            await client.receive()
        assert_same_bits(client.y, model(client.x))
        with pytest.raises(websockets.exceptions.ConnectionClosedOK) as closed:
            await client.receive()
        assert closed.value.rcvd.code == 1001
        await served
        with pytest.raises(OSError):
            await client.connect()

    asyncio.run(body())


def test_a_step_that_fails_ends_the_server(programs, websockets, model):
    async def body():
        engine = programs.engine.Engine(model, INPUTS)
        server = programs.server.Server(engine)
        client = programs.load.Client(f"ws://127.0.0.1:{await server.start()}", frames_of(1, 1))
        await client.connect()
        engine.stream = None
        await client.send()
        with pytest.raises((TypeError, AttributeError)):
            await asyncio.wait_for(server.serve_until(asyncio.Event()), 30)

    asyncio.run(body())


def test_the_programs_run(programs, websockets, tmp_path):
    """Server and load as their user starts them; connections break off, and a signal ends the server."""
    path = tmp_path / "model.safetensors"
    qrnn.save(qrnn.quantize_dynamic(nn.Sequential(nn.Linear(4, 2))), path)
    command = [sys.executable, str(FOLDER / "server.py"), "--port", "0"]
    for options, uses in (([], True), (["--model", str(path), "--inputs", "4"], False)):
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as server:
            try:
                uri = server.stdout.readline().strip()
                if uses:
                    load = [sys.executable, str(FOLDER / "load.py"), "--uri", uri, "--clients", "2", "--streams", "8"]
                    load += ["--frames", "40", "--seconds", "1", "--vanish", "4"]
                    done = subprocess.run(load, capture_output=True, text=True, timeout=120, check=False)
                    assert done.returncode == 0, done.stderr
                    assert " 0 wrong or lost" in done.stdout
            finally:
                server.send_signal(signal.SIGTERM)
            assert uri.startswith("ws://127.0.0.1:") and server.wait(60) == 0
