"""qrnn: dynamically quantized recurrent networks for CPUs.

Write ``qrnn`` where PyTorch says ``torch.ao``, and ``qrnn.nn`` where it says ``torch.nn``:

* ``qrnn.nn``: float32 modules over NumPy arrays;
* ``qrnn.nn.quantized.dynamic``: the same with int8 weights and inputs quantized in each call;
* ``qrnn.quantization``: `prepare`, `convert`, `quantize_dynamic`, QConfigs and observers;
* ``qrnn.backends.quantized`` and ``with qrnn.engine(...)``: the choice of the arithmetic.

``qrnn.LSTM``, ``GRU``, ``RNN``, ``LSTMCell``, ``GRUCell``, ``RNNCell`` and ``Linear`` are short
names of the *quantized* ones; the float ones are ``qrnn.nn.LSTM`` and so on. A call of a cell computes
one step, a call of the others a whole sequence. PyTorch is not needed, and never imported.

Examples
--------
A model with a quantized cell, prepared, and converted back:

>>> import numpy as np
>>> import qrnn as qnn
>>> import qrnn.nn as nn
>>> class MyModel(nn.Module):
...     def __init__(self):
...         super().__init__()
...         self.rnn_cell = qnn.quantized.dynamic.RNNCell(input_size=10, hidden_size=20)
...     def forward(self, input):
...         return self.rnn_cell(input)
>>> model = MyModel()
>>> model
MyModel(
  (rnn_cell): DynamicQuantizedRNNCell(10, 20)
)
>>> x = np.random.default_rng(0).standard_normal((1, 10), dtype=np.float32)
>>> before = model(x)
>>> model = qnn.prepare(model, qconfig={})
>>> model
MyModel(
  (rnn_cell): PreparedRNNCell(10, 20, engine=qrnn)
)
>>> h = model(x)  # in float: weights may be changed now
>>> model = qnn.convert(model)
>>> bool((model(x) == before).all())  # unchanged weights have the same codes again
True

A float model, quantized in one step:

>>> model = nn.Sequential(nn.RNNCell(10, 20, nonlinearity="relu"), nn.ReLU())
>>> qnn.quantize_dynamic(model)
Sequential(
  (0): DynamicQuantizedRNNCell(10, 20, nonlinearity=relu)
  (1): ReLU()
)

Sequences of different lengths in one call:

>>> lstm = qnn.LSTM.from_float(nn.LSTM(10, 20, batch_first=True, bidirectional=True))
>>> lstm
DynamicQuantizedLSTM(10, 20, batch_first=True, bidirectional=True)
>>> output, (h_n, c_n) = lstm(np.ones((3, 7, 10), np.float32), lengths=[7, 2, 5])
>>> output.shape, h_n.shape
((3, 7, 40), (2, 3, 20))

The version, as text:

>>> qnn.__version__.count(".")
2
"""

try:
    from . import _core  # noqa: F401, first, to find out whether it was built
except ImportError:
    from importlib.util import find_spec

    if find_spec(f"{__name__}._core") is not None:
        raise  # it exists, and its own error says what is wrong
    raise ImportError(
        f"qrnn: no compiled extension _core for this Python in {__path__[0]}. If that is the source folder, "
        "found before the installed package, start Python in another directory, or compile it there: "
        "pip install -e ."
    ) from None

from typing import TYPE_CHECKING

from . import backends, nn, quantization, quantized
from ._config import engine, isas
from ._export_c import export_c
from ._files import load, save
from ._format_error import FormatError
from ._map import BatchError, map
from ._progress import set_progress
from ._qtensor import QTensor
from ._random import manual_seed
from ._show import show_versions
from ._stream import Stream, stream
from ._threads import get_num_threads, set_num_threads
from ._types import (
    float16,
    float32,
    int16,
    per_channel_affine,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
    qint8,
    quint8,
)
from ._version import __version__
from .nn.quantized.dynamic import GRU, LSTM, RNN, GRUCell, Linear, LSTMCell, RNNCell
from .quantization import convert, prepare, quantize_dynamic

if TYPE_CHECKING:
    from . import plots
    from ._compare import CompareReport, compare
    from ._compared import Compared
    from ._summary import LayerSummary, SummaryReport, summary

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchError",
    "CompareReport",
    "Compared",
    "FormatError",
    "GRUCell",
    "LSTMCell",
    "LayerSummary",
    "Linear",
    "QTensor",
    "RNNCell",
    "Stream",
    "SummaryReport",
    "__version__",
    "backends",
    "compare",
    "convert",
    "engine",
    "export_c",
    "float16",
    "float32",
    "get_num_threads",
    "int16",
    "isas",
    "load",
    "manual_seed",
    "map",
    "nn",
    "per_channel_affine",
    "per_channel_symmetric",
    "per_tensor_affine",
    "per_tensor_symmetric",
    "plots",
    "prepare",
    "qint8",
    "quantization",
    "quantize_dynamic",
    "quantized",
    "quint8",
    "save",
    "set_num_threads",
    "set_progress",
    "show_versions",
    "stream",
    "summary",
]

#: Names for looking at models, by the module that has them. They are imported at their first use.
_LATER = {
    "CompareReport": "_compare",
    "Compared": "_compared",
    "LayerSummary": "_summary",
    "SummaryReport": "_summary",
    "compare": "_compare",
    "plots": "plots",
    "summary": "_summary",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_LATER[name]}", __name__)
    found = globals()[name] = module if name == _LATER[name] else getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
