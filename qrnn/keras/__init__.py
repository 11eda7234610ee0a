"""``qrnn.keras``: reads models and recurrent layers of Keras, from files or configs, as modules of ``qrnn.nn``.

Keras itself is not needed.
"""

from ._functions import Activation, MaskedSoftmax
from ._load import LayerSummary, Summary, layers, load, summary
from ._model import Model
from ._modules import Convolution, Embedding, Masking, Normalization, TimeDistributed
from ._read import read_layer
from ._recurrent_layer import RecurrentLayer
from ._shapes import GlobalPooling, Permute, Pooling, Repeat, Reshape

__all__ = [
    "Activation",
    "Convolution",
    "Embedding",
    "GlobalPooling",
    "LayerSummary",
    "MaskedSoftmax",
    "Masking",
    "Model",
    "Normalization",
    "Permute",
    "Pooling",
    "RecurrentLayer",
    "Repeat",
    "Reshape",
    "Summary",
    "TimeDistributed",
    "layers",
    "load",
    "read_layer",
    "summary",
]
