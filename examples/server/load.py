"""Load the server with clients, measure latencies, and check every answer.

    python examples/server/load.py [--uri ws://127.0.0.1:8765] [--clients 4 --streams 100 --seconds 10] [--vanish 0.5]

Each client opens streams and sends a frame of each every 10 ms. After some hundred frames it compares all answers
(`==`) with those of one call of the model with the whole sequence, and begins anew; so the server has to serve its
default model. With `--vanish`, a client's connection breaks about that many times per second, half of the times right
after sending. The client reconnects with its token and continues; one time in ten it does not, and a new client takes
its place. The latency of a frame is counted from its due time, so that waiting for earlier frames counts.
"""

import argparse
import asyncio
import json
import sys
import urllib.request

import numpy as np
from server import demo

PERIOD = 0.010  # seconds from frame to frame of a stream


class Client:
    """A session with some streams, which lasts until their frames are sent; it outlives its connections."""

    def __init__(self, uri, x):
        self.uri, self.x = uri, x  # x: (streams, frames, inputs)
        self.token, self.y, self.errors = None, None, []
        self.sent, self.got = (np.zeros(len(x), int) for _ in range(2))

    async def connect(self):
        """Begin, or continue where the last connection ended."""
        from websockets.asyncio.client import connect

        self.socket = await connect(self.uri, compression=None, proxy=None, max_size=None)
        if self.token is None:
            await self.socket.send("{}")
            self._welcome(await self._told())
            await self.socket.send(json.dumps({"open": len(self.x)}))
            self.rows = np.array((await self._told())["opened"])
        else:
            received = dict(zip(map(str, self.rows.tolist()), self.got.tolist(), strict=True))
            await self.socket.send(json.dumps({"token": self.token, "received": received}))
            accepted = self._welcome(await self._told())
            self.sent = np.array([accepted[str(row)] for row in self.rows.tolist()])

    async def _told(self):
        message = json.loads(await self.socket.recv())
        if "error" in message:
            raise RuntimeError(message["text"])
        return message

    def _welcome(self, message):
        self.token, self.window = message["token"], message["window"]
        head = [("stream", "<u4"), ("number", "<u4")]
        self.frame = np.dtype([*head, ("x", "<f4", (message["inputs"],))])
        self.answer = np.dtype([*head, ("y", "<f4", (message["outputs"],))])
        if self.y is None:
            self.y = np.zeros((*self.x.shape[:2], message["outputs"]), np.float32)
        return message["streams"]

    async def send(self, due=None):
        """Send the next frame of each stream that has one due and room in its window."""
        frames = self.x.shape[1] if due is None else min(due, self.x.shape[1])
        ready = np.flatnonzero((self.sent < frames) & (self.sent - self.got < self.window))
        if len(ready):
            message = np.empty(len(ready), self.frame)
            message["stream"], message["number"] = self.rows[ready], self.sent[ready]
            message["x"] = self.x[ready, self.sent[ready]]
            self.sent[ready] += 1
            await self.socket.send(message.tobytes())

    async def receive(self):
        """Receive one message; return the numbers of the frames that it answers."""
        message = await self.socket.recv()
        if isinstance(message, str):
            self.errors.append(json.loads(message))
            return np.zeros(0, int)
        answers = np.frombuffer(message, self.answer)
        streams = np.searchsorted(self.rows, answers["stream"])
        numbers = answers["number"].astype(int)
        self.y[streams, numbers] = answers["y"]
        self.got[streams] = numbers + 1
        return numbers

    @property
    def done(self):
        return bool((self.got == self.x.shape[1]).all())


class Load:
    """A number of places, each with one client after another, and the clients' results."""

    def __init__(self, options):
        self.options, self.model, self.latencies = options, demo(), []
        self.answered = self.lost = self.vanished = self.abandoned = 0

    async def run(self):
        """Run all places at once; return when the time is over and their clients are done."""
        self.end = asyncio.get_running_loop().time() + self.options.seconds
        await asyncio.gather(*(self._place(number) for number in range(self.options.clients)))

    async def _place(self, number):
        rng, loop = np.random.default_rng(number), asyncio.get_running_loop()
        await asyncio.sleep(PERIOD * number / self.options.clients)
        while loop.time() < self.end:
            shape = (self.options.streams, self.options.frames, 40)
            client = Client(self.options.uri, rng.standard_normal(shape, np.float32))
            if await self._serve(client, rng):
                want = self.model(client.x)
                self.answered += want[..., 0].size
                self.lost += int((client.y != want).any(axis=2).sum()) + len(client.errors)
            else:
                self.abandoned += 1

    async def _serve(self, client, rng):
        """Run a client from its first to its last frame; return false if it vanished for good."""
        from websockets.exceptions import ConnectionClosed

        loop = asyncio.get_running_loop()
        start = None
        while True:
            await client.connect()
            start = start or loop.time()
            reader = asyncio.create_task(self._read(client, start))
            breaks = rng.exponential(1 / self.options.vanish) if self.options.vanish else np.inf
            sender = asyncio.create_task(self._send(client, start, loop.time() + breaks))
            try:
                await asyncio.wait({reader, sender}, return_when=asyncio.FIRST_COMPLETED)
                if client.done:
                    await reader
                    await client.socket.close()
                    return True
            finally:
                sender.cancel()
                client.socket.transport.abort()
                await asyncio.gather(reader, sender, return_exceptions=True)
            for task in (reader, sender):
                error = None if task.cancelled() else task.exception()
                if error is not None and not isinstance(error, ConnectionClosed):
                    raise error
            self.vanished += 1
            if rng.random() < 0.1:
                return False

    async def _send(self, client, start, breaks):
        """Send until all is sent or the connection breaks."""
        loop = asyncio.get_running_loop()
        while not client.done and loop.time() < breaks:
            due = int((loop.time() - start) / PERIOD) + 1
            await client.send(due)
            await asyncio.sleep(max(0, start + due * PERIOD - loop.time()))

    async def _read(self, client, start):
        loop = asyncio.get_running_loop()
        while not client.done:
            numbers = await client.receive()
            self.latencies.append(loop.time() - start - numbers * PERIOD)


def report(load, seconds):
    """Return the results of a load as text."""
    latencies = 1e3 * np.concatenate(load.latencies)
    p50, p99 = np.percentile(latencies, (50, 99))
    return (
        f"{load.options.clients * load.options.streams} streams, {len(latencies) / seconds:,.0f} answers a second, "
        f"latency {p50:.1f} ms (median), {p99:.1f} ms (p99)\n{load.answered:,} answers compared, {load.lost} wrong or "
        f"lost; {load.vanished} connections broken off, {load.abandoned} clients that did not come back"
    )


def metrics(uri):
    """Fetch the server's metrics, by their names with labels."""
    with urllib.request.urlopen(uri.replace("ws:", "http:") + "/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--uri", default="ws://127.0.0.1:8765")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--streams", type=int, default=100, help="of each client")
    parser.add_argument("--frames", type=int, default=300, help="of each stream")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--vanish", type=float, default=0, help="connections that break off, a client and second")
    load = Load(parser.parse_args())

    async def run():
        start = asyncio.get_running_loop().time()
        await load.run()
        print(report(load, asyncio.get_running_loop().time() - start))

    asyncio.run(run())
    print({name: value for name, value in metrics(load.options.uri).items() if "bucket" not in name})
    if load.lost:
        sys.exit("answers are wrong or lost")


if __name__ == "__main__":
    main()
