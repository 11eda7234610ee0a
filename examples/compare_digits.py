"""Compare the digit classifier of digits.py side by side: in float32, 8 bits and 13, and as torch.ao has it.

    python examples/compare_digits.py              (where qrnn and scikit-learn are installed)
    python examples/compare_digits.py docs/pictures/compare

The second command also draws the pictures of docs/compare.md, for light and dark pages, with matplotlib. Digits come
one by one, as in use, with one call for each. If PyTorch is installed, its own models run with the same weights.
"""

import io
import re
import sys
from pathlib import Path

import comparison
import digits_data
import trained

import qrnn


def digits(count=None):
    """Return the models by name, the float32 original first, and the held-back digits (the first `count` if given)."""
    _, _, x, _ = digits_data.load()
    original = trained.load("digits")
    models = {
        "float32": original,
        "int8": qrnn.quantize_dynamic(original),
        "int8, 13 bits": qrnn.quantize_dynamic(original, engine="qrnn13"),
    }
    if comparison.torch is not None:
        from digits import torch_models

        models.update(torch_models())
    return models, [digit[None] for digit in x[:count]]


def pictures(report, name):
    """Write NAME-light.svg and NAME-dark.svg."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "qrnn", "font.sans-serif": ["DejaVu Sans"]}):
        for page, dark in (("light", False), ("dark", True)):
            file = io.StringIO()
            report.plot(dark=dark).savefig(file, format="svg", metadata={"Date": None})
            text = re.sub(r"(?m)^ +|(?<=\.\d\d)\d+", "", file.getvalue())  # drops indents and invisible digits
            family = "font-family: 'DejaVu Sans', sans-serif; "
            text = text.replace(family, "").replace("<svg ", '<svg font-family="DejaVu Sans, sans-serif" ', 1)
            Path(f"{name}-{page}.svg").write_text(text, encoding="utf-8")


def main(name=None):
    models, data = digits()
    report = qrnn.compare(models, data)
    print(f"{len(data)} held-back digits; {comparison.circumstances(models['float32'].rnn_cell.isa)}\n\n{report}")
    if name is not None:
        pictures(report, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
