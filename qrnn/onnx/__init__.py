"""``qrnn.onnx``: recurrent nodes of ONNX graphs as float32 layers of ``qrnn.nn``.

The package `onnx` is needed only where a TensorProto is to be read; arrays do without.
"""

from ._read import read_node
from ._recurrent_node import RecurrentNode

__all__ = ["RecurrentNode", "read_node"]
