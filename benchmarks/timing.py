"""Interleaved timing of short calls.

A block repeats one call until it lasts at least `BLOCK` seconds; the time of an empty loop of the same
form is subtracted. A round is one block of every contender, in a new order each time, so that all of them
meet the same phases of the machine. A ratio is the median of the ratios inside the rounds.
"""

import gc
import itertools
import statistics
import time

BLOCK = 200e-6
PROBES = 3  # blocks per tried number of calls: one interrupted block alone would suggest too few calls
WARMED = 20e6  # nanoseconds; a longer call needs no call before it to warm up


def block_of(contender, xs, h, feed_back):
    """Make a function of n that runs n steps and returns the nanoseconds that they took.

    With `feed_back` each step starts from the state of the last one; otherwise all start from h.
    """
    step = contender.step
    native = contender.native
    xs = [native(x) for x in xs]
    h = native(h)
    clock = time.perf_counter_ns

    if contender.writes:
        target = h if feed_back else native(h)

        def block(n):
            inputs = itertools.islice(itertools.cycle(xs), n)
            start = clock()
            for x in inputs:
                step(x, h, out=target)
            return clock() - start

    elif feed_back:

        def block(n):
            inputs = itertools.islice(itertools.cycle(xs), n)
            state = h
            start = clock()
            for x in inputs:
                state = step(x, state)
            return clock() - start

    else:

        def block(n):
            inputs = itertools.islice(itertools.cycle(xs), n)
            start = clock()
            for x in inputs:
                step(x, h)
            return clock() - start

    return block


def empty_loop(n, xs=(None,) * 8):
    """Return the nanoseconds that n passes of the loop take without a call."""
    inputs = itertools.islice(itertools.cycle(xs), n)
    start = time.perf_counter_ns()
    for _ in inputs:
        pass
    return time.perf_counter_ns() - start


def repeats(block):
    """Return how many calls a block of at least BLOCK seconds needs."""
    n = 1
    while True:
        took = min(block(n) for _ in range(PROBES)) / 1e9
        if took >= BLOCK:
            return n
        n = max(n + 1, int(n * min(10.0, 1.1 * BLOCK / max(took, 1e-9))))


class Race:
    """Blocks timed against each other; every `run` adds rounds.

    block(n) returns the nanoseconds of n calls. With `net` the time of an empty loop is subtracted. `least` maps
    names to the fewest calls of a block, `each` to the units of work in a call, if these are not 1.
    """

    def __init__(self, blocks, net=True, least=None, each=None):
        self.blocks = blocks
        self.times = {name: [] for name in blocks}  # nanoseconds per unit, one entry for each round
        self.calls = {}
        self.net, self.least, self.each = net, least or {}, each or {}
        self.dropped = set()

    def run(self, rounds, rng, seconds=None, fewest=3, drop=None):
        """Add `rounds` rounds; with `seconds` only as many as fit into that time, but at least `fewest`.

        drop() may name contenders that have run enough rounds; they keep their times and run no more.
        """
        end = time.perf_counter() + seconds if seconds else float("inf")
        collecting = gc.isenabled()
        gc.disable()
        try:
            for name, block in self.blocks.items():
                if name not in self.calls:
                    self.calls[name] = max(repeats(block), self.least.get(name, 1))
            overhead = min(empty_loop(20_000) for _ in range(10)) / 20_000 if self.net else 0
            for turn in range(rounds):
                if turn >= fewest and time.perf_counter() > end:
                    break
                names = [name for name in self.blocks if name not in self.dropped]
                rng.shuffle(names)
                for name in names:
                    self.times[name].append(self._block(name, overhead))
                if drop:
                    self.dropped |= set(drop())
        finally:
            if collecting:
                gc.enable()

    def _block(self, name, overhead):
        block, n, each = self.blocks[name], self.calls[name], self.each.get(name, 1)
        if n > 1 or not self.times[name] or self.times[name][-1] * each < WARMED:
            block(max(1, n // 8))  # warms up caches and branch predictors
        return max(0.0, block(n) / n - overhead) / each

    def microseconds(self, name):
        """Return minimum and median in microseconds."""
        times = self.times[name]
        return min(times) / 1e3, statistics.median(times) / 1e3

    def ratio(self, name, base):
        """Return how many times longer `name` takes than `base`: the median over the rounds in which both ran."""
        pairs = zip(self.times[name], self.times[base], strict=False)
        return statistics.median(a / b if b else float("inf") for a, b in pairs)
