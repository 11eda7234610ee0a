"""``qrnn.onnx``: reads models of ONNX files, or only their recurrent nodes, as modules of ``qrnn.nn``; writes models.

Files are read with the package `onnx`, and written with `onnxscript`.
"""

from ._export import export
from ._load import LoadedModel, load
from ._read import read_node
from ._recurrent_node import RecurrentNode
from ._summary import Summary, summary

__all__ = ["LoadedModel", "RecurrentNode", "Summary", "export", "load", "read_node", "summary"]
