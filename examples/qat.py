"""Quantization-aware training: regain the accuracy that a recurrent network loses in 8 bits.

    pip install torch scikit-learn
    python examples/qat.py

The relu RNN of ``train_irnn.py`` names a handwritten digit after 64 steps of one pixel. Engine ``fbgemm``, PyTorch's
arithmetic on x86, has one scale for each weight matrix and activations of 7 bits. Rounding errors add up over the
steps, and more digits are misread. ``prepare`` replaces the cell and the Linear by trainable modules, whose forward
rounds as the engine will; five more epochs adapt the weights to this rounding. The same five epochs in float are the
control: they show the gain from more training alone.
"""

import argparse
from pathlib import Path

import digits_data
import numpy as np
import torch
import train_irnn
from torch.nn import functional

import qrnn.torch as qnn

ENGINE = "fbgemm"
SEED = 0
EPOCHS = 5
BATCH = 32
RATE = 5e-5  # learning rate, which falls to zero


def load() -> train_irnn.Classifier:
    """Load the float model of irnn.npz."""
    model = train_irnn.Classifier(train_irnn.HIDDEN_SIZE)
    with np.load(Path(__file__).with_name("irnn.npz")) as weights:
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model.eval()


def train(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int) -> list[float]:
    """Train for more epochs in the way of train_irnn.py; return the mean loss of each."""
    torch.manual_seed(SEED)
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    updates = epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, updates)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(x)).split(BATCH):
            noisy = x[chosen] + train_irnn.PIXEL_NOISE * torch.randn_like(x[chosen])
            loss = functional.cross_entropy(model(noisy), y[chosen])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        losses.append(total / len(x))
    model.eval()
    return losses


@torch.no_grad()
def scores(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy."""
    answers = model(x)
    return (answers.argmax(1) == y).double().mean().item(), functional.cross_entropy(answers, y).item()


def compare(epochs: int) -> dict[str, tuple[float, float]]:
    """Return scores on held-back digits: float, converted, and converted after either kind of training."""
    train_x, train_y, held_x, held_y = map(torch.from_numpy, digits_data.load())
    train_x, held_x = train_irnn.as_pixels(train_x), train_irnn.as_pixels(held_x)
    original = load()
    results = {
        "float32": scores(original, held_x, held_y),
        "converted": scores(qnn.quantize_dynamic(original, engine=ENGINE), held_x, held_y),
    }
    longer = load()
    train(longer, train_x, train_y, epochs)
    results["converted after float training"] = scores(qnn.quantize_dynamic(longer, engine=ENGINE), held_x, held_y)
    model = qnn.prepare(load(), qconfig={}, engine=ENGINE)
    train(model, train_x, train_y, epochs)
    prepared = scores(model, held_x, held_y)
    results["converted after aware training"] = scores(qnn.convert(model), held_x, held_y)
    assert results["converted after aware training"] == prepared  # convert changes no bit
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="quantization-aware training of the relu RNN")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    epochs = parser.parse_args().epochs

    torch.set_num_threads(1)
    print(f"relu RNNCell(1, 128) over 64 pixels, engine {ENGINE}, {epochs} epochs more; held-back digits")
    print(f"{'':34}{'accuracy':>10}{'loss':>10}")
    for name, (accuracy, loss) in compare(epochs).items():
        print(f"{name:34}{accuracy:>10.2%}{loss:>10.4f}")


if __name__ == "__main__":
    main()
