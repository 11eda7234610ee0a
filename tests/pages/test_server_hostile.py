"""examples/server among clients that are hostile, slow or broken: a clear error for them, and nothing for others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re

import numpy as np
import pytest
from support import assert_same_bits
from support.serving import INPUTS, WINDOW, exchange, frames_of, hostile_messages, message, step, until

HOSTILE_TEXTS = {
    "no JSON": ('{"open"', "expected a JSON object"),
    "deep JSON": ("[" * 100_000, "expected a JSON object"),
    "another command": ('{"shut": "down"}', "expected open or close, got 'shut'"),
    "too many streams": ('{"open": 1000000000000}', "at most 32 streams of a client"),
}
HOSTILE_HELLOS = {
    "foreign token": ('{"token": "AAAA"}', "token: expected one that this server gave"),
    "token of another kind": ('{"token": [1]}', "token: expected one"),
    "binary": (b"\0" * 8, "expected a JSON object"),
}


@pytest.mark.parametrize(
    "name", ["half", "another shape", "another's stream", "twice", *HOSTILE_TEXTS, *HOSTILE_HELLOS]
)
def test_hostile_messages_hurt_nobody_else(serving, programs, websockets, model, name):
    async def body(server, uri):
        good = programs.load.Client(uri, frames_of(4, 40))
        await good.connect()
        work = asyncio.create_task(exchange(good))
        if name in HOSTILE_HELLOS:
            data, text = HOSTILE_HELLOS[name]
            socket = await websockets.asyncio.client.connect(uri, proxy=None)
        else:
            bad = programs.load.Client(uri, frames_of(2, 1))
            await bad.connect()
            socket = bad.socket
            messages = {**hostile_messages(server.engine, bad.rows.tolist()), **HOSTILE_TEXTS}
            messages["another's stream"] = (message(server.engine, good.rows[:1], 0, 0), "that this client has opened")
            data, text = messages[name]
        await socket.send(data)
        error = json.loads(await socket.recv())
        assert error["error"] == "message" and re.search(text, error["text"])
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
            await socket.recv()
        assert closed.value.rcvd.code == 1008 and closed.value.rcvd.reason == error["text"][:100]
        await work
        assert_same_bits(good.y, model(good.x))
        assert server.metrics.refused["message"] == 1

    serving(body)


def test_single_frames_that_are_refused(serving, programs, model):
    """NaN and a flood: an error for each message, and the connection goes on."""

    async def body(server, uri):
        client = programs.load.Client(uri, frames_of(2, 8))
        await client.connect()
        rows = client.rows
        await client.socket.send(message(server.engine, rows, 0, np.full(INPUTS, np.inf)))
        error = json.loads(await client.socket.recv())
        assert error["error"] == "value" and error["frames"] == 2 and error["stream"] == rows[0]
        await exchange(client)
        assert not client.errors
        assert_same_bits(client.y, model(client.x))
        assert server.metrics.refused == {**dict.fromkeys(server.metrics.refused, 0), "value": 2}

    serving(body)


def test_a_flood_is_bounded(serving, programs, websockets, model):
    """Who sends on without reading is refused, then cut off; nothing piles up, and others have their answers."""

    async def body(server, uri):
        good = programs.load.Client(uri, frames_of(4, 40))
        await good.connect()
        work = asyncio.create_task(exchange(good))
        bad = programs.load.Client(uri, frames_of(1, 1))
        await bad.connect()
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            for number in range(100_000):
                await bad.socket.send(message(server.engine, bad.rows, number, 0))
                await asyncio.sleep(0)
                assert len(server.engine.find(bad.token).waiting) <= WINDOW
                if server.metrics.refused["flood"] + server.metrics.refused["order"] > 200:
                    break
        assert server.metrics.refused["flood"]
        await work
        assert_same_bits(good.y, model(good.x))

    serving(body, tick=0.02)


def test_messages_that_are_too_long(serving, programs, websockets, model):
    async def body(server, uri):
        good, bad = (programs.load.Client(uri, frames_of(2, 8)) for _ in range(2))
        await good.connect()
        await bad.connect()
        await bad.socket.send(b"\0" * 2000)
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
            await bad.socket.recv()
        assert closed.value.rcvd.code == 1009
        await exchange(good)
        assert_same_bits(good.y, model(good.x))

    serving(body, message=1000)


def test_half_a_frame_of_the_protocol(serving, programs, model):
    """A client that ends, or stays silent, in the middle of a WebSocket frame: its session is lost, no other."""

    async def body(server, uri):
        good, bad, silent = (programs.load.Client(uri, frames_of(2, 8)) for _ in range(3))
        for client in (good, bad, silent):
            await client.connect()
        bad.socket.transport.write(b"\x82\xfe\x10\x00abcd" + b"\0" * 100)  # binary, masked, of 4096 bytes
        await asyncio.sleep(0.05)
        bad.socket.transport.abort()
        silent.socket.transport.write(b"\x82\xfe\x10\x00abcd" + b"\0" * 100)  # no pong can follow
        await exchange(good)
        assert_same_bits(good.y, model(good.x))
        await until(lambda: server._connections == 1)

    serving(body, patience=0.3)


def test_a_client_that_says_nothing(serving, websockets):
    async def body(server, uri):
        socket = await websockets.asyncio.client.connect(uri, proxy=None)
        assert json.loads(await socket.recv())["text"].startswith("hello: expected within 0.2 s")

    serving(body, patience=0.2)


def test_connections_are_counted(serving, programs, websockets):
    async def body(server, uri):
        with pytest.raises(websockets.exceptions.InvalidStatus, match="403"):  # a page in a browser
            await websockets.asyncio.client.connect(uri, origin="http://elsewhere", proxy=None)
        clients = [programs.load.Client(uri, frames_of(1, 1)) for _ in range(3)]
        await clients[0].connect()
        await clients[1].connect()
        with pytest.raises(websockets.exceptions.InvalidStatus, match="503"):
            await clients[2].connect()
        await clients[0].socket.close()
        await until(lambda: server._connections == 1)
        await clients[2].connect()

    serving(body, connections=2)


class Stuck:
    """The socket of a client that does not read."""

    def __init__(self):
        self.aborted, self.transport = 0, self

    async def send(self, data):
        await asyncio.sleep(60)

    def abort(self):
        self.aborted += 1


def test_a_client_that_does_not_read_is_cut_off(serving, programs, model):
    """Its session goes on, and that of others too."""

    async def body(server, uri):
        good, bad = (programs.load.Client(uri, frames_of(2, 8)) for _ in range(2))
        await good.connect()
        await bad.connect()
        session = server.engine.find(bad.token)
        socket = session.connection.socket
        session.connection.socket = Stuck()
        await bad.send()
        await until(lambda: server.metrics.refused["slow"])
        assert session.connection is None and server.metrics.refused["slow"] == 1
        socket.transport.abort()
        await bad.connect()
        for client in (good, bad):
            await exchange(client)
            assert_same_bits(client.y, model(client.x))

    serving(body, patience=0.3)


class Blocked:
    """The socket of a client that reads on demand; keeps what the engine had counted at each message."""

    def __init__(self, engine):
        self.engine, self.reads, self.counted = engine, asyncio.Event(), []

    async def send(self, data):
        self.counted.append(int(self.engine.sent.max()))
        await self.reads.wait()


def test_answers_count_as_sent_before_the_client_can_have_them(programs, websockets, engine):
    """Else its next frame, which may come at once, would count as a flood."""

    async def body():
        session, socket = engine.begin(), Blocked(engine)
        connection = programs.server.Connection(socket, engine, programs.server.Limits())
        connection.session, session.connection = session, connection
        writer = asyncio.create_task(connection.write())
        rows = engine.open(session, 1)
        for number in range(3):
            engine.accept(session, message(engine, rows, number, number), 0.0)
            step(engine)
        await until(lambda: socket.counted)
        assert socket.counted == [1]
        session.connection = None  # or another one, which was told what it goes on from
        engine.missed(session, {str(rows[0]): 0})
        socket.reads.set()
        await asyncio.sleep(0.05)
        assert socket.counted == [1] and engine.sent[rows[0]] == 0
        writer.cancel()

    asyncio.run(body())


def test_texts_that_nobody_reads(programs, websockets, engine):
    async def body():
        connection = programs.server.Connection(Stuck(), engine, programs.server.Limits(complaints=3))
        for _ in range(3):
            connection.put({"error": "value"})
        with pytest.raises(programs.engine.Refused, match="expected a client that reads, got 4 unread texts"):
            connection.put({"error": "value"})

    asyncio.run(body())


def test_a_writer_ends_with_its_connection(serving, programs):
    """Also where the connection is lost in the middle of a message."""

    async def body(server, uri):
        before = len(asyncio.all_tasks())
        for turn in range(30):
            client = programs.load.Client(uri, frames_of(3, 1))
            await client.connect()
            await client.send()
            await asyncio.sleep(turn / 10_000)
            client.socket.transport.abort()
        await until(lambda: not server._connections and len(asyncio.all_tasks()) <= before)

    serving(body, streams=128)
