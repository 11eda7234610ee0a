"""The tutorial's program on torch modules and tensors, with real training between prepare and convert.

    pip install torch scikit-learn
    python examples/tutorial_torch.py

Only ``import qrnn.torch as qnn`` differs from the same program for PyTorch's own quantization. The cell is
quantized from the start; ``prepare`` makes it trainable, and ``convert`` quantizes the trained weights. The first
unit of the cell learns to predict the mean of a digit's next eight pixels from the ten pixels before them.
"""

import digits_data
import torch
from torch import nn

import qrnn.torch as qnn


class MyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn_cell = qnn.quantized.dynamic.RNNCell(input_size=10, hidden_size=20)

    def forward(self, input):
        return self.rnn_cell(input)


def data():
    """Return ten pixels of a digit, and the mean of the eight pixels after them."""
    rows = torch.from_numpy(digits_data.load()[0]).flatten(1)
    return rows[:, 24:34], rows[:, 34:42].mean(1)


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x, y = data()

    model = MyModel()
    qnn.prepare(model, qconfig={})

    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for epoch in range(5):
        total = 0.0
        for chosen in torch.randperm(len(x)).split(32):
            loss = (model(x[chosen])[:, 0] - y[chosen]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(chosen)
        print(f"epoch {epoch + 1}: loss {total / len(x):.5f}")

    qnn.convert(model)
    print(f"converted: loss {(model(x)[:, 0] - y).square().mean():.5f}")
    print(model)
    print(model(torch.randn(1, 10)))


if __name__ == "__main__":
    main()
