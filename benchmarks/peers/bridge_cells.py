"""This project's cell in a torch model: qrnn.torch, tensors in and out."""

import qrnn.torch as qt

from . import Contender, torch_cells


def contenders(weights):
    cell = qt.quantize_dynamic(torch_cells.float_cell(weights))
    return [
        Contender(
            "qrnn.torch",
            "8 bits",
            cell,
            torch_cells.native,
            details=f"qrnn.torch.nn.quantized.dynamic.RNNCell, engine qrnn, {cell.isa}",
        )
    ]
