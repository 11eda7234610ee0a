"""Train the digit classifier of ``digits.py`` with PyTorch and write ``digits.npz``.

    pip install torch==2.13.0 scikit-learn
    python examples/train_digits.py

A digit is a sequence of 8 rows of 8 pixels; a tanh RNNCell reads it, and a Linear names it from the last
hidden state. The seed, the split (``digits_data.load``) and the order of the batches are fixed. The settings
below were chosen by threefold cross-validation inside the training set, except HIDDEN_SIZE (64 is as accurate;
128 shows more about quantization) and EPOCHS, which was raised later. The file holds plain float32 arrays under
PyTorch's parameter names.
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
EPOCHS = 150
BATCH = 64
PEAK_RATE = 3e-3
WEIGHT_DECAY = 0.1
PIXEL_NOISE = 0.15  # standard deviation, on pixels in 0..1
DROPOUT = 0.3  # on the last hidden state


class Classifier(nn.Module):
    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.rnn_cell = nn.RNNCell(digits_data.STEP_SIZE, hidden_size)
        self.classifier = nn.Linear(hidden_size, digits_data.CLASSES)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        h = rows.new_zeros(len(rows), self.rnn_cell.hidden_size)
        for t in range(rows.shape[1]):
            h = self.rnn_cell(rows[:, t], h)
        return self.classifier(functional.dropout(h, DROPOUT, self.training))


def train(x: torch.Tensor, y: torch.Tensor) -> Classifier:
    torch.manual_seed(SEED)
    model = Classifier(HIDDEN_SIZE)
    optimiser = torch.optim.AdamW(model.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
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
    parser = argparse.ArgumentParser(description="train the digit classifier with PyTorch")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("digits.npz"))
    output = parser.parse_args().output

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train_x, train_y, held_x, held_y = map(torch.from_numpy, digits_data.load())
    model = train(train_x, train_y)
    with torch.no_grad():
        for name, x, y in ("training", train_x, train_y), ("held-back", held_x, held_y):
            accuracy = (model(x).argmax(1) == y).double().mean()
            print(f"{name} digits: {len(y)}, accuracy {accuracy:.2%}")
    np.savez(output, **{name: value.numpy() for name, value in model.state_dict().items()})
    print(f"{output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
