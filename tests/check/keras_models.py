"""Models of Keras by chance: what qrnn.keras.load reads of their files computes what Keras does.

python tests/check/keras_models.py COUNT FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support import keras2_files, keras_files


def main():
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    worst, generations = 0.0, list(keras2_files.GENERATIONS)
    for seed in range(count):
        error = max(
            keras_files.error_of_keras_3(seed, folder),
            *(keras_files.error_of_keras_2(seed, name, folder) for name in generations[seed % 2 :: 2]),
        )
        worst = max(worst, error)
        if error > keras_files.LIMIT:
            sys.exit(f"FAILED: model {seed}: an error of {error:.1e} beside max(1, |y|); its files are in {folder}")
    print(f"{count} models, in each format and in layouts of Keras 2: errors of at most {worst:.1e} beside max(1, |y|)")


if __name__ == "__main__":
    main()
