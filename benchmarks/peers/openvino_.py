"""OpenVINO's CPU plugin on ONNX models: float operators in float32 and in its default precision, and int8 products.

Its default precision is bfloat16 if the CPU supports that. A tensor that shares an array's memory does not
own the array, so the closures keep both.

It has no quantized recurrent operator, so the int8 models are the equations with int8 weights. Rows of x and h are
quantized at run time if the group that shares a scale is exactly one row, a multiple of 16, and the hint is float32.
With larger groups, or in bfloat16, OpenVINO multiplies floats without a warning.
"""

import itertools

import numpy as np
import openvino

from . import onnx_graphs
from .base import Peer, state_names


class Compiled:
    def __init__(self, model, precision, threads, group=None):
        core = openvino.Core()
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
        if precision != "bfloat16":
            options["INFERENCE_PRECISION_HINT"] = "f32"
        if group:
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = group
        self.model = core.compile_model(core.read_model(model), "CPU", options)
        self.keep = []

    def request(self, inputs, outputs):
        """Make a request on the arrays {name: array}."""
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
    y = "y"  # the name of a sequence's output

    def compiled(self, kind, weights, steps, batch, states):
        """Compile the model; return it with the shapes of its y and of a state."""
        size = weights["weight_hh"].shape[1]
        model = onnx_graphs.float_layer(kind, weights, steps, batch, states)
        return Compiled(model, self.precision, self.threads), (steps, 1, batch, size), (1, batch, size)

    def sequence(self, kind, weights, xs):
        steps, batch, _ = xs.shape
        compiled, shape, _ = self.compiled(kind, weights, steps, batch, states=False)
        output = np.empty(shape, np.float32)
        request, keep = compiled.request({"x": xs}, {self.y: output}), compiled

        def run(n):
            for _ in itertools.repeat(None, n):
                request.infer(share_outputs=True)
            return output.reshape(steps, batch, -1) if keep else None

        return run

    def step(self, kind, weights, xs):
        batch = xs.shape[1]
        compiled, _, shape = self.compiled(kind, weights, 1, batch, states=True)
        sets = [{name: np.zeros(shape, np.float32) for name in state_names(kind)} for _ in range(2)]
        requests = [
            compiled.request({"x": x} | sets[t % 2], {f"{n}1": a for n, a in sets[1 - t % 2].items()})
            for t, x in enumerate(xs.reshape(len(xs), *shape[:-1], -1).copy())
        ]
        turns, keep = itertools.cycle(requests), compiled
        done = 0

        def run(n):
            nonlocal done
            for request in itertools.islice(turns, n):
                request.infer(share_outputs=True)
            done += n
            return sets[done % 2]["h"].reshape(batch, -1).copy() if keep else None

        return run


class OpenVINODefault(OpenVINOFloat):
    """The default precision: bfloat16 if the CPU supports it, otherwise float32; errors are bounded accordingly."""

    name = "OpenVINO"
    details = "the same as it comes: bfloat16 where the CPU has it"

    def __init__(self, threads=1):
        super().__init__(threads)
        default = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()
        self.precision = {"bf16": "bfloat16", "f16": "bfloat16"}.get(default, "float32")


class OpenVINOInt8(OpenVINOFloat):
    name = "OpenVINO int8"
    precision = "int8"
    details = (
        "DequantizeLinear of the weights and MatMul, x's product hoisted, a Scan over the rest; "
        "DYNAMIC_QUANTIZATION_GROUP_SIZE H, INFERENCE_PRECISION_HINT f32"
    )
    y = "y_all"

    def compiled(self, kind, weights, steps, batch, states):
        graph = onnx_graphs.Int8Graph(kind, weights, "weights")
        group = graph.size
        if group != graph.inputs or group % 16:
            raise ValueError(f"no int8 products of {graph.inputs} inputs and {group} units")
        model = graph.one_step(batch) if states else graph.whole(steps, batch)
        compiled = Compiled(model, self.precision, self.threads, group)
        return compiled, (steps, batch, group), (batch, group)


PEERS = (OpenVINOFloat, OpenVINODefault, OpenVINOInt8)
