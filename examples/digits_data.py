"""The handwritten digits of the examples: scikit-learn's copy of the UCI set, read row by row."""

import numpy as np
from sklearn.datasets import load_digits

STEPS, STEP_SIZE, CLASSES = 8, 8, 10


def load():
    """Return ``(train_x, train_y, held_x, held_y)``; x is float32 [digits, 8 steps, 8 values].

    The 1,797 images of 8 x 8 pixels come with scikit-learn, so nothing is downloaded. Their values
    0..16 are scaled to 0..1. The held-back set is a quarter of the digits, stratified and chosen without
    random numbers: in each class, in the order of the data set, the digits number 3, 7, 11, ...
    (counted from 0). No property of the model was chosen with the held-back set.
    """
    digits = load_digits()
    x = (digits.images / 16).astype(np.float32)
    y = digits.target.astype(np.int64)
    held = np.zeros(len(y), dtype=bool)
    for label in range(CLASSES):
        held[np.flatnonzero(y == label)[3::4]] = True
    return x[~held], y[~held], x[held], y[held]
