"""Streams of many clients, stepped together: the part of the server without the network.

A stream is a row of `qrnn.stream`, and its number is the row's. A client sends the frames of a stream in order, 0, 1,
2, ..., at most `window` ahead of their answers. The server keeps of a stream only its state, its waiting frames and its
last `window` answers, which it sends again to a client that lost its connection.
"""

import secrets
from collections import deque
from typing import NamedTuple

import numpy as np

import qrnn

NOBODY = -1


class Refused(Exception):
    """A message that a client may not send. The text names what was expected and what came."""


class Waiting(NamedTuple):
    """Frames of different streams that came in one message and wait for a step."""

    rows: np.ndarray
    numbers: np.ndarray
    x: np.ndarray
    arrived: float


class Session:
    """The streams of a client, which outlive its connection."""

    def __init__(self, number):
        self.number, self.token = number, secrets.token_urlsafe(16)
        self.rows = []
        self.waiting = deque()
        self.connection = None  # where answers are sent; with None they are only kept
        self.lost = None  # when the connection was lost


class Engine:
    """Sessions, their streams, and the step of all ready streams.

    Parameters
    ----------
    model : qrnn.nn.Module
        Takes (streams, 1, inputs) and returns (streams, 1, outputs).
    inputs : int
        Floats of a frame.
    streams, own, window : int
        Limits of: streams of all clients, streams of one client, frames of a stream accepted but not yet answered.
    """

    def __init__(self, model, inputs, *, streams=4096, own=1024, window=8):
        self.inputs, self.own, self.window = inputs, own, window
        self.stream = qrnn.stream(model, rows=1)
        self.outputs = self.stream(np.zeros((1, 1, inputs), np.float32)).shape[-1]
        self.stream.drop(0)
        head = [("stream", "<u4"), ("number", "<u4")]
        self.frame = np.dtype([*head, ("x", "<f4", (inputs,))])
        self.answer = np.dtype([*head, ("y", "<f4", (self.outputs,))])
        self.sessions, self._by_token, self._count = {}, {}, 0
        self._closing = {}  # row that takes no more frames -> its session
        # For each row: its session, and how many of its frames were accepted, answered, and sent to the client.
        self.owner = np.full(streams, NOBODY)
        self.accepted, self.stepped, self.sent = (np.zeros(streams, np.int64) for _ in range(3))
        self.kept = np.zeros((streams, window), self.answer)
        self._busy = np.zeros(streams, bool)

    # ---- sessions

    def begin(self):
        """Begin a session without streams."""
        session = Session(self._count)
        self._count += 1
        self.sessions[session.number] = self._by_token[session.token] = session
        return session

    def find(self, token):
        """Return the session of a token."""
        session = self._by_token.get(token) if isinstance(token, str) else None
        if session is None:
            raise Refused("token: expected one that this server gave and has not forgotten, got another")
        return session

    def missed(self, session, received):
        """Return the answers that a client lost with its connection; `received` has the numbers that it got."""
        if not isinstance(received, dict):
            raise Refused(f"received: expected an object of streams and numbers, got {received!r:.40}")
        lost = [np.zeros(0, self.answer)]
        for row in session.rows:
            first, end = received.get(str(row), 0), int(self.stepped[row])
            least = max(0, end - self.window)
            if not isinstance(first, int) or not least <= first <= end:
                raise Refused(f"received: expected {least} to {end} answers of stream {row}, got {first!r:.40}")
            lost.append(self.kept[row, np.arange(first, end) % self.window])
        for row, answers in zip(session.rows, lost[1:], strict=True):
            self.sent[row] = self.stepped[row] - len(answers)
        return np.concatenate(lost)

    def end(self, session):
        """Forget a session; its rows become free after any step now running."""
        del self.sessions[session.number], self._by_token[session.token]
        session.waiting.clear()
        self._release(session, session.rows)

    def open(self, session, count):
        """Begin streams; return their numbers."""
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise Refused(f"open: expected a positive number of streams, got {count!r:.40}")
        if len(session.rows) + count > self.own:
            raise Refused(f"open: expected at most {self.own} streams of a client, got {len(session.rows) + count}")
        if len(self.stream) + count > len(self.owner):
            raise Refused(f"open: expected at most {len(self.owner)} streams, got {len(self.stream) + count}")
        rows = self.stream.add(count)
        self.owner[rows] = session.number
        self.accepted[rows] = self.stepped[rows] = self.sent[rows] = 0
        session.rows += rows
        return rows

    def close(self, session, rows):
        """End streams as soon as their waiting frames are answered."""
        is_list = isinstance(rows, list) and all(type(row) is int for row in rows)
        if not is_list or not set(rows) <= set(session.rows):
            raise Refused(f"close: expected a list of streams of this client, got {rows!r:.40}")
        session.rows = [row for row in session.rows if row not in rows]
        self._release(session, rows)

    def _release(self, session, rows):
        self.owner[rows] = NOBODY
        self._closing.update(dict.fromkeys(rows, session.number))

    def tidy(self, now, keep):
        """Between two steps, forget sessions lost for `keep` seconds, and free the rows of ended streams."""
        for session in [s for s in self.sessions.values() if s.lost is not None and now - s.lost > keep]:
            self.end(session)
        done = [
            row
            for row, number in self._closing.items()
            if number not in self.sessions or self.sent[row] == self.accepted[row]
        ]
        if done:
            self.stream.drop(done)
            for row in done:
                del self._closing[row]

    # ---- frames

    def accept(self, session, message, now):
        """Queue the frames of a message for their step.

        Return how many frames were accepted, and (reason, stream, text) for each of the others. Raise Refused, and
        accept nothing, for a message that no fault of the network can explain.
        """
        if not message or len(message) % self.frame.itemsize:
            raise Refused(
                f"message: expected frames of {self.frame.itemsize} bytes (stream, number, {self.inputs} floats), "
                f"got {len(message)} bytes"
            )
        frames = np.frombuffer(message, self.frame)
        rows, numbers = frames["stream"].astype(np.intp), frames["number"].astype(np.int64)
        ours = self.owner[np.minimum(rows, len(self.owner) - 1)] == session.number
        ours &= rows < len(self.owner)
        if not ours.all():
            raise Refused(f"stream: expected one that this client has opened, got {rows[~ours][0]}")
        if len(np.unique(rows)) < len(rows):
            raise Refused("stream: expected each at most once in a message, got one twice")
        follows = numbers == self.accepted[rows]
        fits = numbers - self.sent[rows] < self.window
        finite = np.isfinite(frames["x"]).all(axis=1)
        good = follows & fits & finite
        if good.any():
            session.waiting.append(Waiting(rows[good], numbers[good], frames["x"][good], now))
            self.accepted[rows[good]] += 1
        return int(good.sum()), [] if good.all() else list(self._wrong(rows, numbers, follows, fits, finite))

    def _wrong(self, rows, numbers, follows, fits, finite):
        for row, number, next_one, fit, real in zip(rows.tolist(), numbers.tolist(), follows, fits, finite):
            if not next_one:
                yield "order", row, f"number: expected {self.accepted[row]}, got {number}"
            elif not fit:
                yield "flood", row, f"number: expected at most {self.window} frames without an answer, got one more"
            elif not real:
                yield "value", row, f"x: expected finite floats, got others in frame {number}"

    def take(self):
        """Return the frames for the next step: the oldest of each stream, as (session, Waiting)."""
        taken = []
        for session in self.sessions.values():
            while session.waiting and not self._busy[session.waiting[0].rows].any():
                taken.append((session, session.waiting.popleft()))
                self._busy[taken[-1][1].rows] = True
        self._busy[:] = False
        return taken

    def step(self, taken):
        """Compute the outputs for the frames from `take`. It may run in another thread, one call at a time."""
        x = np.concatenate([waiting.x for _, waiting in taken])
        rows = np.concatenate([waiting.rows for _, waiting in taken])
        return self.stream(x[:, None], rows=rows.tolist())[:, 0]

    def finish(self, taken, y):
        """Keep the answers, and pass them to the connected clients."""
        first = 0
        for session, (rows, numbers, _, _) in taken:
            answers = np.empty(len(rows), self.answer)
            answers["stream"], answers["number"], answers["y"] = rows, numbers, y[first : first + len(rows)]
            first += len(rows)
            self.kept[rows, numbers % self.window] = answers
            self.stepped[rows] = numbers + 1
            if session.connection is not None:
                session.connection.put(answers)

    def was_sent(self, answers):
        """Count answers as sent to the client."""
        self.sent[answers["stream"]] = answers["number"] + 1
