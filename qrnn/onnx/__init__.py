"""``qrnn.onnx``: models of ONNX files as modules of ``qrnn.nn``, and what recurrent nodes they hold.

Files are read with the package `onnx`.
"""

from ._load import LoadedModel, load
from ._read import read_node
from ._recurrent_node import RecurrentNode
from ._summary import Summary, summary

__all__ = ["LoadedModel", "RecurrentNode", "Summary", "load", "read_node", "summary"]
