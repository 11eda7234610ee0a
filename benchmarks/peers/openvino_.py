"""OpenVINO's CPU plugin on the ONNX models of the float operators: in float32, and as it comes.

As it comes it computes in bfloat16 where the CPU has that. A tensor that shares an array's memory does not
own the array, so the closures keep both.
"""

import itertools

import numpy as np
import openvino

from . import onnx_graphs
from .base import Peer, state_names


class Compiled:
    def __init__(self, model, precision, threads):
        core = openvino.Core()
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
        if precision == "float32":
            options["INFERENCE_PRECISION_HINT"] = "f32"
        self.model = core.compile_model(core.read_model(model), "CPU", options)
        self.precision = self.model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.keep = []

    def request(self, inputs, outputs):
        """A request on the arrays {name: array}."""
        request = self.model.create_infer_request()
        for name, array in (inputs | outputs).items():
            tensor = openvino.Tensor(array, shared_memory=True)
            request.set_tensor(name, tensor)
            self.keep += [array, tensor]
        return request


class OpenVINOFloat(Peer):
    name = "OpenVINO f32"
    distribution = "openvino"
    details = "the ONNX operators RNN, LSTM, GRU, INFERENCE_PRECISION_HINT f32"

    def compiled(self, kind, weights, steps, batch, states):
        model = onnx_graphs.float_layer(kind, weights, steps, batch, states)
        return Compiled(model, self.precision, self.threads)

    def sequence(self, kind, weights, xs):
        steps, batch, _ = xs.shape
        compiled = self.compiled(kind, weights, steps, batch, states=False)
        output = np.empty((steps, 1, batch, weights["weight_hh"].shape[1]), np.float32)
        request, keep = compiled.request({"x": xs}, {"y": output}), compiled

        def run(n):
            for _ in itertools.repeat(None, n):
                request.infer(share_outputs=True)
            return output[:, 0] if keep else None

        return run

    def step(self, kind, weights, xs):
        batch, shape = xs.shape[1], (1, xs.shape[1], weights["weight_hh"].shape[1])
        compiled = self.compiled(kind, weights, 1, batch, states=True)
        sets = [{name: np.zeros(shape, np.float32) for name in state_names(kind)} for _ in range(2)]
        requests = [
            compiled.request({"x": x} | sets[t % 2], {f"{n}1": a for n, a in sets[1 - t % 2].items()})
            for t, x in enumerate(xs[:, None].copy())
        ]
        turns, keep = itertools.cycle(requests), compiled
        done = 0

        def run(n):
            nonlocal done
            for request in itertools.islice(turns, n):
                request.infer(share_outputs=True)
            done += n
            return sets[done % 2]["h"][0].copy() if keep else None

        return run


class OpenVINODefault(OpenVINOFloat):
    """bfloat16 where the CPU has it: then the answer is held to that, else to float32."""

    name = "OpenVINO"
    details = "the same as it comes: bfloat16 where the CPU has it"

    def __init__(self, threads=1):
        super().__init__(threads)
        default = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()
        self.precision = {"bf16": "bfloat16", "f16": "bfloat16"}.get(default, "float32")


PEERS = (OpenVINOFloat, OpenVINODefault)
