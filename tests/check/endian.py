"""Loads the files of tests/corpus, and prints what came of each: digests of its results, and of a file saved of it.

    python tests/check/endian.py

The results have to be those of when it was written; what is saved has the bytes that every machine writes.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

import numpy as np
from corpus.make_corpus import flat

import qrnn


def digest(content):
    return hashlib.sha256(content).hexdigest()[:16]


def main():
    print(f"{sys.byteorder}-endian, NumPy {np.__version__}, {qrnn.isas()[-1]}", file=sys.stderr)
    for folder in sorted(path.parent for path in (TESTS / "corpus").glob("*/states.npz")):
        with np.load(io.BytesIO((folder / "states.npz").read_bytes())) as states:
            for path in sorted(folder.glob("*.safetensors")):
                name = path.stem.removeprefix("torch-")
                model = qrnn.load(path)
                y = flat(model(states[f"{name}/x"]))
                if not np.array_equal(y.view(np.uint32), states[f"{name}/y"].astype(np.float32).view(np.uint32)):
                    sys.exit(f"FAILED: {folder.name}/{path.name}: other results than those of when it was written")
                with tempfile.TemporaryDirectory() as place:
                    qrnn.save(model, saved := Path(place) / "model.safetensors")
                    print(
                        f"{folder.name}/{path.stem:24}{digest(y.astype('<f4').tobytes())}  {digest(saved.read_bytes())}"
                    )


if __name__ == "__main__":
    main()
