"""``qrnn.keras``: recurrent layers of Keras as float32 layers of ``qrnn.nn``, from their configs and weights.

Keras itself is not needed.
"""

from ._read import read_layer
from ._recurrent_layer import RecurrentLayer

__all__ = ["RecurrentLayer", "read_layer"]
