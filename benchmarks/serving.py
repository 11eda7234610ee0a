"""How many streams a core serves in real time, without and with a network: GRU(40, 256), a frame every 10 ms.

    make bench-serving      (or, where qrnn is installed: python benchmarks/serving.py [--seconds 3])

The engine alone is that of examples/server: messages of 20 clients, whose frames fall due one client after the other,
are accepted, stepped together every 3 ms and answered. Its clock is the CPU time of its thread, so that other programs
on the core do not count: it goes on by what the work takes, and jumps to the next frame where there is nothing to do.
The latency of a frame is from when it is due to when its answer is there. All of it counts: the checks of the messages,
the states, the answers that are kept. With transport, server and load generator are processes of their own on this
machine, whose clock is the wall's; load.py compares every answer with the model's.
"""

import machine

machine.use_one_thread()

import argparse
import pathlib
import subprocess
import sys
import time

import numpy as np

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "server"
sys.path.insert(0, str(EXAMPLE))

from engine import Engine
from server import Limits, demo

PERIOD, CLIENTS = 0.010, 20
STREAMS, MOST = 2000, 0.010  # promised: as many, within so many seconds for 99 of 100 frames


class Clock:
    """The CPU time of this thread, and the times in which there was nothing to do."""

    def __init__(self):
        self.idle = -time.thread_time()

    def now(self):
        return self.idle + time.thread_time()

    def wait_until(self, due):
        self.idle += max(0.0, due - self.now())


class Answered:
    """A connection whose answers are sent as soon as they are there."""

    def __init__(self, engine):
        self.put = engine.was_sent


def clients_of(engine, streams):
    """Sessions and their messages, which are the same but for the numbers of the frames."""
    rng = np.random.default_rng(0)
    for _ in range(CLIENTS):
        session = engine.begin()
        session.connection = Answered(engine)
        rows = engine.open(session, streams // CLIENTS)
        message = np.zeros(len(rows), engine.frame)
        message["stream"], message["x"] = rows, rng.standard_normal((len(rows), 40), np.float32)
        yield session, message


def alone(streams, seconds):
    """Share of the core that is at work, microseconds of work a frame, and latencies in seconds."""
    engine = Engine(demo(), 40, streams=streams, own=streams)
    clients, latencies = list(clients_of(engine, streams)), []
    clock, work = Clock(), time.thread_time()
    due = [PERIOD * number / CLIENTS for number in range(CLIENTS)]
    while (began := clock.now()) < seconds:
        for number, (session, message) in enumerate(clients):
            while due[number] <= began:
                accepted, _ = engine.accept(session, message.tobytes(), due[number])
                message["number"] += accepted > 0  # a window that is full has a client wait
                due[number] += PERIOD
        if taken := engine.take():
            engine.finish(taken, engine.step(taken))
            end = clock.now()
            for _, waiting in taken:
                latencies += [end - waiting.arrived] * len(waiting.rows)
        clock.wait_until(began + Limits().tick)
    work = time.thread_time() - work
    return work / clock.now(), 1e6 * work / len(latencies), np.array(latencies)


def served(streams, seconds):
    """What load.py prints of a server and clients of their own."""
    server = [sys.executable, str(EXAMPLE / "server.py"), "--port", "0"]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
        try:
            uri = process.stdout.readline().strip()
            load = [sys.executable, str(EXAMPLE / "load.py"), "--uri", uri, "--clients", str(CLIENTS)]
            load += ["--streams", str(streams // CLIENTS), "--seconds", str(seconds)]
            return subprocess.run(load, capture_output=True, text=True, check=True).stdout.splitlines()[0]
        finally:
            process.terminate()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3, help="of each number of streams")
    options = parser.parse_args()
    print(f"{machine.cpu_name()}\n\nThe engine alone:\n")
    print("| streams | of a core | us a frame | latency, median, ms | p99, ms |\n|---:|---:|---:|---:|---:|")
    reached = {}
    for streams in (500, 1000, STREAMS, 3000, 4000, 6000):
        share, us, latencies = alone(streams, options.seconds)
        p50, p99 = np.percentile(latencies, (50, 99))
        reached[streams] = share, p99
        print(f"| {streams:,} | {100 * share:.0f} % | {us:.2f} | {1e3 * p50:.1f} | {1e3 * p99:.1f} |", flush=True)
    share, p99 = reached[STREAMS]
    try:
        import websockets  # noqa: F401
    except ImportError:
        print("\nwebsockets is not installed: no figures with transport")
    else:
        print("\nWith transport:\n")
        for streams in (200, 500, 1000, 2000):
            print(served(streams, options.seconds), flush=True)
    if share >= 1 or p99 > MOST:
        sys.exit(
            f"{STREAMS} streams take {share:.2f} of a core and {1e3 * p99:.1f} ms (p99), promised 1 and {1e3 * MOST}"
        )


if __name__ == "__main__":
    main()
