"""Whole ONNX models written by hand, with inputs: recurrent layers and what usually surrounds them."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from support import onnx_nodes

__all__ = ["Model", "by_hand", "nodes", "of_onnxruntime", "unsupported", "without_layers"]

#: Sizes of all models: steps, batch, inputs, hidden units.
T, B, I, H = 4, 2, 5, 3
STATE = f"float[1, batch, {H}]"


class Model(NamedTuple):
    """A model, its inputs by name, and how many recurrent layers and cells it has."""

    name: str
    proto: onnx.ModelProto
    inputs: dict
    layers: int
    whole: bool = True


def of_onnxruntime(model):
    """Return the outputs of onnxruntime."""
    options = onnx_nodes.onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnx_nodes.onnxruntime.InferenceSession(
        model.proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = {each.name for each in session.get_inputs()}
    return session.run(None, {name: value for name, value in model.inputs.items() if name in names})


def written(name, text, constants, inputs, layers, *, opset=17, whole=True, domains=""):
    """A model in the text form of ONNX; `constants` are initializers."""
    head = f'<ir_version: 8, opset_import: ["" : {opset}{domains}]>\nmodel '
    proto = onnx.parser.parse_model(head + text)
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(each), key) for key, each in constants.items())
    return Model(name, proto, inputs, layers, whole)


def floats(rng, *shape, scale=0.5):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def weights(rng, gates, columns=I, hidden=H, directions=1):
    return {
        "W": floats(rng, directions, gates * hidden, columns),
        "R": floats(rng, directions, gates * hidden, hidden),
        "B": floats(rng, directions, 2 * gates * hidden),
    }


def frames(rng, *shape):
    return {"x": rng.standard_normal(shape or (T, B, I)).astype(np.float32)}


# ---- random single nodes


def nodes(rng, count):
    """Yield models of one node with random attributes, whose states are inputs of the graph."""
    for index in range(count):
        op_type = ("RNN", "GRU", "LSTM")[index % 3]
        attributes = {"direction": ("forward", "reverse", "bidirectional")[index // 3 % 3]}
        if op_type == "GRU":
            attributes["linear_before_reset"] = index % 2
        if index % 4 == 3:
            attributes["clip"] = 0.5
        case = onnx_nodes.random_case(rng, op_type, attributes)
        yield Model(f"node {index}: {op_type} {attributes}", onnx_nodes.model_of(case), case.inputs(), 1)


# ---- constants that other nodes compute, and bodies

_LSTM = f" Y, h, c = LSTM <hidden_size = {H}> (x, W1, R1, B1) }}"
COMPUTED = {
    "slices": "a = Slice(big, one, four) s = Squeeze(a, zero) W1 = Unsqueeze(s, zero) R1 = Identity(R) "
    "B1 = Identity(B)",
    "transposed": "t = Transpose <perm = [0, 2, 1]> (Wt) W1 = Identity(t) R1 = Identity(R) B1 = Cast <to = 1> (Bd)",
    "joined": "p, q = Split <axis = 1> (W, halves) W1 = Concat <axis = 1> (p, q) R1 = Reshape(Rf, shape) "
    "B1 = Add(B, no)",
    "gathered": "w = Gather <axis = 0> (big, place) W1 = Unsqueeze(w, zero) R1 = Mul(R, yes) "
    "k = Constant <value_ints = [0, -1]> () B1 = Reshape(B, k)",
}


def computed(rng):
    own = weights(rng, 4)
    constants = {
        **own,
        "big": floats(rng, 5, 4 * H, I),
        "one": np.array([1]),
        "four": np.array([2]),
        "zero": np.array([0]),
        "Wt": own["W"].swapaxes(1, 2).copy(),
        "Bd": own["B"].astype(np.float64),
        "halves": np.array([2 * H, 2 * H]),
        "Rf": own["R"].ravel(),
        "shape": np.array([1, 4 * H, H]),
        "no": np.zeros(1, np.float32),
        "place": np.array(3),
        "yes": np.float32(1),
    }
    for name, text in COMPUTED.items():
        body = f"(float[t, b, {I}] x) => (float[t, 1, b, {H}] Y, {STATE} h, {STATE} c) {{ {text}"
        yield written(f"computed: {name}", body + _LSTM, constants, frames(rng), 1)


def branches(rng):
    """Yield models of an If with a layer in each branch and weights outside; the condition is a value or a constant."""
    constants = {**weights(rng, 4), "sixteen": np.array(16000), "zero": np.array([0])}
    bodies = (
        "then_branch = then () => (h1) { t = Identity(W) Y1, h1 = LSTM <hidden_size = 3> (x, t, R, B) }, "
        "else_branch = other () => (h2) { y = Neg(x) Y2, h2 = LSTM <hidden_size = 3> (y, W, R, B) }"
    )
    text = f"(float[t, b, {I}] x, int64 rate) => (float[1, b, {H}] out) {{ same = Equal(rate, sixteen) "
    for rate in (16000, 8000):
        inputs = {**frames(rng), "rate": np.array(rate)}
        body = f"{text} h = If <{bodies}> (same) out = Tanh(h) }}"
        yield written(f"If, {rate}", body, constants, inputs, 2)
        chosen = {**constants, "flag": np.array(rate == 8000)}
        text_of_constant = (
            f"(float[t, b, {I}] x) => (float[1, b, {H}] out) {{ h = If <{bodies}> (flag) out = Tanh(h) }}"
        )
        yield written(f"If of a constant, {rate}", text_of_constant, chosen, frames(rng), 1)


# ---- cells in other nodes

_LSTM_CELL = {
    "split": "p = Gemm <transB = 1> (x_t, Wx, bx) q = Gemm <transB = 1> (h, Wh, bh) s = Add(p, q) "
    "i, f, g, o = Split <axis = 1> (s, four)",
    "joined": "j = Concat <axis = 1> (x_t, h) m = MatMul(j, K) s = Add(m, bx) i, f, g, o = Split <axis = -1> (s, four)",
    "sliced": "p = MatMul(x_t, Wxt) q = MatMul(h, Wht) r = Add(p, q) s = Add(r, bx) i = Slice(s, n0, n1, one) "
    "f = Slice(s, n1, n2, one) g = Slice(s, n2, n3, one) o = Slice(s, n3, n4, one)",
    "apart": "p = MatMul(x_t, Wxt) q = MatMul(h, Wht) pi, pf, pg, po = Split <axis = 1> (p, four) "
    "qi, qf, qg, qo = Split <axis = 1> (q, four) i = Add(pi, qi) f = Add(pf, qf) g = Add(qg, pg) o = Add(po, qo)",
}
_LSTM_END = (
    " si = Sigmoid(i) sf = Sigmoid(f) tg = Tanh(g) so = Sigmoid(o) kept = Mul(sf, c) new = Mul(si, tg) "
    "c1 = Add(kept, new) tc = Tanh(c1) h1 = Mul(so, tc)"
)
_GRU_CELL = {
    "after": "p = Gemm <transB = 1> (x_t, Wx, bx) q = Gemm <transB = 1> (h, Wh, bh) "
    "pr, pz, pn = Split <axis = 1> (p, three) "
    "qr, qz, qn = Split <axis = 1> (q, three) ar = Add(pr, qr) r = Sigmoid(ar) az = Add(pz, qz) z = Sigmoid(az) "
    "rn = Mul(r, qn) an = Add(pn, rn) n = Tanh(an)",
    "before": "j = Concat <axis = 1> (x_t, h) m = MatMul(j, K) s = Add(m, bg) r0, z0 = Split <axis = 1> (s, two) "
    "r = Sigmoid(r0) z = Sigmoid(z0) rh = Mul(r, h) k = Concat <axis = 1> (x_t, rh) u = MatMul(k, Kn) an = Add(u, bn) "
    "n = Tanh(an)",
}
_GRU_END = {
    "minus": " d = Sub(h, n) zd = Mul(z, d) h1 = Add(n, zd)",
    "both": " rest = Sub(unit, z) a = Mul(z, h) b = Mul(rest, n) h1 = Add(a, b)",
}


_RNN_CELL = {
    "two": "p = Gemm <transB = 1> (x_t, Wx, bx) q = Gemm <transB = 1> (h, Wh, bh) s = Add(p, q) h1 = Tanh(s)",
    "joined": "j = Concat <axis = 1> (x_t, h) m = MatMul(j, Kn) s = Add(m, bx) h1 = Tanh(s)",
}


def _renamed(text, step):
    """Return the text of a cell for step `step`, with its own names and the states of the step before."""
    outer = {*("Wx", "bx", "Wh", "bh", "K", "Kn", "bg", "bn", "Wxt", "Wht", "one", "two", "three", "four", "unit")}
    outer |= {f"n{i}" for i in range(5)}
    words = []
    for word in text.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split():
        own = word.isidentifier() and word not in outer and word[0].islower() and word not in ("axis", "transB")
        state = {"h1": f"h_{step + 1}", "c1": f"c_{step + 1}", "h": f"h_{step}", "c": f"c_{step}"}.get(word)
        words.append(state or (f"{word}_{step}" if own else word))
    return " ".join(words)


def cell_constants(rng, gates):
    x, h = floats(rng, gates * H, I), floats(rng, gates * H, H)
    cuts = {f"n{i}": np.array([i * H]) for i in range(5)}
    sizes = {name: np.full(count, H) for name, count in (("two", 2), ("three", 3), ("four", 4))}
    return {
        **{"Wx": x, "Wh": h, "Wxt": x.T.copy(), "Wht": h.T.copy(), "bx": floats(rng, gates * H)},
        **{"bh": floats(rng, gates * H), "bg": floats(rng, 2 * H), "bn": floats(rng, H), "unit": np.float32(1)},
        **{"K": np.concatenate([x, h], 1).T[:, : 4 * H if gates == 4 else 2 * H].copy(), "Kn": floats(rng, I + H, H)},
        **{**cuts, **sizes, "one": np.array([1])},
    }


def cells():
    """Yield name, number of gates and text of each way to write a cell, from x_t, h and c to h1 and c1."""
    for name, text in _LSTM_CELL.items():
        yield f"LSTM {name}", 4, text + _LSTM_END
    for (name, text), (end, last) in itertools.product(_GRU_CELL.items(), _GRU_END.items()):
        yield f"GRU {name} {end}", 3, text + last
    for name, text in _RNN_CELL.items():
        yield f"RNN {name}", 1, text


def unrolled(rng):
    """Cells step by step, as exporters write loops of a fixed length."""
    for name, gates, text in cells():
        states = ["h", "c"] if gates == 4 else ["h"]
        taken = ", ".join(f"float[b, {H}] {each}_0" for each in states)
        given = ", ".join(f"float[b, {H}] {each}_3" for each in states)
        steps = " ".join(f"x_t_{i} = Gather <axis = 0> (x, at{i}) " + _renamed(text, i) for i in range(3))
        constants = {**cell_constants(rng, gates), **{f"at{i}": np.array(i) for i in range(3)}}
        inputs = {**frames(rng), **{f"{each}_0": floats(rng, B, H) for each in states}}
        yield written(
            f"unrolled {name}", f"(float[t, b, {I}] x, {taken}) => ({given}) {{ {steps} }}", constants, inputs, 1
        )


def scans(rng):
    for (name, gates, text), way in itertools.product(cells(), (0, 1)):
        states = ["h", "c"] if gates == 4 else ["h"]
        ins = ", ".join(f"float[b, {H}] {each}" for each in states)
        news = ", ".join(f"{each}1" for each in states)
        body = f"body = step ({ins}, float[b, {I}] x_t) => ({news}, y) {{ {text} y = Identity(h1) }}"
        options = f"num_scan_inputs = 1, scan_input_directions = [{way}], scan_output_directions = [{way}]"
        first, last = ", ".join(f"{each}_0" for each in states), ", ".join(f"{each}_n" for each in states)
        taken = ", ".join(f"float[b, {H}] {each}_0" for each in states)
        given = ", ".join(f"float[b, {H}] {each}_n" for each in states)
        head = f"(float[t, b, {I}] x, {taken}) => ({given}, float[t, b, {H}] ys)"
        whole = f"{head} {{ {last}, ys = Scan <{options}, {body}> ({first}, x) }}"
        inputs = {**frames(rng), **{f"{each}_0": floats(rng, B, H) for each in states}}
        yield written(f"Scan {name} {way}", whole, cell_constants(rng, gates), inputs, 1)


def loops(rng):
    for name, gates, text in cells():
        states = ["h", "c"] if gates == 4 else ["h"]
        ins = ", ".join(f"float[b, {H}] {each}" for each in states)
        news = ", ".join(f"{each}1" for each in states)
        body = (
            f"body = step (int64 i_now, bool on, {ins}) => (go, {news}, y) "
            f"{{ go = Identity(on) x_t = Gather <axis = 0> (x, i_now) {text} y = Identity(h1) }}"
        )
        first, last = ", ".join(f"{each}_0" for each in states), ", ".join(f"{each}_n" for each in states)
        taken = ", ".join(f"float[b, {H}] {each}_0" for each in states)
        given = ", ".join(f"float[b, {H}] {each}_n" for each in states)
        count = "all = Shape(x) count = Gather <axis = 0> (all, first) "
        head = f"(float[t, b, {I}] x, {taken}) => ({given}, float[t, b, {H}] ys)"
        whole = f"{head} {{ {count} {last}, ys = Loop <{body}> (count, yes, {first}) }}"
        inputs = {**frames(rng), **{f"{each}_0": floats(rng, B, H) for each in states}}
        constants = {**cell_constants(rng, gates), "first": np.array(0), "yes": np.array(True)}
        yield written(f"Loop {name}", whole, constants, inputs, 1)


# ---- models around layers


def around(rng):
    """Embeddings, convolutions, normalization, stacked states, heads."""
    own = weights(rng, 4)
    table = {
        **own,
        "table": floats(rng, 7, I),
        "head": floats(rng, H, 6),
        "bias": floats(rng, 6),
        "axis": np.array([0]),
    }
    text = (
        f"(int64[t, b] words) => (float[b, 6] scores, int64[b] best) {{ x = Gather(table, words) "
        f", h = LSTM <hidden_size = {H}> (x, W, R, B) s = Squeeze(h, axis) m = MatMul(s, head) a = Add(m, bias) "
        "scores = LogSoftmax <axis = -1> (a) best = ArgMax <axis = 1, keepdims = 0> (scores) }"
    )
    yield written("embedding", text, table, {"words": rng.integers(0, 7, (T, B))}, 1)
    front = {
        **weights(rng, 3, 6),
        "K": floats(rng, 6, I, 3),
        "k": floats(rng, 6),
        "s": floats(rng, 6),
        "d": floats(rng, 6),
    }
    front |= {"mean": floats(rng, 6), "var": np.abs(floats(rng, 6)) + 0.1, "g": floats(rng, H), "e": floats(rng, H)}
    text = (
        f"(float[b, {I}, n] x) => (float[t, 1, b, {H}] y) {{ a = Conv <pads = [2, 0], kernel_shape = [3]> (x, K, k) "
        "r = Relu(a) v = BatchNormalization(r, s, d, mean, var) t = Transpose <perm = [2, 0, 1]> (v) "
        f"w = GRU <hidden_size = {H}> (t, W, R, B) y = LayerNormalization <axis = -1> (w, g, e) }}"
    )
    yield written("convolution", text, front, frames(rng, B, I, 6), 1)
    stacked = {f"{key}{i}": each for i in (1, 2) for key, each in weights(rng, 4, (I, H)[i - 1]).items()}
    stacked |= {"first": np.array(0), "second": np.array(1), "zero": np.array([0]), "one": np.array([1])}
    text = (
        f"(float[t, b, {I}] x, float[2, b, {H}] h, float[2, b, {H}] c) => "
        f"(float[t, 1, b, {H}] y, float[2, b, {H}] hn, float[2, b, {H}] cn) {{ "
        "a = Gather(h, first) h1 = Unsqueeze(a, zero) c1, c2 = Split(c) b2 = Slice(h, one, two) "
        f"y1, p, q = LSTM <hidden_size = {H}> (x, W1, R1, B1, , h1, c1) z = Squeeze(y1, one) "
        f"y, r, s = LSTM <hidden_size = {H}> (z, W2, R2, B2, , b2, c2) hn = Concat <axis = 0> (p, r) "
        "cn = Concat <axis = 0> (q, s) }"
    )
    inputs = {**frames(rng), "h": floats(rng, 2, B, H), "c": floats(rng, 2, B, H)}
    yield written("stacked states", text, {**stacked, "two": np.array([2])}, inputs, 2, opset=17)


def versions(rng):
    """Operators whose form depends on the version: axes as attributes, Softmax over all dimensions from an axis on."""
    own = {
        **weights(rng, 3),
        "head": floats(rng, H, 4),
        "bias": floats(rng, 4),
        "low": np.float32(-1),
        "high": np.float32(1),
    }
    for opset in (8, 9, 10, 11, 12):
        clip = "Clip <min = -1.0, max = 1.0> (s)" if opset < 11 else "Clip(s, low, high)"
        pieces = "Slice <starts = [0], ends = [2], axes = [0]> (x)" if opset < 10 else "Identity(x)"
        text = (
            f"(float[t, b, {I}] x) => (float[t, b, {H}] p, float[b, 4] q, float[t, b, 1] m) {{ x1 = {pieces} "
            f"y, h = GRU <hidden_size = {H}> (x1, W, R, B) s = Squeeze <axes = [1]> (y) a = {clip} "
            "p = Softmax <axis = 1> (a) "
            "l = Squeeze <axes = [0]> (h) q = Gemm(l, head, bias) m = ReduceMean <axes = [2]> (s) }"
        )
        yield written(f"opset {opset}", text, own, frames(rng), 1, opset=opset)


def functions(rng):
    """A function of the file around a node, called twice, with an attribute that refers to one of the call."""
    own = weights(rng, 1)
    text = (
        f'<ir_version: 8, opset_import: ["" : 17, "own" : 1]> model (float[t, b, {I}] x) => (float[1, b, {H}] y) '
        '{ a = own.Last <way = "forward"> (x, W, R) b = own.Last <way = "reverse"> (x, W, R) y = Sub(a, b) } '
        '<domain: "own", opset_import: ["" : 17]> Last <way> (v, w, r) => (last) '
        f"{{ ys, last = RNN <hidden_size = {H}, direction: string = @way> (v, w, r) }}"
    )
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.extend(numpy_helper.from_array(own[key], key) for key in ("W", "R"))
    yield Model("functions", proto, frames(rng), 2)


def by_hand(rng, count=60):
    """Yield all models of this file."""
    yield from nodes(rng, count)
    for kind in (computed, branches, unrolled, scans, loops, around, versions, functions):
        yield from kind(rng)


# ---- control files


def without_layers(rng):
    """A model without a recurrent layer."""
    text = f"(float[b, {I}] x) => (float[b, 3] y) {{ a = Gemm <transB = 1> (x, W, B) y = Relu(a) }}"
    return written("no layer", text, {"W": floats(rng, 3, I), "B": floats(rng, 3)}, frames(rng, B, I), 0)


def unsupported(rng):
    """Return a model with unknown operators, and the texts about what is missing."""
    text = (
        f"(float[t, b, {I}] x) => (float[1, b, {H}] y) {{ , h = LSTM <hidden_size = {H}> (x, W, R, B) a = mine.Gate(h) "
        "b = Det2(a) y = Identity(b) }"
    )
    model = written("unsupported", text, weights(rng, 4), frames(rng), 1, whole=False, domains=', "mine" : 1')
    return model, ["Gate 'Gate': an operator of the domain 'mine'", "Det2 'Det2': operator"]
