"""Helpers for the tests of examples/server: a small model, its frames, and good and bad messages."""

from __future__ import annotations

import asyncio

import numpy as np

from qrnn import nn

INPUTS, OUTPUTS, WINDOW = 5, 3, 4


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(INPUTS, 7, batch_first=True)
        self.head = nn.Linear(7, OUTPUTS)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def frames_of(streams, frames, seed=0):
    return np.random.default_rng(seed).standard_normal((streams, frames, INPUTS), np.float32)


def message(engine, rows, numbers, x):
    frames = np.zeros(len(rows), engine.frame)
    frames["stream"], frames["number"], frames["x"] = rows, numbers, x
    return frames.tobytes()


def hostile_messages(engine, rows):
    x = np.zeros(INPUTS, np.float32)
    good = message(engine, rows[:1], 0, x)
    return {
        "half": (good[: len(good) // 2], f"expected frames of {8 + 4 * INPUTS} bytes .*, got {len(good) // 2} bytes"),
        "another shape": (good + b"1234", f"{INPUTS} floats.*, got {len(good) + 4} bytes"),
        "empty": (b"", "got 0 bytes"),
        "another's stream": (message(engine, [rows[-1] + 1], 0, x), f"that this client has opened, got {rows[-1] + 1}"),
        "no stream": (message(engine, [2**32 - 1], 0, x), "that this client has opened, got 4294967295"),
        "one of them": (good + message(engine, [7], 0, x), "that this client has opened, got 7"),
        "twice": (good + message(engine, rows[:1], 1, x), "each at most once"),
    }


def step(engine):
    taken = engine.take()
    if taken:
        engine.finish(taken, engine.step(taken))
    return len(taken)


async def exchange(client):
    """Send frames and read answers until all are there."""
    while not client.done:
        await client.send()
        await client.receive()


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to be")
