"""Train the speaker classifiers of ``vowels.py`` with PyTorch and write ``vowels_lstm.npz``, ``vowels_gru.npz``.

    pip install torch==2.13.0
    pip install --no-deps aeon            # for its copy of the data
    python examples/train_vowels.py

An utterance is a sequence of 7 to 29 steps of 12 values. An LSTM reads it forward; a GRU reads it in both
directions; a Linear names the speaker from the last state, of both directions. Utterances of different length
share a batch as a PackedSequence. The seed, the split (``vowels_data.load``) and the order of the batches are
fixed; the settings below were chosen by threefold cross-validation inside the training set (``--validate``).
The files hold plain float32 arrays under PyTorch's parameter names.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import vowels_data
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

MODELS = {"lstm": (nn.LSTM, 64, False), "gru": (nn.GRU, 48, True)}  # kind, hidden size, both directions
SEED = 0
EPOCHS = 120
BATCH = 27
PEAK_RATE = 5e-3
WEIGHT_DECAY = 0.1
NOISE = 0.2  # standard deviation; a coefficient has 0.1 to 0.5
DROPOUT = 0.3  # of the last state


class Classifier(nn.Module):
    def __init__(self, kind: type[nn.Module], hidden_size: int, bidirectional: bool) -> None:
        super().__init__()
        self.rnn = kind(vowels_data.CHANNELS, hidden_size, batch_first=True, bidirectional=bidirectional)
        self.classifier = nn.Linear((1 + bidirectional) * hidden_size, vowels_data.SPEAKERS)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, state = self.rnn(packed)
        h = state[0] if isinstance(state, tuple) else state  # [directions, batch, hidden]
        return self.classifier(functional.dropout(torch.cat(tuple(h), -1), DROPOUT, self.training))


def train(make: Callable[[], nn.Module], x: torch.Tensor, lengths: torch.Tensor, y: torch.Tensor) -> nn.Module:
    torch.manual_seed(SEED)
    model = make()
    optimiser = torch.optim.AdamW(model.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    updates = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=updates)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(x)).split(BATCH):
            noisy = x[chosen] + NOISE * torch.randn_like(x[chosen])
            loss = functional.cross_entropy(model(noisy, lengths[chosen]), y[chosen])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def scores(model: nn.Module, x: torch.Tensor, lengths: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Accuracy and mean cross-entropy."""
    answers = model(x, lengths)
    return (answers.argmax(1) == y).double().mean().item(), functional.cross_entropy(answers, y).item()


def validate(make: Callable[[], nn.Module], *data: torch.Tensor) -> tuple[float, float]:
    """The mean scores on each third of the training set, trained on the other two."""
    results = []
    for fold in range(3):
        held = torch.arange(len(data[0])) % 3 == fold  # the set is ordered by speaker
        model = train(make, *(part[~held] for part in data))
        results.append(scores(model, *(part[held] for part in data)))
    return tuple(np.mean(results, axis=0))


def save(name: str, model: nn.Module, directory: Path, training: tuple, held_back: tuple) -> None:
    """Print the scores of a trained model on both sets, and write its file."""
    for which, part in ("training", training), ("held-back", held_back):
        accuracy, loss = scores(model, *part)
        print(f"{name}, {which}: {len(part[0])} utterances, accuracy {accuracy:.2%}, loss {loss:.4f}")
    path = directory / f"vowels_{name}.npz"
    np.savez(path, **{key: value.numpy() for key, value in model.state_dict().items()})
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description="train the speaker classifiers with PyTorch")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="directory of the files")
    parser.add_argument("--validate", action="store_true", help="cross-validate the settings, write nothing")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    training, held_back = (tuple(map(torch.from_numpy, part)) for part in vowels_data.load())
    for name, settings in MODELS.items():
        make = functools.partial(Classifier, *settings)
        if options.validate:
            print("{}: cross-validated accuracy {:.2%}, loss {:.4f}".format(name, *validate(make, *training)))
            continue
        save(name, train(make, *training), options.output, training, held_back)


if __name__ == "__main__":
    main()
