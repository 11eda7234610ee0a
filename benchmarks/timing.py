"""Interleaved timing of short calls.

A block repeats one call until it lasts at least `BLOCK` seconds; the time of an empty loop of the same
form is taken off. A round is one block of every contender, in a new order each time, so that all of them
meet the same phases of the machine, and a ratio is the median of the ratios inside the rounds.
"""

import gc
import itertools
import statistics
import time

BLOCK = 200e-6
PROBES = 3  # blocks of as many calls: one that was interrupted would end with fewer calls than make a block
WARMED = 20e6  # nanoseconds: a longer call needs no other one before it


def block_of(contender, xs, h, feed_back):
    """A function of n that runs n steps and returns the nanoseconds they took.

    With `feed_back` each step starts from the state that the last one gave; else all start from h.
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
    """Nanoseconds that n rounds of the loop take without a call."""
    inputs = itertools.islice(itertools.cycle(xs), n)
    start = time.perf_counter_ns()
    for _ in inputs:
        pass
    return time.perf_counter_ns() - start


def repeats(block):
    """How many calls make a block of at least BLOCK."""
    n = 1
    while True:
        took = min(block(n) for _ in range(PROBES)) / 1e9
        if took >= BLOCK:
            return n
        n = max(n + 1, int(n * min(10.0, 1.1 * BLOCK / max(took, 1e-9))))


class Race:
    """Blocks that are timed against each other; every `run` adds rounds.

    block(n) gives the nanoseconds of n calls. With `net` the time of an empty loop is taken off. `least` has
    the fewest calls of a block, `each` the units of work in a call, by name, where they are not 1.
    """

    def __init__(self, blocks, net=True, least=None, each=None):
        self.blocks = blocks
        self.times = {name: [] for name in blocks}  # nanoseconds a unit, one entry a round
        self.calls = {}
        self.net, self.least, self.each = net, least or {}, each or {}
        self.dropped = set()

    def run(self, rounds, rng, seconds=None, fewest=3, drop=None):
        """Adds `rounds` rounds; with `seconds` only as many as fit into them, but `fewest` at least.

        drop() may name contenders that have seen enough rounds; they keep the times that they have.
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
            block(max(1, n // 8))  # caches and branch predictors
        return max(0.0, block(n) / n - overhead) / each

    def microseconds(self, name):
        """Minimum and median."""
        times = self.times[name]
        return min(times) / 1e3, statistics.median(times) / 1e3

    def ratio(self, name, base):
        """How many times longer `name` takes than `base`: the median over the rounds that both ran in."""
        pairs = zip(self.times[name], self.times[base], strict=False)
        return statistics.median(a / b if b else float("inf") for a, b in pairs)
