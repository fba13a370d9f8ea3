"""Resets Keras to the state of a new process, but keeps what TensorFlow has compiled.

`keras.utils.clear_session` and `set_random_seed` also make TensorFlow drop its kernels. At the next
call of a compiled step TensorFlow would build its kernels again. That takes longer than a short
epoch.
"""

import random
import threading

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED


def forget() -> None:
    """Reset the names, policies and settings of Keras."""
    global_state.GLOBAL_STATE_TRACKER = threading.local()
    global_state.GLOBAL_SETTINGS_TRACKER = threading.local()
    # `keras_import` made this setting, and the line above has reset it.
    keras.config.disable_traceback_filtering()


def seed(number: int) -> None:
    """Seed the random numbers of Keras: weights, dropout, augmentation.

    A plain script that calls `set_random_seed` with this seed and builds the same layers gets the
    same numbers. TensorFlow's own seed is not set, because no operation of Keras uses it.
    """
    random.seed(number)
    np.random.seed(number)
    global_state.set_global_attribute(GLOBAL_RANDOM_SEED, number)
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
