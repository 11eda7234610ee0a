"""ONNX Runtime on its CPU provider: float operators, DynamicQuantizeLSTM, and int8 graphs.

Arrays are bound once (IO binding), which gives the fastest calls. The session borrows their memory, so every
closure here keeps a reference. Two sets of states alternate: each call reads the states that the last one wrote.
"""

import itertools

import numpy as np
import onnxruntime

from . import onnx_graphs
from .base import Peer, state_names


class Session:
    """A model with bound arrays: `bound(inputs, outputs)` makes a binding."""

    def __init__(self, model, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if threads > 1:  # otherwise its threads would still spin during other peers' turns
            options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.keep = []

    def bound(self, inputs, outputs):
        binding = self.session.io_binding()
        for arrays, bind in ((inputs, binding.bind_input), (outputs, binding.bind_output)):
            for name, array in arrays.items():
                bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self.keep += [inputs, outputs]
        return binding

    def calls(self, x, output_name, shape):
        output = np.empty(shape, np.float32)
        binding = self.bound({"x": x}, {output_name: output})
        keep, run_bound = self, self.session.run_with_iobinding

        def run(n):
            for _ in itertools.repeat(None, n):
                run_bound(binding)
            return output.reshape(x.shape[0], x.shape[1], -1) if keep else None

        return run

    def steps(self, xs, names, shape):
        """Return run(n) of steps; xs is an even number of arrays, one per step, `names` are those of the states."""
        sets = [{name: np.zeros(shape, np.float32) for name in names} for _ in range(2)]
        bindings = [
            self.bound({"x": x} | sets[t % 2], {f"{name}1": a for name, a in sets[1 - t % 2].items()})
            for t, x in enumerate(xs)
        ]
        turns, keep, run_bound = itertools.cycle(bindings), self, self.session.run_with_iobinding
        done = 0

        def run(n):
            nonlocal done
            for binding in itertools.islice(turns, n):
                run_bound(binding)
            done += n
            return sets[done % 2]["h"].reshape(shape[-2:]).copy() if keep else None

        return run


class ORTFloat(Peer):
    name = "ORT f32"
    distribution = "onnxruntime"
    details = "operators RNN, LSTM, GRU"

    def layer(self, kind, weights, steps, batch, states):
        return onnx_graphs.float_layer(kind, weights, steps, batch, states)

    def sequence(self, kind, weights, xs):
        steps, batch, _ = xs.shape
        session = Session(self.layer(kind, weights, steps, batch, states=False), self.threads)
        return session.calls(xs, "y", (steps, 1, batch, weights["weight_hh"].shape[1]))

    def step(self, kind, weights, xs):
        batch = xs.shape[1]
        session = Session(self.layer(kind, weights, 1, batch, states=True), self.threads)
        return session.steps(list(xs[:, None]), state_names(kind), (1, batch, weights["weight_hh"].shape[1]))


class ORTInt8LSTM(ORTFloat):
    name = "ORT DQLSTM"
    precision = "int8"
    kinds = ("lstm",)
    details = "DynamicQuantizeLSTM"

    def layer(self, kind, weights, steps, batch, states):
        return onnx_graphs.int8_lstm(weights, steps, batch, states)


class ORTInt8(Peer):
    name = "ORT int8"
    distribution = "onnxruntime"
    precision = "int8"
    products = "integer"
    details = "DynamicQuantizeLinear and MatMulInteger, x's product hoisted, a Scan over the rest"

    def sequence(self, kind, weights, xs):
        steps, batch, _ = xs.shape
        session = Session(onnx_graphs.Int8Graph(kind, weights, self.products).whole(steps, batch), self.threads)
        return session.calls(xs, "y_all", (steps, batch, weights["weight_hh"].shape[1]))

    def step(self, kind, weights, xs):
        batch = xs.shape[1]
        session = Session(onnx_graphs.Int8Graph(kind, weights, self.products).one_step(batch), self.threads)
        return session.steps(list(xs), state_names(kind), (batch, weights["weight_hh"].shape[1]))


class ORTInt8Fused(ORTInt8):
    name = "ORT DQMatMul"
    products = "fused"
    details = "the same with DynamicQuantizeMatMul"


PEERS = (ORTFloat, ORTInt8LSTM, ORTInt8, ORTInt8Fused)
