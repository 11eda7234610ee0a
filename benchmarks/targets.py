"""The targets of the benchmarks.

compare.py, point by point: a ratio is the fastest peer's time over ours. A point is reached at the smaller of the
ratio asked and WITHIN of the limit measured beside it; nowhere may the ratio be under 1.
"""

WITHIN = 0.8  # share of the limit from which on only a ratio of 1 is asked
GAIN = 1.7  # speed of two threads over one
CALL = 0.5  # largest time of a step of RNN at I = H = 16, relative to np.add's

ENDLESS = float("inf")
# ((largest H, ratio), ...), for batch 1
SEQUENCES = {
    "rnn": ((256, 3.0), (512, 2.0), (1024, 1.4), (ENDLESS, 1.2)),
    "lstm": ((64, 2.0), (128, 1.5), (ENDLESS, 1.3)),
    "gru": ((256, 2.5), (512, 2.0), (ENDLESS, 1.4)),
}
STEPS = ((128, 8.0), (256, 5.0), (1024, 1.5), (ENDLESS, 1.0))
# Sequences of a few rows; from H = 1536 on their weights come from the third-level cache.
FEW_ROWS = {2: ((1535, 1.0), (ENDLESS, 1.1)), 4: ((512, 1.4), (1535, 1.0), (ENDLESS, 1.1))}
FEW_ROWS[8] = FEW_ROWS[2]


def asked(kind, mode, batch, size):
    """Return engine qrnn's target ratio to the fastest peer of any precision."""
    table = ((ENDLESS, 1.0),)
    if batch == 1:
        table = STEPS if mode == "step" else SEQUENCES[kind]
    elif mode == "sequence":
        table = FEW_ROWS.get(batch, table)
    return next(ratio for largest, ratio in table if size <= largest)


def share_asked(mode, batch, size, isa=None):
    """Return the target share of the limit, or None if there is no target.

    With tiles (AMX) products are so cheap that batches spend most of their time on what the limit leaves out.
    """
    if mode == "sequence" and batch == 1 and 256 <= size <= 2048:
        return 0.75
    if mode == "sequence" and batch >= 32 and size >= 512 and isa != "amx":
        return 0.8
    return None


def gain_asked(batch, size):
    """Return how many times faster than one thread two threads have to be in a sequence, or None."""
    return GAIN if (batch == 1 and size == 1024) or (batch == 32 and size >= 256) else None


def reached(ratio, asked, share=None):
    """Return "yes", "by the limit" or "no"; `share` is that of the limit, or None if it was not measured."""
    if ratio >= asked:
        return "yes"
    return "by the limit" if ratio >= 1 and share is not None and share >= WITHIN else "no"


def limited(machine):
    """Whether qrnn ran with an instruction set other than the CPU's best."""
    return machine["instruction set run"] != machine["instruction sets"].split(", ")[-1]


class Verdict:
    """Which targets one point reached; `results` are those of compare.py, `record` is one of its points.

    With more threads, or with less than the CPU's best instruction set, engine qrnn only has to be ahead.
    """

    def __init__(self, results, record):
        self.record, self.limited = record, limited(results["machine"])
        self.threads = results["threads"]
        self.where = [record[name] for name in ("kind", "mode", "batch", "size")]
        kind, mode, batch, size = self.where
        self.whole = self.threads == 1 and not self.limited
        self.asked = asked(kind, mode, batch, size) if self.whole else 1.0
        self.share_asked = (
            share_asked(mode, batch, size, results["machine"]["instruction set run"]) if self.whole else None
        )
        self.gain_asked = gain_asked(batch, size) if self.threads == 2 and mode == "sequence" else None

    def ratio(self, name):
        """Return the fastest peer's time over ours, for qrnn f32 the fastest float peer's; None if one did not run."""
        found = self.record.get("float ratio" if name == "qrnn f32" else "ratio", {}).get(name)
        return 1 / found if found else None

    def share(self, name="qrnn"):
        limit = self.record.get("limit", {}).get(name)
        return limit[1] if limit else None

    def reached(self, name):
        """Return the answer of `reached`, or "" if there is nothing to compare."""
        ratio = self.ratio(name)
        if ratio is None or (name == "qrnn f32" and not self.whole):
            return ""
        return reached(ratio, 1.0 if name == "qrnn f32" else self.asked, self.share(name))

    def calls(self):
        """Return {our name: its time over np.add's of the same arrays} for RNN's steps at I = H = 16, batch 1."""
        if self.where != ["rnn", "step", 1, 16] or "calls" not in self.record or self.limited:
            return {}
        us, add = self.record["us"], self.record["calls"]["np.add"]
        return {name: us[name][1] / add for name in ("qrnn", "qrnn out=") if name in us}

    def missed(self):
        """Return the targets missed at this point as texts: [(what, asked, got)]."""
        found = []
        for name in ("qrnn", "qrnn out=", "qrnn f32"):
            if self.reached(name) == "no":
                wanted = 1.0 if name == "qrnn f32" else self.asked
                what = f"{name}: times the fastest {'float ' if name == 'qrnn f32' else ''}peer"
                found.append((what, f"{wanted:.2f}", f"{self.ratio(name):.2f}"))
        share = self.share()
        if self.share_asked and share is not None and share < self.share_asked:
            found.append(("qrnn: share of limit", f"{self.share_asked:.0%}", f"{share:.1%}"))
        gain = self.record.get("gain")
        if self.gain_asked and gain is not None and gain < self.gain_asked:
            found.append(("qrnn: times one thread", f"{self.gain_asked:.2f}", f"{gain:.2f}"))
        found += [
            (f"{name}: of np.add's time", f"under {CALL:.2f}", f"{times:.2f}")
            for name, times in self.calls().items()
            if times >= CALL
        ]
        return found


# --- tails.py ---

MOST = 1.25  # largest ratio to the time expected from a size's neighbors
ROUND_BATCHES = (1, 2, 4, 8, 32)
UNIT = 16


def expected(batch, times):
    """Return the expected time of `batch` rows, given {round batch: time}; None for a single row.

    Between two round batches it is interpolated linearly. For one row less than a round batch, it is that batch's time
    per row, times the rows. For a round batch, and beyond the last, the round batch before gives the time per row.
    """
    below = max((b for b in ROUND_BATCHES if b < batch), default=None)
    above = min((b for b in ROUND_BATCHES if b > batch), default=None)
    if below is None:
        return None
    if batch in ROUND_BATCHES or above is None:
        return times[below] * batch / below
    if above - batch == 1:
        return times[above] * batch / above
    return times[below] + (times[above] - times[below]) * (batch - below) / (above - below)


def larger(size):
    """Round I and H up to multiples of UNIT."""
    return tuple(-(-n // UNIT) * UNIT for n in size)


def smaller(size):
    return tuple(n // UNIT * UNIT for n in size)


# --- start.py ---

IMPORT_MS = 15.0  # largest time of `import qrnn` beyond `import numpy`
WHEEL_BYTES = 1_000_000


def codes_bytes(rows, columns, gates=1):
    """Return the bytes of a packed matrix's codes: units padded to 16 in each gate, inputs padded to 4."""
    return gates * -(-(rows // gates) // 16) * 16 * -(-columns // 4) * 4
