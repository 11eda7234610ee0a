"""The engine and the metrics of examples/server, without a network."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support import assert_same_bits
from support.serving import WINDOW, frames_of, hostile_messages, message, step


class Kept(list):
    """A connection that keeps what it is given."""

    put = list.append


def test_streams_of_sessions_share_steps_and_nothing_else(engine, model):
    x = frames_of(5, 9)
    want, sessions = model(x), [engine.begin(), engine.begin()]
    for session in sessions:
        session.connection = Kept()
    rows = [engine.open(sessions[0], 2), engine.open(sessions[1], 3)]
    mine = [slice(0, 2), slice(2, 5)]
    for number in range(9):
        for session, streams, some in zip(sessions, rows, mine):
            assert engine.accept(session, message(engine, streams, number, x[some, number]), 0.0) == (len(streams), [])
        assert step(engine) == 2 and step(engine) == 0
        for session, streams, some in zip(sessions, rows, mine):
            [answers] = session.connection
            session.connection.clear()
            engine.was_sent(answers)
            assert answers["stream"].tolist() == streams and set(answers["number"]) == {number}
            assert_same_bits(answers["y"], want[some, number])


def test_a_stream_has_one_frame_in_a_step(engine, model):
    """Frames that came in one go are stepped in their order."""
    x, session = frames_of(2, WINDOW), engine.begin()
    session.connection = Kept()
    first, second = engine.open(session, 2)
    for number in range(WINDOW):
        engine.accept(session, message(engine, [first], number, x[0, number]), 0.0)
    engine.accept(session, message(engine, [second], 0, x[1, 0]), 0.0)
    steps = 0
    while step(engine):
        steps += 1
    assert steps == WINDOW
    got = np.concatenate([answers["y"] for answers in session.connection if first in answers["stream"]])
    assert_same_bits(got, model(x[:1])[0])


def test_frames_that_are_refused_leave_the_stream_as_it_was(engine, model):
    x, session = frames_of(2, 6), engine.begin()
    session.connection = Kept()
    rows = engine.open(session, 2)
    bad = x[:, 0].copy()
    bad[1, 2] = np.nan
    accepted, [(reason, row, text)] = engine.accept(session, message(engine, rows, 0, bad), 0.0)
    assert (accepted, reason, row) == (1, "value", rows[1]) and "finite" in text
    _, [(reason, row, text)] = engine.accept(session, message(engine, rows[1:], 1, x[1:, 1]), 0.0)
    assert (reason, row) == ("order", rows[1]) and text == "number: expected 0, got 1"
    for number in range(WINDOW):
        assert engine.accept(session, message(engine, rows[1:], number, x[1:, number]), 0.0)[1] == []
    _, [(reason, row, text)] = engine.accept(session, message(engine, rows[1:], WINDOW, x[1:, WINDOW]), 0.0)
    assert (reason, row) == ("flood", rows[1]) and f"at most {WINDOW} frames" in text
    while step(engine):
        pass
    got = np.concatenate([answers[answers["stream"] == rows[1]]["y"] for answers in session.connection])
    assert_same_bits(got, model(x[1:, :WINDOW])[0])


def test_messages_that_are_refused_change_nothing(engine, programs):
    session, other = engine.begin(), engine.begin()
    rows = engine.open(session, 2)
    engine.open(other, 1)
    for name, (data, text) in hostile_messages(engine, rows).items():
        with pytest.raises(programs.engine.Refused, match=text):
            engine.accept(session, data, 0.0)
        assert not session.waiting and not engine.accepted.any(), name


def test_streams_have_limits_and_numbers_that_come_again(engine, programs, model):
    first, second = engine.begin(), engine.begin()
    first.connection = Kept()
    rows = engine.open(first, 6)
    for count, text in ((0, "positive"), (True, "positive"), ("1", "positive"), (1, "at most 6 streams of a client")):
        with pytest.raises(programs.engine.Refused, match=text):
            engine.open(first, count)
    with pytest.raises(programs.engine.Refused, match="at most 8 streams, got 9"):
        engine.open(second, 3)
    for wrong in (None, [99], [True], [[0]], rows[0]):
        with pytest.raises(programs.engine.Refused, match="close: expected a list of streams of this client"):
            engine.close(first, wrong)
    x = frames_of(1, 2)
    engine.accept(first, message(engine, rows[:1], 0, x[0, :1]), 0.0)
    engine.close(first, rows[:1])
    with pytest.raises(programs.engine.Refused, match="has opened"):
        engine.accept(first, message(engine, rows[:1], 1, x[0, 1:]), 0.0)
    engine.tidy(0.0, 1.0)
    assert len(engine.stream) == 6  # its frame has no answer yet
    step(engine)
    [answers] = first.connection
    engine.was_sent(answers)
    engine.tidy(0.0, 1.0)
    assert len(engine.stream) == 5
    second.connection = Kept()
    assert engine.open(second, 1) == rows[:1]
    engine.accept(second, message(engine, rows[:1], 0, x[0, :1]), 0.0)
    step(engine)
    assert_same_bits(second.connection[0]["y"], model(x[:, :1])[0])  # from zeros


def test_sessions_are_forgotten_with_all_they_had(engine, programs):
    session = engine.begin()
    rows = engine.open(session, 3)
    engine.accept(session, message(engine, rows[:1], 0, 0), 0.0)
    engine.close(session, rows[:1])
    session.lost = 10.0
    engine.tidy(11.0, 1.0)
    assert engine.find(session.token) is session and len(engine.stream) == 3
    engine.tidy(11.1, 1.0)
    assert not engine.sessions and not len(engine.stream) and not engine.take()
    for token in (session.token, "another", None, 3, ["x"]):
        with pytest.raises(programs.engine.Refused, match="token: expected one that this server gave"):
            engine.find(token)


def test_what_a_client_missed(engine, programs):
    session = engine.begin()
    rows = engine.open(session, 1)
    for number in range(6):
        engine.accept(session, message(engine, rows, number, number), 0.0)
        step(engine)
        engine.sent[rows] = number + 1
    key = str(rows[0])
    assert engine.missed(session, {key: 3})["number"].tolist() == [3, 4, 5]
    assert engine.missed(session, {key: 6}).size == 0
    for received in ({key: 1}, {key: 7}, {key: "3"}, {}, [3]):
        with pytest.raises(programs.engine.Refused, match="received: expected"):
            engine.missed(session, received)
    assert engine.sent[rows[0]] == 6


def test_histograms_and_names_of_metrics(programs):
    metrics = programs.metrics.Metrics()
    for seconds, times in ((0.0005, 2), (0.001, 1), (0.004, 1), (7.0, 1)):
        metrics.wait.add(seconds, times)
    metrics.refused["value"] += 1
    text = metrics.text({"streams": 3})
    assert 'wait_seconds_bucket{le="0.001"} 3\n' in text and 'wait_seconds_bucket{le="1.0"} 4\n' in text
    assert 'wait_seconds_bucket{le="+Inf"} 5\nqrnn_wait_seconds_sum 7.006000\nqrnn_wait_seconds_count 5\n' in text
    form = r'# TYPE qrnn_\w+ (gauge|counter|histogram)|qrnn_\w+(\{\w+="[^"]+"\})? \d+(\.\d+)?'
    assert all(re.fullmatch(form, line) for line in text.splitlines())
    assert 'qrnn_refused_total{reason="value"} 1' in text and "qrnn_streams 3" in text
