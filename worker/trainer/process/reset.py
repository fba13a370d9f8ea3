"""Brings Keras back to where a new process has it, with what TensorFlow has prepared left alone.

`keras.utils.clear_session` and `set_random_seed` also have TensorFlow forget its kernels. Those of
a compiled step are made again at its next call, which takes longer than a short epoch.
"""

import random
import threading

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED


def forget() -> None:
    """Forget names, policies and settings of Keras."""
    global_state.GLOBAL_STATE_TRACKER = threading.local()
    global_state.GLOBAL_SETTINGS_TRACKER = threading.local()
    keras.config.disable_traceback_filtering()


def seed(number: int) -> None:
    """Seed all that Keras draws from: weights, dropout, augmentation.

    A plain script that calls `set_random_seed` with this seed and builds the same layers draws the
    same. TensorFlow's own seed stays: no operation of Keras draws from it.
    """
    random.seed(number)
    np.random.seed(number)
    global_state.set_global_attribute(GLOBAL_RANDOM_SEED, number)
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
