"""Random RNN, LSTM and GRU weights, their float64 reference, and bounds for the error of a peer's answer."""

import numpy as np

KINDS = ("rnn", "lstm", "gru")
GATES = {"rnn": 1, "lstm": 4, "gru": 3}

# Largest relative RMS error of h over a sequence, by the precision of a peer's activations. Measured: float32
# 4e-7, bfloat16 0.4 %, int8 0.4 to 2.5 % (one scale for a whole batch and 7 bits are the upper end). A wrong
# order of gates or a bias left out makes 30 % and more.
BOUND = {"float32": 2e-5, "bfloat16": 0.02, "int8": 0.05}


def random_weights(kind, input_size, hidden_size, rng):
    """Make arrays for one layer as PyTorch initializes them: uniform in +-1/sqrt(hidden_size)."""
    rows = GATES[kind] * hidden_size
    bound = hidden_size**-0.5
    shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size), "bias_ih": (rows,), "bias_hh": (rows,)}
    return {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}


def sizes(kind, weights):
    """Return input_size and hidden_size."""
    return weights["weight_ih"].shape[1], len(weights["bias_ih"]) // GATES[kind]


def _sigmoid(v):
    return 1 / (1 + np.exp(-v))


def reference(kind, weights, xs):
    """Return h of every step, starting from zeros: float64 [steps, rows, hidden]; xs is [steps, rows, input]."""
    w_ih, w_hh, b_ih, b_hh = (
        weights[name].astype(np.float64) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    from_x = xs.astype(np.float64) @ w_ih.T + b_ih
    h = np.zeros((xs.shape[1], sizes(kind, weights)[1]))
    c, found = h, []
    for y_ih in from_x:
        y_hh = h @ w_hh.T + b_hh
        if kind == "rnn":
            h = np.tanh(y_ih + y_hh)
        elif kind == "lstm":
            i, f, g, o = np.split(y_ih + y_hh, 4, axis=1)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
        else:
            (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(y_ih, 3, axis=1), np.split(y_hh, 3, axis=1)
            z = _sigmoid(z_x + z_h)
            n = np.tanh(n_x + _sigmoid(r_x + r_h) * n_h)
            h = n + z * (h - n)
        found.append(h)
    return np.stack(found)
