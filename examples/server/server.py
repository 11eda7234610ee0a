"""A server of streams: clients send frames over WebSockets, and one step of `qrnn.stream` takes all waiting streams.

    python examples/server/server.py [--model model.safetensors --inputs 40] [--port 8765]

README.md beside this file describes the protocol and the limits. The server listens on the loopback interface only: TLS
and access control are the task of a proxy.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import NamedTuple

import numpy as np
from engine import Engine, Refused
from metrics import Metrics

import qrnn
from qrnn import nn

HOST = "127.0.0.1"
#: Close codes of RFC 6455.
DONE, GOING_AWAY, POLICY, BUSY = 1000, 1001, 1008, 1013


class Limits(NamedTuple):
    tick: float = 0.003  # seconds between two steps
    keep: float = 60.0  # seconds that a session is kept without a connection
    patience: float = 10.0  # seconds that a client may take to say hello, or to read an answer
    connections: int = 256
    message: int = 2**18  # bytes
    complaints: int = 64  # errors that a client has not read yet


class Connection:
    """The messages to a client. Only the connection's own task, `write`, waits for the client."""

    def __init__(self, socket, engine, limits):
        self.socket, self._engine, self._limits = socket, engine, limits
        self.session, self.since = None, None  # the client's session; when the present `send` began
        self._outbox, self._texts, self._filled = deque(), 0, asyncio.Event()

    def put(self, message):
        """Queue answers, or an object as JSON. The window bounds waiting answers, `complaints` waiting objects."""
        if isinstance(message, dict):
            self._texts += 1
            if self._texts > self._limits.complaints:
                raise Refused(f"messages: expected a client that reads, got {self._texts} unread texts")
        if len(message):
            self._outbox.append(message)
            self._filled.set()

    async def write(self):
        """Send queued messages until the connection is closed or another connection has taken over.

        Answers are counted as sent before `send`: the client's next frame may arrive before `send` returns.
        """
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._outbox and self.session.connection is self:
                message, self.since = self._outbox.popleft(), asyncio.get_running_loop().time()
                if isinstance(message, dict):
                    await self.socket.send(json.dumps(message))
                    self._texts -= 1
                else:
                    self._engine.was_sent(message)
                    await self.socket.send(message.tobytes())
                self.since = None

    def is_stuck(self, now):
        """Whether the client has stopped reading."""
        return self.since is not None and now - self.since > self._limits.patience

    @property
    def idle(self):
        return not self._outbox and self.since is None


class Server:
    """The connections, their messages, and the steps."""

    def __init__(self, engine, limits=None):
        self.engine, self.limits, self.metrics = engine, limits or Limits(), Metrics()
        self._connections, self._stopping, self._listening = 0, False, None
        self._stepping = False  # a step is running: its frames are taken from the sessions and not yet answered

    # ---- life

    async def start(self, port=0):
        """Listen; return the port."""
        from websockets.asyncio.server import serve

        self._listening = await serve(
            self._handle, HOST, port, process_request=self._answer_http, origins=[None], compression=None,
            max_size=self.limits.message, max_queue=4, ping_interval=self.limits.patience,
            ping_timeout=self.limits.patience, open_timeout=self.limits.patience, close_timeout=1,
        )  # fmt: skip
        self._steps = asyncio.create_task(self._run())
        return next(iter(self._listening.sockets)).getsockname()[1]

    async def serve_until(self, stop):
        """Serve until the event `stop` is set or a step fails; then answer accepted frames and close connections."""
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, self._steps}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        self._stopping = True
        try:
            await asyncio.wait_for(self._drained(), self.limits.patience)
        except asyncio.TimeoutError:
            print("some clients do not read: their answers are lost", file=sys.stderr)
        self._steps.cancel()
        self._listening.close()  # with GOING_AWAY
        await self._listening.wait_closed()
        await asyncio.gather(self._steps, return_exceptions=True)
        if not self._steps.cancelled():
            self._steps.result()  # raises the error of a failed step

    async def _drained(self):
        while not self._steps.done() and (
            self._stepping
            or any(
                session.waiting or not (session.connection is None or session.connection.idle)
                for session in self.engine.sessions.values()
            )
        ):
            await asyncio.sleep(self.limits.tick)

    async def _run(self):
        """Step all waiting streams, every `tick`."""
        loop, engine = asyncio.get_running_loop(), self.engine
        with ThreadPoolExecutor(1) as thread:  # the loop goes on reading and writing during a step
            while True:
                start = loop.time()
                engine.tidy(start, self.limits.keep)
                self._cut_off(start)
                if taken := engine.take():
                    self._stepping = True
                    y = await loop.run_in_executor(thread, engine.step, taken)
                    engine.finish(taken, y)
                    self._stepping = False
                    self._count(taken, start, loop.time())
                await asyncio.sleep(max(0, start + self.limits.tick - loop.time()))

    def _cut_off(self, now):
        """Close the connections of clients that have stopped reading; their sessions are kept."""
        for session in self.engine.sessions.values():
            if session.connection is not None and session.connection.is_stuck(now):
                session.connection.socket.transport.abort()
                session.connection, session.lost = None, now
                self.metrics.refused["slow"] += 1

    def _count(self, taken, start, end):
        self.metrics.steps += 1
        self.metrics.step.add(end - start)
        for _, waiting in taken:
            self.metrics.frames += len(waiting.rows)
            self.metrics.wait.add(end - waiting.arrived, len(waiting.rows))

    # ---- a connection

    async def _handle(self, socket):
        from websockets.exceptions import ConnectionClosed

        connection, session = Connection(socket, self.engine, self.limits), None
        self._connections += 1
        writer = asyncio.create_task(connection.write())
        try:
            session = self._greet(connection, await asyncio.wait_for(socket.recv(), self.limits.patience))
            async for message in socket:
                if session.connection is not connection:  # another has taken over; what it was told stays true
                    break
                self._receive(session, connection, message)
        except Refused as error:
            self.metrics.refused["message"] += 1
            await self._part(socket, POLICY, str(error))
        except asyncio.TimeoutError:
            await self._part(socket, POLICY, f"hello: expected within {self.limits.patience} s, got nothing")
        except ConnectionClosed:
            pass
        finally:
            self._connections -= 1
            writer.cancel()
            await asyncio.wait({writer})
            if session is not None and session.connection is connection:
                session.connection, session.lost = None, asyncio.get_running_loop().time()
                if socket.close_code == DONE and session.number in self.engine.sessions:
                    self.engine.end(session)
            if not writer.cancelled() and not isinstance(writer.exception(), ConnectionClosed):
                raise writer.exception()  # a bug of the server, which is logged

    async def _part(self, socket, code, text):
        from websockets.exceptions import ConnectionClosed

        try:
            await asyncio.wait_for(socket.send(json.dumps({"error": "message", "text": text})), 1)
            await socket.close(code, text[:100].encode("ascii", "replace").decode())
        except (ConnectionClosed, asyncio.TimeoutError):
            socket.transport.abort()

    def _greet(self, connection, hello):
        """Return the session that a connection's first message asks for: a new one, or one that lost its connection."""
        hello = parsed(hello)
        if "token" in hello:
            session = self.engine.find(hello["token"])
            lost = self.engine.missed(session, hello.get("received", {}))
            if session.connection is not None:  # the client noticed the loss before the server
                session.connection.socket.transport.abort()
        elif self._stopping or len(self.engine.sessions) >= 4 * self.limits.connections:
            raise Refused("hello: expected when there is room, got too many clients")
        else:
            session, lost = self.engine.begin(), np.zeros(0, self.engine.answer)
        connection.session, session.connection, session.lost = session, connection, None
        connection.put(
            {
                "token": session.token,
                "inputs": self.engine.inputs,
                "outputs": self.engine.outputs,
                "window": self.engine.window,
                "streams": {row: int(self.engine.accepted[row]) for row in session.rows},
            }
        )
        connection.put(lost)
        return session

    def _receive(self, session, connection, message):
        if isinstance(message, str):
            match parsed(message):
                case {"open": count}:
                    connection.put({"opened": self.engine.open(session, count)})
                case {"close": rows}:
                    self.engine.close(session, rows)
                case other:
                    raise Refused(f"message: expected open or close, got {', '.join(other)!r:.40}")
        elif self._stopping:
            connection.put({"error": "busy", "text": "frames: expected before the server stops"})
        else:
            _, wrong = self.engine.accept(session, message, asyncio.get_running_loop().time())
            for reason, *_ in wrong:
                self.metrics.refused[reason] += 1
            if wrong:
                reason, row, text = wrong[0]
                connection.put({"error": reason, "stream": row, "text": text, "frames": len(wrong)})

    # ---- HTTP

    def _answer_http(self, socket, request):
        """Answer GET /metrics; None lets a client continue to its WebSocket."""
        if request.path == "/metrics":
            response = socket.respond(HTTPStatus.OK, self.metrics.text(self._now()))
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "text/plain; version=0.0.4"
            return response
        if self._stopping or self._connections >= self.limits.connections:
            self.metrics.refused["busy"] += 1
            return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "connections: expected when there is room\n")
        return None

    def _now(self):
        sessions = self.engine.sessions.values()
        return {
            "connections": self._connections,
            "sessions": len(sessions),
            "streams": len(self.engine.stream),
            "waiting_frames": sum(len(waiting.rows) for session in sessions for waiting in session.waiting),
        }


def parsed(text):
    """Parse a JSON message, which has to be an object."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(f"message: expected a JSON object, got {text!r:.40}")
    return found


class Demo(nn.Module):
    """A GRU of 256 units with random weights and 8 scores per frame."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(40, 256, batch_first=True)
        self.head = nn.Linear(256, 8)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def demo():
    """Return the model that is served by default, which is always the same."""
    qrnn.manual_seed(0)
    return qrnn.quantize_dynamic(Demo())


async def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="a file of qrnn.save; default: a GRU of random weights")
    parser.add_argument("--inputs", type=int, default=40, help="floats of a frame (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8765, help="0: a free one (default: %(default)s)")
    parser.add_argument("--keep", type=float, default=Limits().keep, help="seconds a lost session is kept")
    options = parser.parse_args()
    model = qrnn.load(options.model) if options.model else demo()
    server = Server(Engine(model, options.inputs), Limits(keep=options.keep))
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    print(f"ws://{HOST}:{await server.start(options.port)}", flush=True)
    await server.serve_until(stop)


if __name__ == "__main__":
    asyncio.run(main())
