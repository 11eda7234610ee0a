"""The server of examples/server under clients that vanish and clients that send garbage: nothing lost, memory flat.

    python tests/check/server.py [seconds]        600

Clients lose their connections about once in two seconds; most come back, and compare every answer with the model's.
Others send random bytes in the place of frames, commands and handshakes. At the end the server has nothing left of
anybody, and its process is as large as after the first fifth of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "server"
sys.path.insert(0, str(EXAMPLE))

import load
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

KEEP = 3.0
GROWTH = 2 << 20


def resident(process):
    """Bytes of a process."""
    return int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096


async def watch(process, sizes):
    while True:
        sizes.append(resident(process))
        await asyncio.sleep(0.2)


async def send_garbage(uri):
    """Connect and send what nobody expects, again and again."""
    rng = random.Random(0)
    while True:
        try:
            async with connect(uri, proxy=None, compression=None) as socket:
                if rng.random() < 0.8:
                    await socket.send("{}")
                    await socket.recv()
                if rng.random() < 0.5:
                    await socket.send(json.dumps({"open": rng.choice([1, 2, -1, 10**9])}))
                for _ in range(rng.randrange(20)):
                    data = rng.randbytes(rng.choice([0, 1, 100, 168, 1680, 300_000]))
                    await socket.send(data if rng.random() < 0.8 else data.decode("latin-1"))
                if rng.random() < 0.5:
                    socket.transport.write(rng.randbytes(50))  # no frame of the protocol
                    socket.transport.abort()
        except (WebSocketException, OSError):
            pass
        await asyncio.sleep(0.05)


async def check(uri, process, seconds):
    """Put load on the server; returns what is wrong."""
    options = argparse.Namespace(uri=uri, clients=6, streams=16, frames=200, seconds=seconds, vanish=0.5)
    found, sizes = load.Load(options), []
    beside = [asyncio.create_task(each) for each in (watch(process, sizes), send_garbage(uri))]
    start = asyncio.get_running_loop().time()
    await found.run()
    print(load.report(found, asyncio.get_running_loop().time() - start))
    for task in beside:
        assert not task.done(), task.result()
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    await asyncio.sleep(2 * KEEP)
    after = await asyncio.to_thread(load.metrics, uri)
    fifth = len(sizes) // 5
    grown = statistics.median(sizes[-fifth:]) - statistics.median(sizes[fifth : 2 * fifth])
    refused = {name: int(after[name]) for name in after if "refused" in name}
    print(f"the server grew by {grown / 1024:.0f} KiB, to {sizes[-1] / 2**20:.0f} MiB; refused: {refused}")
    left = {name: after[f"qrnn_{name}"] for name in ("connections", "sessions", "streams", "waiting_frames")}
    return [
        *(["answers are WRONG OR LOST"] if found.lost or not found.answered else []),
        *(["nobody vanished"] if not found.vanished else []),
        *([f"the server GROWS by {grown:,.0f} bytes"] if grown > GROWTH else []),
        *([f"LEFT over: {left}"] if any(left.values()) else []),
    ]


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600
    command = [sys.executable, str(EXAMPLE / "server.py"), "--port", "0", "--keep", str(KEEP)]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as server,
    ):
        try:
            wrong = asyncio.run(check(server.stdout.readline().strip(), server, seconds))
        finally:
            server.send_signal(signal.SIGTERM)
        if server.wait(60):
            wrong.append(f"the server ended with status {server.returncode}")
        said.seek(0)
        if text := said.read():
            wrong.append(f"the server SAID: {text[:2000]}")
    print(*wrong or ["passed"], sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
