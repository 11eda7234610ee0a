"""Train the character language models with PyTorch: ``text_rnn.npz``, ``text_lstm.npz``, ``text_gru.npz``.

    pip install torch==2.13.0
    python3.11 examples/train_text.py

A model reads one-hot characters through one recurrent layer, and a Linear gives the scores of the next one.
The text (``text_data``) is Python's own help. The seed, the split and the order of the batches are fixed. The
training text is cut into BATCH pieces that are read side by side, STEPS characters in each update; an update
starts from the states of the last one. Each epoch begins the pieces at another place. The files hold plain
float32 arrays under PyTorch's parameter names.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import text_data
import torch
from torch import nn
from torch.nn import functional

MODELS = {"rnn": (nn.RNN, 256), "lstm": (nn.LSTM, 128), "gru": (nn.GRU, 128)}  # kind, hidden size
SEED = 0
EPOCHS = 30
BATCH = 32
STEPS = 64
PEAK_RATE = 5e-3
WEIGHT_DECAY = 0.02
DROPOUT = 0.1  # on the layer's output
LETTERS = len(text_data.ALPHABET)


class LanguageModel(nn.Module):
    def __init__(self, kind: type[nn.Module], hidden_size: int) -> None:
        super().__init__()
        self.rnn = kind(LETTERS, hidden_size)
        self.decoder = nn.Linear(hidden_size, LETTERS)

    def forward(self, codes: torch.Tensor, state=None):
        output, state = self.rnn(functional.one_hot(codes, LETTERS).float(), state)
        return self.decoder(functional.dropout(output, DROPOUT, self.training)), state


def detached(state):
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def updates(codes: np.ndarray, epoch: int):
    """Yield the epoch's (characters, their successors), int64 [STEPS, BATCH], in order."""
    turned = np.roll(codes, -epoch * 7919)
    pieces = torch.from_numpy(text_data.streams(turned, BATCH).copy())
    for start in range(0, len(pieces) - STEPS, STEPS):
        yield pieces[start : start + STEPS], pieces[start + 1 : start + STEPS + 1]


def train(kind: type[nn.Module], hidden_size: int, codes: np.ndarray) -> LanguageModel:
    torch.manual_seed(SEED)
    model = LanguageModel(kind, hidden_size)
    optimiser = torch.optim.AdamW(model.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    total = EPOCHS * len(list(updates(codes, 0)))
    rate = PEAK_RATE if kind is not nn.RNN else PEAK_RATE / 4
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=total, pct_start=0.1)
    for epoch in range(EPOCHS):
        state, losses = None, []
        for characters, successors in updates(codes, epoch):
            scores, state = model(characters, state)
            state = detached(state)
            loss = functional.cross_entropy(scores.flatten(0, 1), successors.flatten())
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1:3}: {np.mean(losses) / math.log(2):.3f} bits a character", flush=True)
    return model.eval()


@torch.no_grad()
def bits_per_character(model: LanguageModel, codes: np.ndarray, count: int = 32) -> float:
    pieces = torch.from_numpy(text_data.streams(codes, count).copy())
    scores, _ = model(pieces[:-1])
    return functional.cross_entropy(scores.flatten(0, 1), pieces[1:].flatten()).item() / math.log(2)


def main() -> None:
    parser = argparse.ArgumentParser(description="train the character language models with PyTorch")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="directory of the files")
    parser.add_argument("models", nargs="*", default=[], help=f"of {', '.join(MODELS)}; all by default")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    training, held_back = text_data.load()
    for name in options.models or MODELS:
        print(f"{name}: {len(training):,} characters to train on, {len(held_back):,} held back")
        model = train(*MODELS[name], training)
        print(f"{name}: held-back text {bits_per_character(model, held_back):.3f} bits a character")
        path = options.output / f"text_{name}.npz"
        np.savez(path, **{key: value.numpy() for key, value in model.state_dict().items()})
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
