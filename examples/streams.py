"""Serve a thousand streams with one quantized cell; the caller keeps the states.

    python examples/streams.py

Each stream reads Python's help from its own place, one character at a time. All streams that have a character
are stepped as one batch; streams come and go. A module keeps no state, so that a service needs only a table of
states. With engine ``qrnn`` a row never depends on its neighbors: afterwards every stream is run again, alone,
and has the same h at every step, bit for bit; otherwise the program ends with an error. With an engine of
PyTorch, whose scales are shared by the whole batch, most streams give other results alone.
"""

import sys
import time

import numpy as np
import text_data
import trained

import qrnn
from qrnn import nn

STREAMS = 1000
TICKS = 40
CHANGES = 25  # this many streams leave at each tick, and as many come


class Streams:
    """The states of the streams that a cell serves, one row of a table for each; an LSTM has two tables."""

    def __init__(self, cell, capacity, tables):
        self.cell = cell
        self.tables = [np.zeros((capacity, cell.hidden_size), np.float32) for _ in range(tables)]
        self.free = list(range(capacity))
        self.rows = {}  # stream -> its row

    def add(self, stream):
        """Give a new stream a row of zeros; a stream that is already there, or one too many, is an error."""
        if stream in self.rows:
            raise KeyError(f"stream {stream!r} is already there")
        row = self.rows[stream] = self.free.pop()
        for table in self.tables:
            table[row] = 0

    def drop(self, stream):
        """Forget a stream."""
        self.free.append(self.rows.pop(stream))

    def step(self, streams, x):
        """Step these streams, each at most once, with their rows of x; return their new h."""
        rows = [self.rows[stream] for stream in streams]
        state = tuple(table[rows] for table in self.tables)
        new = as_tuple(self.cell(x, state if len(state) > 1 else state[0]))
        for table, values in zip(self.tables, new, strict=True):
            table[rows] = values
        return new[0]


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def text_cell(kind, engine):
    """Return the quantized cell of a trained character model, with the weights of its layer."""
    layer = trained.load(f"text_{kind}").rnn
    cell = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}[kind](layer.input_size, layer.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    return qrnn.quantize_dynamic(cell, engine=engine)


def serve(streams, text, ticks, changes, rng):
    """Run the service. Return the codes and the h of each stream, {stream: ([code, ...], [h, ...])}, the
    number of stream-steps, and the seconds of CPU time that they took.
    """
    letters = np.eye(len(text_data.ALPHABET), dtype=np.float32)
    history, active, seconds = {}, [], 0.0

    def join(count):
        for stream in range(len(history), len(history) + count):
            streams.add(stream)
            active.append(stream)
            history[stream] = [], []

    join(len(streams.free))
    for _ in range(ticks):
        for stream in rng.choice(active, changes, replace=False).tolist():
            streams.drop(stream)
            active.remove(stream)
        join(changes)
        ready = rng.permutation(active)[: rng.integers(1, len(active) + 1)].tolist()
        codes = [text[(stream * 1009 + len(history[stream][0])) % len(text)] for stream in ready]
        x = letters[codes]
        start = time.thread_time()
        h = streams.step(ready, x)
        seconds += time.thread_time() - start
        for stream, code, row in zip(ready, codes, h, strict=True):
            history[stream][0].append(code)
            history[stream][1].append(row)
    return history, sum(len(codes) for codes, _ in history.values()), seconds


def run_alone(cell, codes):
    """Return h at each step of one stream, [steps, hidden], and the seconds of CPU time that it took."""
    rows = np.eye(len(text_data.ALPHABET), dtype=np.float32)[codes][:, None]  # [steps, 1, letters]
    outputs, state = [], None
    start = time.thread_time()
    for x in rows:
        state = cell(x, state)
        outputs.append(state)
    seconds = time.thread_time() - start
    return np.concatenate([as_tuple(state)[0] for state in outputs]), seconds


def compare(kind, engine, count=STREAMS, ticks=TICKS, changes=CHANGES):
    """Serve `count` streams at a time, then run each alone; return a dict of the results."""
    cell = text_cell(kind, engine)
    _, text = text_data.load()
    streams = Streams(cell, count, tables=2 if kind == "lstm" else 1)
    history, steps, together = serve(streams, text, ticks, changes, np.random.default_rng(0))
    differ, alone = 0, 0.0
    for codes, outputs in history.values():
        if codes:
            h, seconds = run_alone(cell, codes)
            alone += seconds
            differ += not np.array_equal(h.view(np.uint32), np.stack(outputs).view(np.uint32))
    return {
        "name": f"{type(cell).__name__}, {engine}",
        "served": len(history),
        "steps": steps,
        "together": 1e6 * together / steps,
        "alone": 1e6 * alone / steps,
        "differ": differ,
    }


def main():
    print(
        f"{STREAMS} streams at a time, {CHANGES} of them replaced at each of {TICKS} ticks; "
        "µs of CPU time a stream-step\n"
    )
    print(f"{'':<20}{'served':>8}{'stream-steps':>14}{'batched':>10}{'one by one':>12}{'differ alone':>14}")
    for kind in "gru", "lstm":
        for engine in "qrnn", "fbgemm":
            row = compare(kind, engine)
            print(
                f"{row['name']:<20}{row['served']:>8,}{row['steps']:>14,}{row['together']:>10.3f}"
                f"{row['alone']:>12.3f}{row['differ']:>14,}"
            )
            if engine == "qrnn" and row["differ"]:
                sys.exit("a stream in a batch is not what it is alone")


if __name__ == "__main__":
    main()
