"""One point of benchmarks/compare.py: every peer built, checked against float64, and timed in one race."""

import importlib
import itertools
import os
import random
import sys
import time
import zlib

import cells
import limits
import numpy as np
import recurrent
import timing

ADAPTERS = ("qrnn_", "numpy_", "numba_", "torch_", "onnxruntime_", "litert_", "openvino_", "ncnn_")
OURS = ("qrnn", "qrnn out=", "qrnn f32", "qrnn 1 thread")
FLOAT = "qrnn f32"
STEPS = 100  # steps of a sequence
FEWER = 50  # steps of a sequence if a step has more than LARGE products
LARGE = 1 << 25
FEWEST = 5  # fewest rounds at a point, however long they take
BEHIND = {2e9: 3.0, 2e10: 1.5}  # in calls of more products, peers that were this many times slower do not run
ENOUGH = 1e11, 3  # in calls of more products, float32 runs only this many rounds, of some seconds each
LONG = 20e-3  # seconds; a block need not repeat longer calls
DROPPED = {2: 3.0, 3: 2.0, 5: 1.5}  # after this many rounds, peers this many times slower than the fastest stop
IDLE = 0.2  # seconds after which no peer's thread is still spinning
INPUTS = 8  # different inputs of single steps
PASSES = 8  # fewest passes in a block of reads; the first pass brings the evicted buffer back into the caches


def contenders(threads, wanted=None):
    """Return the adapters of installed peers, and {name: reason} of the others."""
    found, missing = [], {}
    for module_name in ADAPTERS:
        try:
            module = importlib.import_module(f"peers.{module_name}")
        except ImportError as error:
            missing[module_name.rstrip("_")] = str(error)
            continue
        for peer in module.PEERS:
            if wanted and not any(word in peer.name for word in wanted):
                continue
            if peer.name == "qrnn 1 thread" and threads == 1:
                continue
            try:
                found.append(peer(threads))
            except (ImportError, RuntimeError) as error:
                missing[peer.name] = str(error)
    return found, missing


def bounds(threads, points):
    """Return the bare loops for the instruction set that qrnn uses, or None and the reason."""
    if threads != 1:
        return None, "measured for one thread only"
    import qrnn

    isa = qrnn.RNNCell(4, 4).isa
    if isa not in limits.LOOPS:
        return None, f"no bare loops for {isa}"
    largest = max(4 * 2 * recurrent.GATES[kind] * size * size for kind, _, size, _ in points)
    try:
        return limits.Limits(isa, min(max(largest, 32 << 20), 1 << 28)), ""
    except (OSError, limits.subprocess.CalledProcessError) as error:
        return None, f"not measured: {getattr(error, 'stderr', '') or error}"


def check(name, precision, got, exact):
    """Return the relative RMS error; ValueError if it is larger than this precision explains."""
    if got.shape != exact.shape:
        raise ValueError(f"{name}: gave {got.shape}, expected {exact.shape}")
    error = cells.relative_rms(got.astype(np.float64), exact)
    if not error <= recurrent.BOUND[precision]:
        raise ValueError(f"{name}: {error:.3g} from float64")
    return error


class Work:
    """The task of all peers at a point: the same weights and inputs, and the float64 answer for some rows."""

    def __init__(self, kind, mode, size, batch):
        rng = np.random.default_rng(zlib.crc32(repr((kind, mode, size, batch)).encode()))
        self.kind, self.mode, self.size, self.batch = kind, mode, size, batch
        self.products = recurrent.GATES[kind] * size * size  # products of one matrix and one row
        self.steps = INPUTS
        if mode == "sequence":
            self.steps = STEPS if self.products * batch <= LARGE else FEWER
        self.call = 2 * self.products * batch * self.steps  # products of a call
        self.weights = recurrent.random_weights(kind, size, size, rng)
        self.xs = rng.standard_normal((self.steps, batch, size)).astype(np.float32)
        self.rows = np.unique(np.linspace(0, batch - 1, 4).astype(int))
        self.exact = recurrent.reference(kind, self.weights, self.xs[:, self.rows])

    def answer(self, run):
        """Return the result of `run` at the rows that are checked."""
        if self.mode == "sequence":
            return np.array(run(1)[:, self.rows]), self.exact
        return np.array(run(self.steps)[self.rows]), self.exact[-1]

    def hopeless(self, times):
        """Whether a peer that was `times` times slower than the fastest would only waste minutes here."""
        work = self.call
        return self.mode == "sequence" and any(work > limit and times > most for limit, most in BEHIND.items())

    def build(self, peers, behind, always):
        """Return {name: run} of checked peers, their {name: error}, and {name: reason} of the others; set self.long."""
        runs, errors, absent = {}, {}, {}
        self.long = set()
        for peer in peers:
            why = peer.refuses(self.kind, self.mode, self.batch)
            times, size = behind.get(peer.name, (0, 0))
            if not why and peer.name not in always and self.hopeless(times):
                why = f"{times:.1f} times the fastest at I = H = {size}"
            if why:
                absent[peer.name] = why
                continue
            try:
                run = getattr(peer, self.mode)(self.kind, self.weights, self.xs)
                start = time.perf_counter()
                answer = self.answer(run)
                if self.mode == "sequence" and time.perf_counter() - start > LONG:
                    self.long.add(peer.name)
                errors[peer.name] = check(peer.name, peer.precision, *answer)
            except Exception as error:  # a peer may fail in any way; the run goes on without it and says so
                if peer.name in OURS:
                    raise
                absent[peer.name] = f"{type(error).__name__}: {str(error)[:200]}"
                print(f"\nNOT RUN: {peer.name}: {absent[peer.name]}", file=sys.stderr)
                continue
            runs[peer.name] = run
        return runs, errors, absent


def timed(run, overhead):
    """Make the block(n) of timing.Race, less the time of an empty loop."""
    clock = time.perf_counter_ns

    def block(n):
        start = clock()
        run(n)
        return clock() - start - n * overhead

    return block


def repeated(function, *arguments):
    def run(n):
        for _ in itertools.repeat(None, n):
            function(*arguments)

    return run


class Bound:
    """The bare loops at a point, as blocks of a race, and the limit that they put on a step.

    sequence   each step reads W_hh or makes its products, whichever takes longer; x's products of all
               steps are one matrix product at peak rate; there is one Python call per sequence
    step       each step reads both matrices or makes their products; there is one Python call per step
    """

    def __init__(self, loops, work, overhead):
        self.loops, self.work = loops, work
        h = np.zeros((work.batch, work.size), np.float32)
        empty = loops.empty_two if work.kind == "lstm" and work.mode == "step" else loops.empty_one
        matrices = 1 if work.mode == "sequence" else 2
        self.bytes = {"int8": matrices * work.products, "float32": 4 * matrices * work.products}

        self.blocks = {
            "limit: call": timed(repeated(empty, h, h), overhead),
            "np.add": timed(repeated(np.add, h, h), overhead),
        }
        self.least = {}
        for kind, size in self.bytes.items():
            for way in loops.READS:
                self.blocks[f"limit: {way} {kind}"] = lambda n, way=way, size=size: loops.read(way, size, n)
                self.least[f"limit: {way} {kind}"] = PASSES
            self.blocks[f"limit: product {kind}"] = lambda n, kind=kind: loops.multiply(kind, n)

    def of(self, times, precision):
        """Return (nanoseconds per step, its largest part) from the best nanoseconds of each bare loop."""
        work = self.work
        product = times[f"limit: product {precision}"] / self.loops.block[precision]
        call = times["limit: call"]
        one = work.products * work.batch * product
        if work.mode == "sequence":
            products, call = one, call / work.steps
            before = one
        else:
            products, before = 2 * one, 0.0
        read = min(times[f"limit: {way} {precision}"] for way in self.loops.READS)
        level = limits.level_of(self.bytes[precision], self.loops.caches)
        parts = {
            "the call": call,
            f"{level} reads": read if read > products else 0.0,
            "products": before + (products if products >= read else 0.0),
        }
        return sum(parts.values()), max(parts, key=parts.get)


def threads_gain(work, blocks, each, given, order):
    """Race qrnn against itself on one thread, without peers, as some peers' threads spin on after their calls."""
    time.sleep(IDLE)
    names = ("qrnn", "qrnn 1 thread")
    contest = timing.Race({n: blocks[n] for n in names}, net=False, each=dict.fromkeys(names, each))
    contest.calls = {n: 1 for n in names if n in work.long}
    contest.run(given.rounds, order, given.seconds / 2, FEWEST)
    return contest


def measure(point, peers, loops, given, before):
    """Measure one point; return its record of plain values."""
    start = time.perf_counter()
    work = Work(*point)
    apart = given.threads == 1 and "QRNN_ISA" not in os.environ  # then float32 is compared with float peers only
    always = [name for name in OURS if apart or name != FLOAT]
    runs, errors, absent = work.build(peers, behind_at(point, before, apart), always)
    each = work.steps if work.mode == "sequence" else 1
    overhead = min(timing.empty_loop(20_000) for _ in range(10)) / 20_000
    blocks = {name: timed(run, overhead) for name, run in runs.items()}
    bound = Bound(loops, work, overhead) if loops else None
    if bound:
        blocks |= bound.blocks
    least = dict.fromkeys(runs, 1 if each > 1 else 8)
    least |= bound.least if bound else {}
    contest = timing.Race(blocks, net=False, least=least, each=dict.fromkeys(runs, each))
    contest.calls = dict.fromkeys(work.long, 1)
    order = random.Random(0)
    outside = [name for name in runs if name not in OURS]
    floats = [peer.name for peer in peers if peer.name in outside and peer.precision == "float32"]

    def settled():
        """Name peers that stop: float peers against the fastest float peer where qrnn f32 is compared with that."""
        if not outside:
            return []
        best = {n: min(contest.times[n]) for n in runs if n in outside or n not in always}
        least = {n: min(best[other] for other in (floats if apart and n in floats else outside)) for n in best}
        leave = [
            n
            for n in best
            for rounds, times in DROPPED.items()
            if len(contest.times[n]) >= rounds and best[n] > times * least[n]
        ]
        if work.call > ENOUGH[0]:
            leave += [n for n in (*floats, FLOAT) if n in runs and len(contest.times[n]) >= ENOUGH[1]]
        return leave

    built = time.perf_counter()
    alone = threads_gain(work, blocks, each, given, order) if "qrnn 1 thread" in runs else None
    contest.run(given.rounds, order, given.seconds, FEWEST, settled)
    raced = time.perf_counter()
    for peer in peers:  # the answers must still be right after the race
        if peer.name in runs and peer.name not in work.long | contest.dropped and work.mode == "sequence":
            check(peer.name, peer.precision, *work.answer(runs[peer.name]))
    kind, mode, size, batch = point
    record = {
        "kind": kind,
        "mode": mode,
        "size": size,
        "batch": batch,
        "steps": work.steps,
        "us": {},
        "rounds": {n: len(contest.times[n]) for n in runs},
        "error": {n: float(f"{e:.3g}") for n, e in errors.items()},
        "absent": absent,
    }
    for name in runs:
        record["us"][name] = [float(f"{t:.4g}") for t in contest.microseconds(name)]
    for what, among in (("", outside), ("float ", floats)):
        fastest = min(among, key=lambda n: contest.microseconds(n)[1], default=None)
        record[f"{what}fastest"] = fastest
        if fastest:
            names = [n for n in runs if n in OURS or n in among]
            record[f"{what}ratio"] = {n: float(f"{contest.ratio(n, fastest):.4g}") for n in names}
    if alone:
        record["gain"] = round(alone.ratio("qrnn 1 thread", "qrnn"), 3)
        record["gain us"] = {n: [float(f"{t:.4g}") for t in alone.microseconds(n)] for n in alone.times}
    if bound:
        record["calls"] = {
            name: round(contest.microseconds(block)[1], 4)
            for name, block in (("empty", "limit: call"), ("np.add", "np.add"))
        }
        record["limit"] = limits_reached(contest, bound, peers, runs)
    record["seconds"] = {"to build": round(built - start, 2), "to race": round(raced - built, 2)}
    return record


def limits_reached(contest, bound, peers, runs):
    """Return {our name: [limit in us per step, share reached, what bounds it]}, from the fastest rounds of both.

    A bound is the least time seen in any round: a loop's time in a slow phase of the machine is no bound.
    """
    fastest = {name: min(contest.times[name]) for name in bound.blocks}
    found = {}
    for peer in peers:
        if peer.name in runs and peer.name in OURS:
            limit, what = bound.of(fastest, "int8" if peer.precision == "int8" else "float32")
            share = limit / min(contest.times[peer.name])
            found[peer.name] = [float(f"{limit / 1e3:.4g}"), round(share, 3), what]
    return found


def behind_at(point, before, apart):
    """Return {name: (ratio to the fastest's time, H)} at the largest smaller size at which each peer ran.

    With `apart` a float peer is compared with the fastest float peer, any other peer with the fastest of all.
    """
    kind, mode, size, batch = point
    found = {}
    for record in before:
        if (record["kind"], record["mode"], record["batch"]) == (kind, mode, batch) and record["size"] < size:
            ratios = record.get("ratio", {}) | (record.get("float ratio", {}) if apart else {})
            found.update((name, (times, record["size"])) for name, times in ratios.items())
    return found
