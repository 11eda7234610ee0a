"""What is held back from the statistics: how much, and that it is what the layer was called with."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import assert_same_bits

import qrnn
from qrnn import nn
from qrnn._reservoir import ROWS, SEQUENCES, SHARE, STEPS, OpenPieces, Reservoir, even_windows, windows
from qrnn.quantization import merge_statistics

f32 = np.float32


@pytest.mark.parametrize("calls", (1, 3, 50))
def test_a_quarter_at_first_and_then_less(calls):
    reservoir, chosen = Reservoir(16), []
    for start in range(0, 5000, 5000 // calls):
        count = min(5000 // calls, 5000 - start)
        chosen += [start + each for each in reservoir.offer(count)]
    assert reservoir.seen == 5000 and chosen == sorted(set(chosen))
    early = [each for each in chosen if each < 16 * SHARE]
    assert len(early) == 16 and {each // SHARE for each in early} == set(range(16)), "one of every four"
    assert 0 not in early and not Reservoir(16).offer(3), "of one call or two nothing"
    late = len(chosen) - 16
    expected = 16 * np.log(5000 / 64)
    assert abs(late - expected) < 4 * np.sqrt(expected)


def test_windows_of_a_batch():
    rows, starts, steps = windows(np.array([200, 50, 0, 97] + [96] * 40))
    assert rows[:43].tolist() == [0, 1, 3, *range(4, 44)] and rows[43:].tolist() == [0, 3, 0] and steps == STEPS
    assert starts[:43].tolist() == [0] * 43 and starts[43:].tolist() == [96, 96, 192]
    assert not windows(np.array([], np.int64))[0].size
    rows, starts, steps = windows(np.array([500]))
    assert steps == 16 and len(rows) == 32 and starts[-1] == 496, "a long sequence is many pieces"
    assert windows(np.array([20, 9]))[2] == 8
    for batch, steps in ((3, 200), (16, 125), (1, 1), (40, 96)):
        for even, each in zip(even_windows(batch, steps), windows(np.full(batch, steps)), strict=True):
            np.testing.assert_array_equal(even, each)


SEQUENCES_OF = {
    "rnn": lambda **options: nn.RNN(3, 5, **options),
    "lstm": lambda **options: nn.LSTM(3, 5, **options),
    "projected": lambda **options: nn.LSTM(3, 5, proj_size=2, **options),
    "gru": lambda **options: nn.GRU(3, 5, **options),
    "before": lambda **options: nn.GRU(3, 5, reset_after=False, **options),
}


def run(module, piece):
    states = [each[:, None] for each in piece.states]
    hx = tuple(states) if len(states) == 2 else states[0]
    return module(piece.x[:, None], hx)[0][:, 0]


@pytest.mark.parametrize("kind", SEQUENCES_OF)
@pytest.mark.parametrize("options", ({}, {"num_layers": 2, "bidirectional": True, "batch_first": True}))
@pytest.mark.parametrize("padded", (False, True))
def test_what_is_held_back_is_not_summed(kind, options, padded):
    """Sums and pieces together are all steps; pieces go on where the sequence was, but an LSTM's from zeros."""
    module, rng = SEQUENCES_OF[kind](**options), np.random.default_rng(3)
    prepared = qrnn.prepare(module, qconfig={}, inplace=False)
    lengths = np.array([230, 40, 0, 97, 230, 100, 130, 200])
    x = rng.standard_normal((230, 8, 3)).astype(f32)
    given = np.ascontiguousarray(x.swapaxes(0, 1)) if module.batch_first else x
    more = {"lengths": lengths} if padded else {}
    output = prepared(given, **more)[0]
    output = output.swapaxes(0, 1) if module.batch_first else output
    statistics = prepared._prepared.statistics
    pieces, each = statistics.held(), 33 if padded else 58
    assert len(pieces) >= 4 and max(len(piece.x) for piece in pieces) == each
    total = lengths.sum() if padded else x[..., 0].size
    assert {moments.count for moments in statistics.by_product().values()} == {
        total - sum(len(piece.x) for piece in pieces)
    }
    plain = SEQUENCES_OF[kind](**{**options, "batch_first": False})
    for name in plain.state_dict().keys() - {"format"}:
        setattr(plain, name, getattr(module, name))
    begins, inside = 0, 0
    for piece in pieces:
        (at,) = {(t, row) for row in range(8) for t in range(0, 230, each) if np.array_equal(x[t, row], piece.x[0])}
        if kind in ("lstm", "projected") and at[0]:
            assert not any(state[0].any() for state in piece.states)
            continue
        begins, inside = begins + (at[0] == 0), inside + (at[0] > 0)
        if "bidirectional" not in options:  # the upper layers would need the whole of the lower ones
            assert_same_bits(run(plain, piece), output[at[0] : at[0] + len(piece.x), at[1]])
    assert begins + inside


@pytest.mark.parametrize("make", (nn.RNNCell, nn.LSTMCell, nn.GRUCell, lambda *n: nn.GRUCell(*n, reset_after=False)))
def test_single_steps_are_put_together(make):
    cell, rng = make(3, 5), np.random.default_rng(4)
    prepared = qrnn.prepare(cell, qconfig={})
    has_c = cell.kind == "lstm"

    def steps(x, hx):
        found = []
        for each in x:
            hx = prepared(each, hx)
            found.append((hx[0] if has_c else hx).copy())
        return np.stack(found)

    x = rng.standard_normal((120, 9, 3)).astype(f32)
    first = rng.standard_normal((2, 9, 5)).astype(f32)
    outputs = [steps(x, (first[0], first[1]) if has_c else first[0]), steps(x[:50], None)]
    pieces = prepared._prepared.statistics.held()
    assert sorted({len(piece.x) for piece in pieces}) == [24, 50, 96]
    held = sum(len(piece.x) for piece in pieces)
    assert {m.count for m in prepared._prepared.statistics.by_product().values()} == {170 * 9 - held}
    for piece in pieces:
        hx = tuple(piece.states) if has_c else piece.states[0]
        got = []
        for each in piece.x:
            hx = cell(each[None], hx)
            got.append((hx[0] if has_c else hx)[0])
        want = [out[t : t + len(got), row] for out in outputs for t in (0, 96) for row in range(9)]
        assert any(each.tobytes() == np.stack(got).tobytes() for each in want)


def test_a_single_stream_is_several_pieces():
    prepared, h = qrnn.prepare(nn.GRUCell(3, 5), qconfig={}), None
    for x in np.random.default_rng(5).standard_normal((500, 3)).astype(f32):
        h = prepared(x, h)
    pieces = prepared._prepared.statistics.held()
    assert len(pieces) >= 6 and {len(piece.x) for piece in pieces} <= {16, 4}


def test_a_call_from_another_state_begins_anew():
    reservoir, pieces = Reservoir(16), OpenPieces()
    h = np.ones((8, 2), f32)
    held = pieces.step(reservoir, np.zeros((8, 3), f32), [h], 2 * h, False)
    assert held and pieces.step(reservoir, np.ones((8, 3), f32), [2 * h], 3 * h, False) == held
    assert {len(piece.x) for piece in reservoir.pieces} == {2}
    pieces.step(reservoir, np.ones((8, 3), f32), [h], 3 * h, False)
    pieces.step(reservoir, np.ones((3, 3), f32), [h[:3]], 3 * h[:3], False)
    pieces.step(reservoir, np.ones((3, 3), f32), [np.zeros((3, 2), f32)], h[:3], True)
    assert sorted(len(piece.x) for piece in reservoir.pieces)[-2:] == [2, 2] and reservoir.seen == 8 + 8 + 3 + 3


def test_rows_of_a_linear_are_held_back():
    layer = qrnn.prepare(nn.Linear(3, 2), qconfig={})
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((20_000, 3)).astype(f32)
    for part in np.split(rows, 40):
        layer(part)
    pieces = layer._prepared.statistics.held()
    assert len(pieces) == ROWS and {piece.x.shape for piece in pieces} == {(1, 3)}
    known = {row.tobytes() for row in rows}
    assert all(piece.x.tobytes() in known for piece in pieces)
    assert len(rows) * 0.7 < layer._prepared.statistics.of(0).count < len(rows) - ROWS


def test_copies_pickles_and_merged_models_keep_what_is_held_back():
    model = qrnn.prepare(nn.Sequential(nn.GRU(3, 5)), qconfig={}, inplace=False)
    x = np.random.default_rng(7).standard_normal((30, 60, 3)).astype(f32)
    model[0](x)
    want = [piece.x for piece in model[0]._prepared.statistics.held()]
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for other in others:
        for one, piece in zip(want, other[0]._prepared.statistics.held(), strict=True):
            np.testing.assert_array_equal(one, piece.x)
    merge_statistics(model, *others)
    assert len(model[0]._prepared.statistics.held()) == SEQUENCES
    assert model[0]._prepared.statistics._held.seen == 180


def test_changed_weights_drop_what_was_seen():
    model = qrnn.prepare(nn.Sequential(nn.RNNCell(3, 5), nn.Linear(5, 2)), qconfig={})
    x = np.random.default_rng(8).standard_normal((30, 3)).astype(f32)
    model(x)
    model.apply(qrnn.quantization.disable_observer)
    model[0].weight_ih = np.zeros((5, 3))
    assert not model[0]._prepared.statistics.by_product() and not model[0]._prepared.statistics.held()
    assert not model[0]._prepared.statistics.enabled
    assert model[1]._prepared.statistics.held()
