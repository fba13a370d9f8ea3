"""The order of the images in an epoch."""

import numpy as np
from numpy.typing import NDArray


def epoch_order(count: int, seed: int, epoch: int, *, shuffle: bool = True) -> NDArray[np.int64]:
    """Order in which one epoch visits the training images.

    Depends on nothing but its arguments, so an attempt that resumes at
    epoch 7 sees what the first attempt would have seen.

    Args:
        count: images in the training set; at least 1.
        seed: the spec's `data.seed`.
        epoch: zero-based.
        shuffle: the spec's `data.shuffle`; without it every epoch goes from first to last.
    Returns:
        Permutation of `0..count-1`, shape (count,).
    """
    if not shuffle:
        return np.arange(count)
    return np.random.default_rng([seed, epoch]).permutation(count)
