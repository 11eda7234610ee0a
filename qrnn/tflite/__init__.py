"""``qrnn.tflite``: reads recurrent layers and models of TensorFlow Lite files as modules of ``qrnn.nn``.

TensorFlow is not needed, nor is any other package.
"""

from ._load import LoadedModel, OperatorSummary, Summary, load, summary

__all__ = ["LoadedModel", "OperatorSummary", "Summary", "load", "summary"]
