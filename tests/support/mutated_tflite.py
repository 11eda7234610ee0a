"""Load randomly mutated TensorFlow Lite files: a load must raise FormatError or return what the file says."""

from __future__ import annotations

import struct
import time
import tracemalloc
import warnings

import numpy as np

import qrnn
import qrnn.tflite
from support.mutated_files import cut, extend, flip_bits, move_bytes
from support.tflite_cells import looped, unrolled, weights_of
from support.tflite_models import LSTMS, PAIRS, RNNS, lstm_case, rnn_case, schema

#: Values that may replace a number of 32 bits: distances, counts, indices and sizes.
HOSTILE = (0, 1, 2, 3, 4, 7, 8, 255, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 2, 2**32 - 1)
#: Memory allowed for each byte of a file, and in addition: objects for its tensors and operators.
PER_BYTE, SLACK = 200, 1_000_000
#: Seconds of CPU time allowed: a load takes some milliseconds.
LIMIT = 5.0


def seeds():
    """List the unmutated files."""
    rng = np.random.default_rng(0)
    lstms = [(LSTMS[name], int8) for name in ("plain", "layer norm, coupled, a projection") for int8 in (False, "int8")]
    lstms += [(LSTMS["peepholes"], "integer"), (LSTMS["a clipped projection"], "float16")]
    found = [lstm_case(rng, options, int8).content for options, int8 in lstms]
    found += [lstm_case(rng, PAIRS["both, batch first"], "uint8", pair=True).content]
    found += [looped(weights_of(rng, *family), *family, True) for family in (("LSTM", False), ("GRU", True))]
    found += [unrolled(weights_of(rng, "GRU", False), "GRU", False)]
    return [*found, rnn_case(rng, RNNS["relu"]).content, rnn_case(rng, RNNS["both"], "int8").content]


BEGIN = {".tflite": lambda: [(content,) for content in seeds()]}


# ---- mutations: each changes the bytes of a file


def _words(content):
    return len(content) // 4


def set_a_word(rng, content):
    """Replace an aligned number of 32 bits."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = 4 * rng.randrange(_words(content))
        old = struct.unpack_from("<I", content, place)[0]
        new = rng.choice((*HOSTILE, old + 1, old - 1, old + 4, old - 4, old * 2, len(content), place))
        struct.pack_into("<I", changed, place, new % 2**32)
    return bytes(changed)


def set_a_half(rng, content):
    """Replace a number of 16 bits, as in vtables."""
    changed = bytearray(content)
    place = 2 * rng.randrange(len(content) // 2)
    struct.pack_into("<H", changed, place, rng.choice((0, 2, 4, 6, 8, 100, 65_535, rng.randrange(64))))
    return bytes(changed)


def swap_words(rng, content):
    changed = bytearray(content)
    one, other = (4 * rng.randrange(_words(content)) for _ in range(2))
    changed[one : one + 4], changed[other : other + 4] = content[other : other + 4], content[one : one + 4]
    return bytes(changed)


def lead_elsewhere(rng, content):
    """Have one offset lead to the target of another one, which makes shared parts and circles."""
    changed = bytearray(content)
    one, other = (4 * rng.randrange(_words(content)) for _ in range(2))
    target = other + struct.unpack_from("<I", content, other)[0]
    struct.pack_into("<I", changed, one, (target - one) % 2**32)
    return bytes(changed)


MUTATIONS = (
    *(flip_bits, cut, extend, move_bytes, set_a_half, set_a_half, swap_words, lead_elsewhere, lead_elsewhere),
    *(set_a_word, set_a_word, set_a_word, set_a_word),
)


# ---- loads of mutated files


def read(path):
    return qrnn.tflite.load(path)


def load(path, content):
    """Load a file that holds `content`; return "refused" or "loaded"; AssertionError for any other outcome."""
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return _load(path, content)


def _load(path, content):
    tracemalloc.start()
    start = time.process_time()
    try:
        found = read(path)
        str(qrnn.tflite.summary(path)), repr(found)
    except qrnn.FormatError as error:
        assert str(error).startswith(str(path))
        return "refused"
    finally:
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seconds < LIMIT, f"{seconds} seconds"
        assert peak < PER_BYTE * len(content) + SLACK, f"{peak} bytes of memory for a file of {len(content)}"
    for layer in found.layers.values():
        if isinstance(layer, (qrnn.nn.LSTMCell, qrnn.nn.GRUCell)):
            layer(np.zeros((2, layer.input_size), np.float32))
            continue
        output = layer(np.zeros((2, 2, layer.input_size), np.float32))[0]
        assert output.shape[2] == (2 if layer.bidirectional else 1) * (layer.proj_size or layer.hidden_size)
    expect_right(found, content)
    return "loaded"


def expect_right(found, content):
    """Check the recurrent weights of unidirectional float LSTMs against another reader of the file."""
    model = schema.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    for k in range(graph.OperatorsLength()):
        operator = graph.Operators(k)
        layer = found.layers.get(_name(graph, operator))
        if type(layer) is not qrnn.nn.LSTM or layer.bidirectional or len(found.layers) > 1:
            continue
        tensors = [graph.Tensors(int(operator.Inputs(i))) for i in range(6, 9)]
        if any(tensor.Type() != schema.TensorType.FLOAT32 for tensor in tensors):
            continue
        data = [model.Buffers(tensor.Buffer()).DataAsNumpy() for tensor in tensors]
        if any(isinstance(each, int) for each in data):
            continue  # made by an operator
        ours = layer.weight_hh_l0[layer.hidden_size :]
        assert ours.tobytes() == b"".join(each.tobytes() for each in data)


def _name(graph, operator):
    first = [int(operator.Outputs(i)) for i in range(operator.OutputsLength()) if operator.Outputs(i) >= 0]
    return (graph.Tensors(first[0]).Name() or b"").decode("utf-8", "replace").replace(".", "_") if first else ""
