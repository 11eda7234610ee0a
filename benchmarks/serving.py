"""Measure how many streams a core serves in real time, without and with a network: GRU(40, 256), a frame per 10 ms.

    make bench-serving      (or, where qrnn is installed: python benchmarks/serving.py [--rounds 7])

Without a network, the engine of examples/server accepts messages of 20 clients, whose frames fall due one client after
the other, steps them together every 3 ms and answers them. Its clock is the CPU time of its thread, so that other
programs on the core do not count: the clock advances by the work's time and jumps to the next frame when idle. The
latency of a frame runs from its due time to its answer, and includes the checks of messages, the states and the keeping
of answers. Every round has all sizes; a size's figures are those of its fastest round, because other programs take
caches too. With a network, server and load generator are two processes on this machine, measured by wall time; load.py
compares every answer with the model's.
"""

import machine

machine.use_one_thread()

import argparse
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "server"
sys.path.insert(0, str(EXAMPLE))

from engine import Engine
from load import metrics
from server import Limits, demo

PERIOD, CLIENTS = 0.010, 20
SIZES = (500, 1000, 2000, 3000, 4000)
STREAMS, MOST = 2000, 0.010  # promised: this many streams, and this latency in seconds for 99 of 100 frames


class Clock:
    """A clock of this thread's CPU time plus its idle times."""

    def __init__(self):
        self.idle = -time.thread_time()

    def now(self):
        return self.idle + time.thread_time()

    def wait_until(self, due):
        self.idle += max(0.0, due - self.now())


class Answered:
    """A connection that counts each answer as sent at once."""

    def __init__(self, engine):
        self.put = engine.was_sent


def clients_of(engine, streams):
    """Make sessions and their messages, which differ only in the numbers of the frames."""
    rng = np.random.default_rng(0)
    for _ in range(CLIENTS):
        session = engine.begin()
        session.connection = Answered(engine)
        rows = engine.open(session, streams // CLIENTS)
        message = np.zeros(len(rows), engine.frame)
        message["stream"], message["x"] = rows, rng.standard_normal((len(rows), 40), np.float32)
        yield session, message


def alone(streams, seconds):
    """Return the share of the core that is busy, microseconds of work per frame, and latencies in seconds."""
    engine = Engine(demo(), 40, streams=streams, own=streams)
    clients, latencies = list(clients_of(engine, streams)), []
    clock, work = Clock(), time.thread_time()
    due = [PERIOD * number / CLIENTS for number in range(CLIENTS)]
    while (began := clock.now()) < seconds:
        for number, (session, message) in enumerate(clients):
            while due[number] <= began:
                accepted, _ = engine.accept(session, message.tobytes(), due[number])
                message["number"] += accepted > 0  # a client whose window is full waits
                due[number] += PERIOD
        if taken := engine.take():
            engine.finish(taken, engine.step(taken))
            end = clock.now()
            latencies += [(end - waiting.arrived, len(waiting.rows)) for _, waiting in taken]
        clock.wait_until(began + Limits().tick)
    work = time.thread_time() - work
    found, counts = np.array(latencies).T
    return work / clock.now(), 1e6 * work / counts.sum(), np.repeat(found, counts.astype(int))


def served(streams, seconds):
    """Run a server and load.py; return load.py's output and the server's CPU time in microseconds per frame."""
    server = [sys.executable, str(EXAMPLE / "server.py"), "--port", "0"]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
        try:
            uri = process.stdout.readline().strip()
            load = [sys.executable, str(EXAMPLE / "load.py"), "--uri", uri, "--clients", str(CLIENTS)]
            load += ["--streams", str(streams // CLIENTS), "--seconds", str(seconds), "--frames", "100"]
            before = cpu_seconds(process.pid)
            printed = subprocess.run(load, capture_output=True, text=True, check=True).stdout.splitlines()[0]
            work = cpu_seconds(process.pid) - before
            return printed, 1e6 * work / metrics(uri)["qrnn_frames_total"]
        finally:
            process.terminate()


def cpu_seconds(pid):
    """Return the CPU time of all threads of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="of a second each")
    options = parser.parse_args()
    print(f"{machine.cpu_name()}\n\nThe engine alone:\n")
    print("| streams | of a core | us a frame | latency, median, ms | p99, ms |\n|---:|---:|---:|---:|---:|")
    rounds = [{streams: alone(streams, 1) for streams in SIZES} for _ in range(options.rounds)]
    for streams in SIZES:
        share, us, latencies = min((each[streams] for each in rounds), key=lambda found: found[1])
        p50, p99 = np.percentile(latencies, (50, 99))
        print(f"| {streams:,} | {100 * share:.0f} % | {us:.2f} | {1e3 * p50:.1f} | {1e3 * p99:.1f} |", flush=True)
        if streams == STREAMS:
            reached = share < 1 and p99 < MOST, f"{100 * share:.0f} % of a core, {1e3 * p99:.1f} ms (p99)"
    try:
        import websockets  # noqa: F401
    except ImportError:
        print("\nwebsockets is not installed: no figures with transport")
    else:
        print("\nWith transport:\n")
        for streams in (100, 400, 1000):
            printed, us = served(streams, 3)
            print(f"{printed}; {us:.1f} us of the server's CPU time a frame", flush=True)
    if not reached[0]:
        sys.exit(f"{STREAMS} streams take {reached[1]}, promised less than 100 % and {1e3 * MOST:.0f} ms")


if __name__ == "__main__":
    main()
