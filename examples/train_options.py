"""Train an LSTM with peepholes and one with LayerNorm on speech, using PyTorch, whose own LSTM has neither; write
``vowels_peepholes.npz`` and ``vowels_norm.npz`` for ``options.py``.

    pip install torch==2.13.0
    pip install --no-deps aeon            # for its copy of the data
    python examples/train_options.py

The equations are written out below, a step at a time; the data, the split and the way of training are those of
``train_vowels.py``. The files hold plain float32 arrays under the names that qrnn's layers have for them.
"""

import argparse
from pathlib import Path

import torch
import train_vowels
import vowels_data
from torch import nn
from torch.nn import functional

HIDDEN = 32
EPSILON = 1e-5


class OptionLSTM(nn.Module):
    """One layer. With `norm` each gate's sums are normalized over its units, scaled and shifted, as in TFLite;
    without it, i and f read the cell state, and o reads the next one."""

    def __init__(self, input_size: int, hidden_size: int, norm: bool) -> None:
        super().__init__()
        bound = hidden_size**-0.5

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

        self.weight_ih_l0 = weight(4 * hidden_size, input_size)
        self.weight_hh_l0 = weight(4 * hidden_size, hidden_size)
        if norm:
            self.weight_ln_l0 = nn.Parameter(torch.ones(4, hidden_size))
            self.bias_ln_l0 = nn.Parameter(torch.zeros(4, hidden_size))
        else:
            self.bias_ih_l0, self.bias_hh_l0 = weight(4 * hidden_size), weight(4 * hidden_size)
            self.weight_ch_l0 = weight(3, hidden_size)
        self.norm, self.hidden_size = norm, hidden_size

    def step(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.norm:
            sums = (x @ self.weight_ih_l0.T + h @ self.weight_hh_l0.T).unflatten(1, (4, -1))
            sums = functional.layer_norm(sums, (self.hidden_size,), eps=EPSILON) * self.weight_ln_l0 + self.bias_ln_l0
            i, f, g, o = sums.unbind(1)
            peep_i = peep_f = peep_o = 0.0
        else:
            sums = functional.linear(x, self.weight_ih_l0, self.bias_ih_l0)
            i, f, g, o = (sums + functional.linear(h, self.weight_hh_l0, self.bias_hh_l0)).chunk(4, 1)
            peep_i, peep_f, peep_o = self.weight_ch_l0
        c = torch.sigmoid(f + peep_f * c) * c + torch.sigmoid(i + peep_i * c) * torch.tanh(g)
        return torch.sigmoid(o + peep_o * c) * torch.tanh(c), c


class Classifier(nn.Module):
    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.rnn = OptionLSTM(vowels_data.CHANNELS, HIDDEN, norm)
        self.classifier = nn.Linear(HIDDEN, vowels_data.SPEAKERS)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        h = c = x.new_zeros(len(x), HIDDEN)
        for t in range(int(lengths.max())):
            new_h, new_c = self.rnn.step(x[:, t], h, c)
            runs = (t < lengths)[:, None]
            h, c = torch.where(runs, new_h, h), torch.where(runs, new_c, c)
        return self.classifier(functional.dropout(h, train_vowels.DROPOUT, self.training))


def main() -> None:
    parser = argparse.ArgumentParser(description="train LSTMs with options with PyTorch")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="directory of the files")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    training, held_back = (tuple(map(torch.from_numpy, part)) for part in vowels_data.load())
    for name, norm in (("peepholes", False), ("norm", True)):
        model = train_vowels.train(lambda norm=norm: Classifier(norm), *training)
        train_vowels.save(name, model, options.output, training, held_back)


if __name__ == "__main__":
    main()
