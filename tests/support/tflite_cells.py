"""TensorFlow Lite models with an LSTM or GRU unrolled or in a WHILE, as converters write Keras' layers."""

from __future__ import annotations

import numpy as np

from support.tflite_models import Writer

STEPS, BATCH, INPUTS, HIDDEN = 4, 2, 3, 5

#: Families, and whether x and h are joined before one product (LSTM) or the reset gate comes after it (GRU).
FAMILIES = (("LSTM", False), ("LSTM", True), ("GRU", False), ("GRU", True))


class _Cell:
    """Writes steps of a cell with weights as constants of the present graph."""

    def __init__(self, writer, weights, family, option):
        self.writer, self.family, self.option, self.count = writer, family, option, 0
        self.constants = {name: self.constant(name, array) for name, array in weights.items()}
        self.one = writer.tensor("one", array=np.float32(1).reshape(()))
        self.axis = writer.tensor("axis", array=np.int32(1).reshape(()))

    def constant(self, name, array):
        """Add a constant: of floats, or of codes and a scale if the weights are given so."""
        if isinstance(array, tuple):
            return self.writer.tensor(name, array=array[0], scale=array[1])
        return self.writer.tensor(name, array=array)

    def call(self, name, inputs, columns=HIDDEN, **options):
        self.count += 1
        result = self.writer.tensor(f"{name}_{self.count}", (BATCH, columns))
        self.writer.operator(name, inputs, [result], **options)
        return result

    def parts(self, value, count):
        results = [self.writer.tensor(f"part_{self.count}_{k}", (BATCH, HIDDEN)) for k in range(count)]
        self.count += 1
        self.writer.operator("SPLIT", [self.axis, value], results, numSplits=count)
        return results

    def product(self, value, weight, bias, gates):
        return self.call(
            "FULLY_CONNECTED", [value, self.constants[weight], self.constants.get(bias, -1)], gates * HIDDEN
        )

    def step(self, x, states):
        return (self.lstm if self.family == "LSTM" else self.gru)(x, *states)

    def lstm(self, x, h, c):
        if self.option:
            joined = self.call("CONCATENATION", [x, h], INPUTS + HIDDEN, axis=1)
            total = self.product(joined, "joined", "b", 4)
        else:
            total = self.call("ADD", [self.product(x, "w", "b", 4), self.product(h, "r", None, 4)], 4 * HIDDEN)
        i, f, g, o = self.parts(total, 4)
        kept = self.call("MUL", [self.call("LOGISTIC", [f]), c])
        new = self.call("MUL", [self.call("LOGISTIC", [i]), self.call("TANH", [g])])
        c = self.call("ADD", [kept, new])
        return self.call("MUL", [self.call("LOGISTIC", [o]), self.call("TANH", [c])]), c

    def gru(self, x, h):
        of_x = self.parts(self.product(x, "w", "b", 3), 3)
        if self.option:
            of_h = self.parts(self.product(h, "r", "d", 3), 3)
        else:
            of_h = self.parts(self.product(h, "r_zr", None, 2), 2)
        z, r = (self.call("LOGISTIC", [self.call("ADD", [of_x[k], of_h[k]])]) for k in range(2))
        if self.option:
            own = self.call("MUL", [r, of_h[2]])
        else:
            own = self.product(self.call("MUL", [r, h]), "r_n", None, 1)
        n = self.call("TANH", [self.call("ADD", [of_x[2], own])])
        rest = self.call("MUL", [self.call("SUB", [self.one, z]), n])
        return (self.call("ADD", [self.call("MUL", [z, h]), rest]),)


def weights_of(rng, family, option):
    """Make the constants of a cell; a GRU has Keras' order z, r, n."""
    gates = 4 if family == "LSTM" else 3
    drawn = {
        "w": rng.uniform(-0.6, 0.6, (gates * HIDDEN, INPUTS)),
        "r": rng.uniform(-0.6, 0.6, (gates * HIDDEN, HIDDEN)),
        "b": rng.uniform(-0.3, 0.3, gates * HIDDEN),
        "d": rng.uniform(-0.3, 0.3, gates * HIDDEN),
    }
    found = {name: array.astype(np.float32) for name, array in drawn.items()}
    if family == "LSTM":
        found["joined"] = np.concatenate([found["w"], found["r"]], axis=1)
    elif not option:
        found["r_zr"], found["r_n"] = found["r"][: 2 * HIDDEN], found["r"][2 * HIDDEN :]
    return found


def as_codes(weights):
    """Quantize the matrices to int8 codes with a scale each, as converters do when they quantize weights alone."""
    found = {}
    for name, array in weights.items():
        scale = np.float32(np.abs(array).max() / 127)
        found[name] = (np.rint(array / scale).astype(np.int8), scale) if array.ndim == 2 else array
    return found


def unrolled(weights, family, option):
    """Write steps from states of zeros; outputs are all h and the last. A list has each step's own."""
    writer = Writer()
    x = writer.tensor("x", (BATCH, STEPS, INPUTS))
    if isinstance(weights, list):
        cells = [_Cell(writer, own, family, option) for own in weights]
    else:
        cells = [_Cell(writer, weights, family, option)] * STEPS
    each = [writer.tensor(f"x{t}", (BATCH, INPUTS)) for t in range(STEPS)]
    writer.operator("UNPACK", [x], each, num=STEPS, axis=1)
    zeros = writer.tensor("zeros", array=np.zeros((BATCH, HIDDEN), np.float32))
    states, found = (zeros,) * (2 if family == "LSTM" else 1), []
    for value, cell in zip(each, cells):
        states = cell.step(value, states)
        found.append(states[0])
    stacked = writer.tensor("stacked", (BATCH, STEPS, HIDDEN))
    writer.operator("PACK", found, [stacked], valuesCount=STEPS, axis=1)
    writer.ends([x], [stacked, found[-1]])
    return writer.content()


def looped(weights, family, option, first=None, limit=STEPS):
    """Write a WHILE over the steps of a value, its first axis; `first` are initial states, which become inputs."""
    writer, count = Writer(), 2 if family == "LSTM" else 1
    shapes = {"t": (), "n": (), "x": (STEPS, BATCH, INPUTS), "y": (STEPS, BATCH, HIDDEN)}
    shapes.update({f"s{k}": (BATCH, HIDDEN) for k in range(count)})
    kinds = {"t": "int32", "n": "int32"}

    def values():
        return {name: writer.tensor(name, shape, kind=kinds.get(name, "float32")) for name, shape in shapes.items()}

    x = writer.tensor("sequence", shapes["x"])
    start = {
        name: writer.tensor(name, array=np.zeros(shape, kinds.get(name, "float32"))) for name, shape in shapes.items()
    }
    start["n"] = writer.tensor("n", array=np.int32(limit).reshape(()))
    start["x"] = x
    given = [x]
    if first:
        start.update({f"s{k}": writer.tensor(f"first {k}", (BATCH, HIDDEN)) for k in range(count)})
        given += [start[f"s{k}"] for k in range(count)]
    ends = values()
    writer.operator("WHILE", start.values(), ends.values(), condSubgraphIndex=1, bodySubgraphIndex=2)
    writer.ends(given, [ends["y"], *(ends[f"s{k}"] for k in range(count))])
    writer.graph()
    inner = values()
    goes_on = [writer.tensor(f"less {k}", (), kind="bool") for k in range(3)]
    most = writer.tensor("most", array=np.int32(STEPS + 3).reshape(()))
    writer.operator("LESS", [inner["t"], inner["n"]], [goes_on[0]])
    writer.operator("LESS", [inner["t"], most], [goes_on[1]])
    writer.operator("LOGICAL_AND", goes_on[:2], [goes_on[2]])
    writer.ends(inner.values(), [goes_on[2]])
    writer.graph()
    inner = values()
    cell = _Cell(writer, weights, family, option)
    step = writer.tensor("step", (BATCH, INPUTS))
    writer.operator("GATHER", [inner["x"], inner["t"]], [step], axis=0)
    states = cell.step(step, [inner[f"s{k}"] for k in range(count)])
    one, zero = (writer.tensor(f"int {k}", array=np.int32(k).reshape(())) for k in (1, 0))
    wide, begin = writer.tensor("wide", (1, BATCH, HIDDEN)), writer.tensor("begin", (3,), kind="int32")
    writer.operator("EXPAND_DIMS", [states[0], zero], [wide])
    writer.operator("PACK", [inner["t"], zero, zero], [begin], valuesCount=3, axis=0)
    after = {**inner, "t": writer.tensor("t1", (), kind="int32"), "y": writer.tensor("y1", shapes["y"])}
    after.update({f"s{k}": state for k, state in enumerate(states)})
    writer.operator("DYNAMIC_UPDATE_SLICE", [inner["y"], wide, begin], [after["y"]])
    writer.operator("ADD", [inner["t"], one], [after["t"]])
    writer.ends(inner.values(), after.values())
    return writer.content()
