"""The server's metrics, as text in Prometheus's format."""

from bisect import bisect_left

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0)


class Histogram:
    """A histogram of times in seconds: counts of the times up to each bound."""

    def __init__(self):
        self.counts, self.sum = [0] * (len(BOUNDS) + 1), 0.0

    def add(self, seconds, times=1):
        self.counts[bisect_left(BOUNDS, seconds)] += times
        self.sum += seconds * times

    def lines(self, name):
        total = 0
        for bound, count in zip((*BOUNDS, "+Inf"), self.counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self.sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """Counters since the start; present values are passed to `text`."""

    def __init__(self):
        self.frames = self.steps = 0
        self.refused = dict.fromkeys(("message", "order", "flood", "value", "busy", "slow"), 0)
        self.step, self.wait = Histogram(), Histogram()

    def text(self, now):
        """Return the metrics as text; `now` maps names of gauges to their present values."""
        lines = []
        for name, value in now.items():
            lines += [f"# TYPE qrnn_{name} gauge", f"qrnn_{name} {value}"]
        for name, value in (("frames", self.frames), ("steps", self.steps)):
            lines += [f"# TYPE qrnn_{name}_total counter", f"qrnn_{name}_total {value}"]
        lines += ["# TYPE qrnn_refused_total counter"]
        lines += [f'qrnn_refused_total{{reason="{reason}"}} {count}' for reason, count in self.refused.items()]
        for name, histogram in (("step_seconds", self.step), ("wait_seconds", self.wait)):
            lines += [f"# TYPE qrnn_{name} histogram", *histogram.lines(f"qrnn_{name}")]
        return "\n".join(lines) + "\n"
