"""torch.nn.RNNCell, and the cell that torch.ao makes from it with PyTorch's default engine."""

import warnings

import torch

from . import Contender

torch.set_num_threads(1)
torch.set_grad_enabled(False)


def float_cell(weights):
    cell = torch.nn.RNNCell(weights.input_size, weights.hidden_size)
    cell.load_state_dict({name: torch.from_numpy(value) for name, value in weights.state_dict().items()})
    return cell


def quantized_cell(weights):
    with warnings.catch_warnings():  # torch.ao announces its removal
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(float_cell(weights)), {torch.nn.RNNCell})
    return model[0]


def native(array):
    return torch.from_numpy(array.copy())


def engine():
    return torch.backends.quantized.engine


def contenders(weights):
    found = [Contender("torch.nn", "float32", float_cell(weights), native, details="torch.nn.RNNCell")]
    if engine() != "none":
        precision = "8 bits" if engine() == "qnnpack" else "7 bits"
        found.append(
            Contender(
                "torch.ao",
                precision,
                quantized_cell(weights),
                native,
                details=f"torch.ao.nn.quantized.dynamic.RNNCell, engine {engine()}",
            )
        )
    return found
