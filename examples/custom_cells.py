"""Five recurrent cells without kernels, written in Python, in float32 and in 8 bits beside a GRU.

    python examples/custom_cells.py

Each cell is a step in NumPy around Linear layers, so that it is quantized like any model. The error of the quantized
cell is relative to the float cell's output over a sequence; the time is that of a step at batch 1, mostly Python.
"""

import time

import numpy as np

import qrnn
from qrnn import nn

INPUT_SIZE, HIDDEN_SIZE, STEPS = 40, 128, 200

sigmoid, tanh, relu = nn.Sigmoid(), nn.Tanh(), nn.ReLU()


def gates(x):
    """Return the four quarters of each row, [4, batch, hidden], in a tenth of the time of np.split."""
    return x.reshape(len(x), 4, -1).swapaxes(0, 1)


class IndRNN(nn.Cell):
    """Li et al., 2018: h' = relu(W x + b + u * h); each unit reads only its own state."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.x = nn.Linear(input_size, hidden_size)
        self.u = nn.Parameter(np.linspace(-0.9, 0.9, hidden_size))

    def inputs(self, x):
        return self.x(x)

    def step(self, x, h):
        return relu(x + self.u * h)


class MinimalGRU(nn.Cell):
    """Zhou et al., 2016: one gate f both forgets and resets."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.x = nn.Linear(input_size, 2 * hidden_size)
        self.f = nn.Linear(hidden_size, hidden_size, bias=False)
        self.n = nn.Linear(hidden_size, hidden_size, bias=False)

    def inputs(self, x):
        return np.split(self.x(x), 2, axis=-1)

    def step(self, x, h):
        of_f, of_n = x
        f = sigmoid(of_f + self.f(h))
        n = tanh(of_n + self.n(f * h))
        return h + f * (n - h)


class PeepholeLSTM(nn.Cell):
    """Gers and Schmidhuber, 2000: the gates of each unit also read its own c."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, states=("h", "c"))
        self.x = nn.Linear(input_size, 4 * hidden_size)
        self.h = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.peep = nn.Parameter(np.full((3, hidden_size), 0.1))

    def inputs(self, x):
        return self.x(x)

    def step(self, x, h, c):
        i, f, g, o = gates(x + self.h(h))
        i, f = sigmoid(i + self.peep[0] * c), sigmoid(f + self.peep[1] * c)
        c = f * c + i * tanh(g)
        return sigmoid(o + self.peep[2] * c) * tanh(c), c


class SRU(nn.Cell):
    """Lei et al., 2018: a step has no matrix product, so that a sequence needs one for all steps."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, states=("h", "c"))
        self.x = nn.Linear(input_size, 4 * hidden_size)
        self.v = nn.Parameter(np.full((2, hidden_size), 0.1))

    def inputs(self, x):
        return np.split(self.x(x), 4, axis=-1)

    def step(self, x, h, c):
        n, f, r, skip = x
        f, r = sigmoid(f + self.v[0] * c), sigmoid(r + self.v[1] * c)
        c = n + f * (c - n)
        return skip + r * (c - skip), c


class LayerNormLSTM(nn.Cell):
    """Ba et al., 2016: both products and c are normalized. With norm weights of 1 and random W_h it is chaotic."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, states=("h", "c"))
        self.x = nn.Linear(input_size, 4 * hidden_size, bias=False)
        self.h = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.of_x, self.of_h = nn.LayerNorm(4 * hidden_size), nn.LayerNorm(4 * hidden_size)
        self.of_h.weight, self.of_c = np.full(4 * hidden_size, 0.3), nn.LayerNorm(hidden_size)

    def inputs(self, x):
        return self.of_x(self.x(x))

    def step(self, x, h, c):
        i, f, g, o = gates(x + self.of_h(self.h(h)))
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(self.of_c(c)), c


CELLS = IndRNN, MinimalGRU, PeepholeLSTM, SRU, LayerNormLSTM


def models(input_size=INPUT_SIZE, hidden_size=HIDDEN_SIZE):
    """Return the cells over sequences and qrnn's own GRU, by name."""
    qrnn.manual_seed(0)
    found = {cell.__name__: nn.Recurrent(cell(input_size, hidden_size)) for cell in CELLS}
    return {**found, "GRU (kernels)": nn.GRU(input_size, hidden_size)}


def relative_error(model, quantized, x):
    """Return the RMS of the difference of outputs, relative to the RMS of the float model's output."""
    want, got = model(x)[0], quantized(x)[0]
    return float(np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2)))


def microseconds_a_step(model, x, rounds=5):
    """Time a sequence; return microseconds per step of the fastest of a few rounds."""
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        model(x)
        times.append(time.thread_time() - start)
    return 1e6 * min(times) / len(x)


def compare(input_size=INPUT_SIZE, hidden_size=HIDDEN_SIZE, steps=STEPS):
    """Yield each model's name, error, and microseconds per step in float32 and in 8 bits."""
    x = np.random.default_rng(0).standard_normal((steps, 1, input_size), dtype=np.float32)
    for name, model in models(input_size, hidden_size).items():
        quantized = qrnn.quantize_dynamic(model)
        times = microseconds_a_step(model, x), microseconds_a_step(quantized, x)
        yield name, relative_error(model, quantized, x), *times


def main():
    print(f"I = {INPUT_SIZE}, H = {HIDDEN_SIZE}, {STEPS} steps, batch 1; µs of CPU time a step\n")
    print(f"{'':<15}{'error of int8':>15}{'float32':>12}{'int8':>8}")
    for name, error, float_time, int8_time in compare():
        print(f"{name:<15}{error:>15.2%}{float_time:>12.2f}{int8_time:>8.2f}")


if __name__ == "__main__":
    main()
