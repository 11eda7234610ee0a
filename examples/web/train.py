"""Train the classifier of the page with PyTorch, and write ``speaker_gru.npz``.

    pip install torch==2.13.0
    pip install --no-deps aeon            # for its copy of the data
    python examples/web/train.py

The GRU of ``train_vowels.py``, with its settings, but it reads forward alone: a stream has no end from which another
direction could start.
"""

import functools
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import train_vowels  # noqa: E402
import vowels_data  # noqa: E402

HIDDEN = 32


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    training, held_back = (tuple(map(torch.from_numpy, part)) for part in vowels_data.load())
    model = train_vowels.train(functools.partial(train_vowels.Classifier, nn.GRU, HIDDEN, False), *training)
    for which, part in ("training", training), ("held-back", held_back):
        accuracy, loss = train_vowels.scores(model, *part)
        print(f"{which}: {len(part[0])} utterances, accuracy {accuracy:.2%}, loss {loss:.4f}")
    np.savez(HERE / "speaker_gru.npz", **{key: value.numpy() for key, value in model.state_dict().items()})


if __name__ == "__main__":
    main()
