"""Train a relu RNN with slow memory, and write ``irnn.npz``.

    pip install torch==2.13.0 scikit-learn
    python examples/train_irnn.py

The network reads a handwritten digit pixel by pixel, 64 steps of one value, and a Linear names it from the last
hidden state, which must remember the first pixels for 60 steps. W_hh begins as the identity and the biases as
zero (Q. V. Le, N. Jaitly, G. E. Hinton, A simple way to initialize recurrent networks of rectified linear
units, 2015); the file that is written stays near it, and the distance is printed. Errors of its weights add up
over the steps, which makes it the hardest of the examples to quantize. The seed, the split (``digits_data.load``)
and the order of the batches are fixed. The file holds plain float32 arrays under PyTorch's parameter names.
"""

import argparse
from pathlib import Path

import digits_data
import numpy as np
import torch
from torch import nn
from torch.nn import functional

HIDDEN_SIZE = 128
SEED = 0
EPOCHS = 100
BATCH = 32
PEAK_RATE = 1e-3
PIXEL_NOISE = 0.1  # standard deviation, on pixels in 0..1


class Classifier(nn.Module):
    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.rnn_cell = nn.RNNCell(1, hidden_size, nonlinearity="relu")
        self.classifier = nn.Linear(hidden_size, digits_data.CLASSES)
        with torch.no_grad():
            self.rnn_cell.weight_hh.copy_(torch.eye(hidden_size))
            self.rnn_cell.weight_ih.normal_(0, 0.1)
            self.rnn_cell.bias_ih.zero_()
            self.rnn_cell.bias_hh.zero_()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        h = pixels.new_zeros(len(pixels), self.rnn_cell.hidden_size)
        for t in range(pixels.shape[1]):
            h = self.rnn_cell(pixels[:, t], h)
        return self.classifier(h)


def as_pixels(x):
    """Reshape the digits' rows to [digits, 64 steps, 1 value]; works for NumPy arrays and tensors."""
    return x.reshape(len(x), -1, 1)


def train(x: torch.Tensor, y: torch.Tensor) -> Classifier:
    torch.manual_seed(SEED)
    model = Classifier(HIDDEN_SIZE)
    optimiser = torch.optim.Adam(model.parameters(), PEAK_RATE)
    updates = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=updates)
    for epoch in range(EPOCHS):
        total = 0.0
        for chosen in torch.randperm(len(x)).split(BATCH):
            noisy = x[chosen] + PIXEL_NOISE * torch.randn_like(x[chosen])
            loss = functional.cross_entropy(model(noisy), y[chosen])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3}: loss {total / len(x):.4f}", flush=True)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description="train the relu RNN with PyTorch")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("irnn.npz"))
    output = parser.parse_args().output

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train_x, train_y, held_x, held_y = map(torch.from_numpy, digits_data.load())
    model = train(as_pixels(train_x), train_y)
    with torch.no_grad():
        for name, x, y in ("training", train_x, train_y), ("held-back", held_x, held_y):
            accuracy = (model(as_pixels(x)).argmax(1) == y).double().mean()
            print(f"{name} digits: {len(y)}, accuracy {accuracy:.2%}")
        difference = model.rnn_cell.weight_hh - torch.eye(HIDDEN_SIZE)
        diagonal = model.rnn_cell.weight_hh.diagonal()
        print(
            f"W_hh: diagonal {diagonal.min():.3f} to {diagonal.max():.3f}, "
            f"rms of W_hh - identity {difference.square().mean().sqrt():.4f}"
        )
    np.savez(output, **{name: value.numpy() for name, value in model.state_dict().items()})
    print(f"{output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
