"""Decides whether XLA compiles the training steps.

The rule is fixed, so that a resumed training computes the same numbers.
"""

from collections.abc import Collection
from typing import Any

import keras
from keras.src.trainers.trainer import model_supports_jit

from fornada.spec import Spec

# Layers whose steps XLA makes twice as fast on a CPU. For convolutions it is slow there (one of 32
# filters takes 25 times as long as oneDNN's), and it cannot run layers that move images.
_DENSE = frozenset(
    {
        "Activation",
        "BatchNormalization",
        "Dense",
        "Dropout",
        "Flatten",
        "Input",
        "LayerNormalization",
        "LeakyReLU",
        "Normalization",
        "ReLU",
        "Rescaling",
        "Reshape",
    }
)
# From so many steps on XLA saves time: it saves half a millisecond a step, and takes two seconds
# to compile.
_EARNS_STEPS = 4000


def compiles(spec: Spec, model: Any, images: int, devices: Collection[str]) -> bool:
    """Whether XLA compiles the training steps.

    Evaluation never uses XLA with TensorFlow: it has too few steps to save time. JAX always uses
    XLA.

    Args:
        spec: its `fit.jit` decides, unless it is `auto`.
        model: the compiled model; Keras knows whether its layers support XLA.
        images: number of images in the training set.
        devices: kinds of device that the backend finds, including `CPU`.
    """
    wanted = spec.fit.jit
    if keras.backend.backend() == "jax":
        if wanted is False:
            print("fit.jit: on; JAX has no other way")
        return True
    if wanted == "auto":
        # On a GPU, XLA is fast with every layer that it supports, so do what Keras does there.
        wanted = set(devices) != {"CPU"} or _saves_time(spec, images)
    if not wanted:
        return False
    supported = bool(model_supports_jit(model))
    if spec.fit.jit is True and not supported:
        print("fit.jit: off; XLA does not support all of the layers, or deterministic operations")
    return supported


def _saves_time(spec: Spec, images: int) -> bool:
    steps = -(-images // spec.data.batch_size) * spec.fit.epochs
    return steps >= _EARNS_STEPS and all(layer.class_name in _DENSE for layer in spec.model)
