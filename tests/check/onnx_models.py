"""Reads ONNX models, those of both exporters of torch.onnx and those by hand, and compares results with onnxruntime's.

python tests/check/onnx_models.py [quick]
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from support.onnx_exports import exported
from support.onnx_models import by_hand
from support.onnx_oracle import expect_same


def main():
    kinds = {"by hand": by_hand(np.random.default_rng(1), 120), "the older exporter": exported(False)}
    if "quick" not in sys.argv[1:]:
        kinds["the newer exporter"] = exported(True, stride=2)  # seconds a model
    start, counts, worst = time.perf_counter(), Counter(), 0.0
    for kind, models in kinds.items():
        for model in models:
            worst = max(worst, expect_same(model))
            counts[kind] += 1
    parts = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    print(f"{counts.total()} ONNX models ({parts}): at most {worst:.1e} of max(1, |y|) from onnxruntime")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
