"""What the benchmark programs are held to, and how their reports say whether it was reached."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from support import ROOT

import qrnn

FOLDER = ROOT / "benchmarks"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="NO benchmarks/: their reports were not checked")


@pytest.fixture
def load(monkeypatch):
    """Modules of benchmarks/ by name; those that set no variables and change no setting of a peer."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    yield importlib.import_module
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(f"{FOLDER}{os.sep}"):
            del sys.modules[name]


MACHINE = {"instruction sets": "scalar, avx2, avx512vnni", "instruction set run": "avx512vnni"}


def record(kind="rnn", mode="sequence", batch=1, size=256, ratio=1.0, share=0.5, **more):
    """A point at which the fastest peer takes 12 us and qrnn 12 / ratio."""
    return {
        "kind": kind, "mode": mode, "batch": batch, "size": size, "steps": 100,
        "us": {"qrnn": [1, 12 / ratio], "them": [11, 12]}, "absent": {},
        "fastest": "them", "ratio": {"qrnn": 1 / ratio, "them": 1.0},
        "limit": {"qrnn": [6.0, share, "L2 reads"]}, **more,
    }  # fmt: skip


def results(*points, threads=1, **machine):
    peer = {"distribution": "x", "version": "1", "precision": "int8", "details": "d"}
    return {"machine": MACHINE | machine, "threads": threads, "limits": {}, "not run": {},
            "peers": dict.fromkeys(("qrnn", "qrnn f32", "them"), peer), "points": list(points)}  # fmt: skip


def test_ratios_asked(load):
    """The table of what is asked, at every size of the grid."""
    asked = load("targets").asked
    sizes = (16, 32, 64, 128, 256, 512, 1024, 2048)

    def row(kind, mode, batch):
        return [asked(kind, mode, batch, size) for size in sizes]

    assert row("rnn", "sequence", 1) == [3, 3, 3, 3, 3, 2, 1.4, 1.2]
    assert row("gru", "sequence", 1) == [2.5] * 5 + [2, 1.4, 1.4]
    assert row("lstm", "sequence", 1) == [2, 2, 2, 1.5, 1.3, 1.3, 1.3, 1.3]
    for kind in ("rnn", "lstm", "gru"):
        assert row(kind, "sequence", 4) == [1.4] * 6 + [1, 1.1]
        assert row(kind, "sequence", 2) == row(kind, "sequence", 8) == [1] * 7 + [1.1]
        assert [asked(kind, "sequence", 2, size) for size in (1535, 1536, 4096)] == [1, 1.1, 1.1]
        assert row(kind, "step", 1)[:7] == [8, 8, 8, 8, 5, 1.5, 1.5]
        for mode, batch in (("sequence", 32), ("step", 32), ("step", 4)):
            assert row(kind, mode, batch) == [1] * 8


def test_shares_and_gains_asked(load):
    targets = load("targets")
    sizes = (16, 128, 256, 512, 1024, 2048)
    assert [targets.share_asked("sequence", 1, n) for n in sizes] == [None, None, 0.75, 0.75, 0.75, 0.75]
    for batch in (32, 128):
        assert [targets.share_asked("sequence", batch, n) for n in sizes] == [None, None, None, 0.8, 0.8, 0.8]
    assert targets.share_asked("sequence", 32, 512, "amx") is None
    assert {targets.share_asked(m, b, 512) for m, b in (("step", 1), ("step", 32), ("sequence", 8))} == {None}
    assert [targets.gain_asked(1, n) for n in (256, 512, 1024, 2048)] == [None, None, 1.7, None]
    assert [targets.gain_asked(32, n) for n in (128, 256, 2048)] == [None, 1.7, 1.7]


@pytest.mark.parametrize(
    ("ratio", "asked", "share", "verdict"),
    [
        (3.0, 3.0, 0.1, "yes"),
        (2.9, 3.0, 0.79, "no"),
        (2.9, 3.0, 0.8, "by the limit"),
        (1.0, 3.0, 0.9, "by the limit"),
        (0.99, 3.0, 0.9, "no"),  # nowhere slower than a peer, whatever the limit
        (0.99, 1.0, 0.99, "no"),
        (1.0, 1.0, None, "yes"),
        (2.9, 3.0, None, "no"),  # without a limit there is nothing to be reached but the ratio
    ],
)
def test_reached(load, ratio, asked, share, verdict):
    assert load("targets").reached(ratio, asked, share) == verdict


def test_float_modules_are_held_against_float_peers(load):
    """An int8 peer that is faster than qrnn f32 is no miss; a float peer that is, is one."""
    targets = load("targets")
    ours = {"us": {"qrnn": [1, 1], "qrnn f32": [30, 30], "them": [12, 12], "float": [33, 33]}}
    point = record(ratio=12, share=0.9, **ours, **{"float fastest": "float", "float ratio": {"qrnn f32": 30 / 33}})
    verdict = targets.Verdict(results(point), point)
    assert verdict.ratio("qrnn f32") == pytest.approx(1.1) and verdict.reached("qrnn f32") == "yes"
    assert verdict.missed() == []
    point["float ratio"]["qrnn f32"] = 1.02
    point["limit"]["qrnn f32"] = [29.0, 0.97, "products"]
    assert [what for what, *_ in verdict.missed()] == ["qrnn f32: times the fastest float peer"]


def test_a_step_is_held_against_np_add(load):
    targets = load("targets")
    point = record(mode="step", size=16, ratio=20, calls={"empty": 0.1, "np.add": 1.21})
    assert targets.Verdict(results(point), point).missed() == []
    point["calls"]["np.add"] = 1.2
    assert [what for what, *_ in targets.Verdict(results(point), point).missed()] == ["qrnn: of np.add's time"]


def test_report_of_one_thread(load):
    """Columns, and at the end every point that was not reached and no other."""
    report = load("report")
    points = [
        record(size=256, ratio=3.5, share=0.8),  # reached
        record(size=512, ratio=1.8, share=0.85),  # by the limit
        record(size=1024, ratio=1.2, share=0.7),  # neither the ratio nor the share
        record(batch=32, size=512, ratio=1.1, share=0.75),  # the ratio, not the share
        record(batch=2, size=64, ratio=0.9, share=0.9),  # slower than a peer
    ]
    text = report.markdown(results(*points))
    lines = [line for line in text.splitlines() if line.startswith("| RNN | ")]
    head = next(line for line in text.splitlines() if "peer ÷ it" in line)
    at = [name.strip() for name in head.split("|")].index("reached")
    assert [line.split("|")[at].strip() for line in lines[:5]] == ["yes", "by the limit", "no", "yes", "no"]
    closing = text[text.index("## Not reached") : text.index("## Every peer")]
    assert "4 of 9 things asked were not reached" in closing
    assert [line.split("|")[2:7] for line in closing.splitlines() if line.startswith("| RNN")] == [
        [" 1 ", " 1024 ", " sequence ", " qrnn: times the fastest peer ", " 1.40 "],
        [" 1 ", " 1024 ", " sequence ", " qrnn: share of limit ", " 75% "],
        [" 32 ", " 512 ", " sequence ", " qrnn: share of limit ", " 80% "],
        [" 2 ", " 64 ", " sequence ", " qrnn: times the fastest peer ", " 1.00 "],
    ]
    assert "| RNN | 1 | 75% | 256: 80%, 512: 85%, 1024: 70% | no |" in text


def test_a_report_names_the_options_of_its_run(load):
    named = results(record()) | {"options": {"seconds": 1.5, "rounds": 25}}
    text = load("report").markdown(named)
    assert "- seconds at each point: `--seconds 1.5`\n- rounds at each point: `--rounds 25`\n" in text


def test_report_of_two_threads(load):
    report = load("report")

    def point(batch, size, gain):
        took = {"qrnn": [1, 1], "qrnn 1 thread": [2, gain]}
        return record(batch=batch, size=size, ratio=1.01, gain=gain, **{"gain us": took})

    text = report.markdown(results(point(1, 256, 1.2), point(1, 1024, 1.8), point(32, 256, 1.6), threads=2))
    table = text[text.index("## 2 threads against one") :].split("\n\n")[1].splitlines()[2:]
    assert table == ["| RNN | 1 | 256 | 1.2 | 1 | 1.20 |  |  |", "| RNN | 1 | 1024 | 1.8 | 1 | 1.80 | 1.70 | yes |",
                     "| RNN | 32 | 256 | 1.6 | 1 | 1.60 | 1.70 | no |"]  # fmt: skip
    assert "1 of 5 things asked" in text  # three times the fastest peer, two gains


def test_report_of_another_instruction_set(load):
    """qrnn on less than the CPU has: that is said, and asked is only to be ahead."""
    behind = {"float fastest": "them", "float ratio": {"qrnn f32": 2.0}}
    point = record(size=256, ratio=1.1, share=0.2, **behind)
    point["us"]["qrnn f32"] = [24, 24]
    markdown = load("report").markdown
    full, less = (markdown(results(point, **{"instruction set run": isa})) for isa in ("avx512vnni", "avx2"))
    assert "qrnn was limited to avx2, the peers ran as they are" in less and "limited" not in full
    assert "0 of 1 things asked" in less and "3 of 3 things asked" in full


def test_the_limit_is_that_of_the_fastest_round(load):
    """Neither a slow phase of the machine nor the slower way of reading raises it; the share is of our fastest."""
    race = load("race")

    class Loops:
        READS = ("read", "ahead")
        caches = (("L1", 1 << 10), ("L2", 1 << 20))
        block = dict.fromkeys(("int8", "float32"), 100)  # products
        empty_one = staticmethod(lambda x, h: None)

    bound = race.Bound(Loops, race.Work("gru", "sequence", 64, 1), 0.0)
    assert bound.least == {f"limit: {way} {kind}": 8 for way in Loops.READS for kind in ("int8", "float32")}
    contest = load("timing").Race(dict.fromkeys(bound.blocks))
    for kind, fastest in (("int8", 1000.0), ("float32", 4000.0)):
        contest.times[f"limit: read {kind}"] = [9 * fastest] * 5
        contest.times[f"limit: ahead {kind}"] = [1.6 * fastest, 1.6 * fastest, fastest, 1.6 * fastest, 1.7 * fastest]
        contest.times[f"limit: product {kind}"] = [3.2, 3.2, 3.2, 2.0, 3.2]  # a hundred products
    contest.times["limit: call"], contest.times["np.add"] = [160.0, 100.0, 160.0, 160.0, 160.0], [1.0] * 5
    contest.times["qrnn"] = [2000.0, 2500.0, 2500.0, 2500.0, 2500.0]
    ours = type("Ours", (), {"name": "qrnn", "precision": "int8"})
    products = 3 * 64 * 64 * 2.0 / 100
    least = 1000 + products + 100 / 100  # reads of W_hh, x's products, an empty call for a hundred steps
    limit, share, bound_by = race.limits_reached(contest, bound, [ours], {"qrnn": None})["qrnn"]
    assert (limit, share, bound_by) == (float(f"{least / 1e3:.4g}"), round(least / 2000, 3), "L2 reads")


def test_an_interrupted_call_makes_no_short_blocks(load):
    """The first call waits for the processor, and another one later: a block still lasts as long as it has to."""
    timing, ran = load("timing"), []

    def block(n):
        ran.append(n)
        return 1000 * n + (9_000_000 if len(ran) in (1, 5) else 0)

    calls = timing.repeats(block)
    assert timing.BLOCK * 1e9 <= 1000 * calls <= 1.2 * timing.BLOCK * 1e9
    assert timing.repeats(lambda n: 10**9 * n) == 1


def test_builds_are_called_equally_often_before_they_are_timed(load, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))  # which it sets for itself
    builds, calls = load("builds"), dict.fromkeys(("old", "new"), 0)

    def seconds(module, args, times):
        calls[module] += times
        return 3e-3

    monkeypatch.setattr(builds, "seconds", seconds)
    assert builds.ratio("old", "new", (), rounds=1) == (1, 1e-3)
    assert calls == {"old": 16, "new": 16}


def test_every_peer_has_a_color():
    """plots.py: of every library that an adapter names."""
    named = {
        name
        for path in (FOLDER / "peers").glob("*.py")
        for name in re.findall(r'^    distribution = "(.+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    text = (FOLDER / "plots.py").read_text(encoding="utf-8")
    assert len(named) == 8 and all(text.count(f'    "{name}": ') == 2 for name in named), named


@pytest.mark.parametrize("adapter", ["onnxruntime_", "openvino_", "numba_"])
def test_peers_give_the_right_answer(load, adapter):
    """Sequences and steps of every kind, and again after some calls, as the race does it."""
    try:
        peers = [peer() for peer in load(f"peers.{adapter}").PEERS]
    except ImportError as error:
        pytest.skip(f"NO peer {adapter}: {error}")
    race, ran = load("race"), set()
    for kind in ("rnn", "lstm", "gru"):
        for mode in ("sequence", "step"):
            work = race.Work(kind, mode, 16, 3)
            runs, errors, absent = work.build(peers, {}, ())
            assert all(why.startswith("no ") for why in absent.values()), absent
            for name, run in runs.items():
                ran.add((name, kind))
                if mode == "sequence":
                    run(2)
                    precision = next(peer.precision for peer in peers if peer.name == name)
                    assert race.check(name, precision, *work.answer(run)) == errors[name]
    assert {kind for _, kind in ran} == {"rnn", "lstm", "gru"} and len(ran) >= 3 * (len(peers) - 1)


def test_a_quantized_peer_quantizes(load):
    """OpenVINO multiplies floats where the group of a scale is not one row: then its error is that of weights alone."""
    try:
        peer = load("peers.openvino_").OpenVINOInt8()
    except ImportError as error:
        pytest.skip(f"NO OpenVINO: {error}")
    race, cells, base = load("race"), load("cells"), load("peers.base")
    work = race.Work("rnn", "sequence", 64, 1)
    rounded = dict(work.weights)
    for name in ("weight_ih", "weight_hh"):
        codes, scale = base.quantize_rows(rounded[name])
        rounded[name] = codes * scale[:, None]
    got, _ = work.answer(peer.sequence("rnn", work.weights, work.xs))
    assert cells.relative_rms(got, load("recurrent").reference("rnn", rounded, work.xs)) > 1e-3
    for size in (24, 40):
        work = race.Work("rnn", "sequence", size, 1)
        with pytest.raises(ValueError, match=f"no int8 products of {size} inputs and {size} units"):
            peer.sequence("rnn", work.weights, work.xs)


def test_the_committed_run_has_a_report(load):
    """Points that an earlier version wrote can be read too."""
    path = FOLDER / "results" / "peers.json"
    report, found = load("report"), json.loads(path.read_text(encoding="utf-8"))
    assert "## Not reached" in report.markdown(found)
    assert len(report.summary(found, "sequence")) > 50


def test_what_a_batch_may_take(load):
    """Between round batches the straight line; beside one, and beyond the last, its time a row."""
    targets = load("targets")
    times = {1: 10.0, 2: 12.0, 4: 20.0, 8: 40.0, 32: 128.0}
    assert [targets.expected(b, times) for b in (1, 2, 4, 5, 6, 8)] == [None, 20.0, 24.0, 25.0, 30.0, 40.0]
    assert [targets.expected(b, times) for b in (3, 7, 31, 33)] == [15.0, 35.0, 124.0, 132.0]
    assert targets.larger((23, 100)) == (32, 112) and targets.smaller((23, 100)) == (16, 96)
    assert targets.larger((16, 500)) == (16, 512) and targets.smaller((15, 15)) == (0, 0)


def test_what_an_owner_of_a_machine_sends():
    """bench-here: the digest of the page from every instruction set, and a row for each kind and mode."""
    command = [sys.executable, FOLDER / "here.py", "--sizes", "16", "--batches", "1", "--rounds", "1"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (digest,) = re.findall(r"^    ([0-9a-f]{16})$", (ROOT / "docs/performance.md").read_text(encoding="utf-8"), re.M)
    assert f"digest    {digest}, the same from {', '.join(qrnn.isas())}\n" in printed
    rows = re.findall(r"^(\w+) +(sequence|step) +1 +16 +\S+ / ", printed, re.MULTILINE)
    assert rows == [(kind, mode) for kind in ("RNN", "LSTM", "GRU") for mode in ("sequence", "step")]


def tables(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]


def test_trained_models(tmp_path):
    """bench-tasks: the digits, whose data are there with scikit-learn; every model is checked, and scored alike."""
    for package in ("sklearn", "torch", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package.upper()} IS NOT INSTALLED: bench-tasks did not run")
    written = tmp_path / "tasks.md"
    command = [sys.executable, FOLDER / "tasks.py", "--tasks", "digits", "--rounds", "1", "--output", written]
    subprocess.run(command, capture_output=True, text=True, check=True)
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in tables(written)[2:]}
    assert {"PyTorch float32", "torch.ao int8", "ONNX Runtime int8", "qrnn 8 bits, calibrated"} <= set(rows)
    for name, (accuracy, kept, nbytes, *_) in rows.items():
        assert float(accuracy.strip(" %")) > 98.5 and float(kept.strip(" %")) > 99, name
        # ONNX Runtime's tool leaves an RNN in float32.
        assert "float32" in name or "ONNX" in name or int(nbytes.replace(",", "")) < 60_000, name


def test_the_page_of_trained_models_is_the_last_run():
    """docs/tasks.md shows the tables of results/tasks.md, all of them."""
    run = tables(FOLDER / "results" / "tasks.md")
    assert [line for line in tables(ROOT / "docs/tasks.md") if line in run] == run


def test_bands_of_voices(load):
    """Triangles of area 1, which begin where the one before has its top, and end at the highest frequency."""
    data = load("task_data")
    filters = data.mel_filters()
    area = filters.sum(axis=1) * data.RATE / data.WINDOW
    assert filters.shape == (data.MELS, data.WINDOW // 2 + 1) and np.abs(area[8:] - 1).max() < 0.1
    tops = filters.argmax(axis=1)
    assert (np.diff(tops) > 0).all() and filters[-1, -1] == 0
    assert len(data.PHONEMES) == 74 and data.PHONEMES[4:7] == ["AA0", "AA1", "AA2"]
