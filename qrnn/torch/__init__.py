"""``qrnn.torch``: quantized recurrent networks in torch models.

It offers what ``torch.ao`` does, for torch modules and tensors, computed by the C core of qrnn:

* ``qrnn.torch.nn.quantized.dynamic``: RNNCell, LSTMCell, GRUCell, RNN, LSTM, GRU and Linear with int8 weights;
* `prepare`, `convert`, `quantize_dynamic`: quantize a float model, in one step or with
  quantization-aware training in between;
* `quantize_`: quantizes in place, by a config object, in the style of torchao;
* `from_torch_ao`: converts a model that ``torch.ao`` quantized.

Importing this package imports PyTorch and registers the operators ``torch.ops.qrnn.*``, which compiled and exported
programs call.

Examples
--------
>>> import torch, qrnn.torch as qnn
>>> model = torch.nn.Sequential(torch.nn.RNNCell(10, 20), torch.nn.Linear(20, 2))
>>> qnn.quantize_dynamic(model)
Sequential(
  (0): DynamicQuantizedRNNCell(10, 20)
  (1): DynamicQuantizedLinear(in_features=20, out_features=2, dtype=qrnn.qint8, qscheme=qrnn.per_channel_affine)
)
"""

from .. import backends
from .._config import engine, isas
from .._stream import Stream, stream
from .._types import (
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
from . import _ops, nn, quantization, quantized
from ._checkpoints import load_checkpoint
from ._configs import (
    DynamicConfig,
    FBGEMMDynamicConfig,
    ONEDNNDynamicConfig,
    QNNPACKDynamicConfig,
    QRNN13DynamicConfig,
    QRNNDynamicConfig,
    X86DynamicConfig,
    quantize_,
)
from ._qtensor import QTensor
from ._script_layers import recurrent_layers
from .nn.quantized.dynamic import GRU, LSTM, RNN, GRUCell, Linear, LSTMCell, RNNCell
from .quantization import (
    QConfig,
    convert,
    default_dynamic_qconfig,
    from_torch_ao,
    per_channel_dynamic_qconfig,
    prepare,
    prepare_qat,
    quantize_dynamic,
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "DynamicConfig",
    "FBGEMMDynamicConfig",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "ONEDNNDynamicConfig",
    "QConfig",
    "QNNPACKDynamicConfig",
    "QRNN13DynamicConfig",
    "QRNNDynamicConfig",
    "QTensor",
    "RNNCell",
    "Stream",
    "X86DynamicConfig",
    "backends",
    "convert",
    "default_dynamic_qconfig",
    "engine",
    "float16",
    "float32",
    "from_torch_ao",
    "int16",
    "isas",
    "load_checkpoint",
    "nn",
    "per_channel_affine",
    "per_channel_dynamic_qconfig",
    "per_channel_symmetric",
    "per_tensor_affine",
    "per_tensor_symmetric",
    "prepare",
    "prepare_qat",
    "qint8",
    "quantization",
    "quantize_",
    "quantize_dynamic",
    "quantized",
    "quint8",
    "recurrent_layers",
    "stream",
]

_ops.register()
