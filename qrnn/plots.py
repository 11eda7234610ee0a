"""``qrnn.plots``: pictures of weights and of states. matplotlib has to be installed.

Each function returns a matplotlib figure, which Jupyter shows and ``savefig`` writes.

Examples
--------
>>> import numpy as np, qrnn
>>> layer = qrnn.GRU(12, 64)
>>> weight = layer.get_weight()["weight_hh_l0"]
>>> qrnn.plots.codes(weight).savefig("codes.png")  # doctest: +SKIP
"""

from ._plots import codes, states

__all__ = ["codes", "states"]
