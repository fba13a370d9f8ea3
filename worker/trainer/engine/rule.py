"""Whether XLA compiles the training steps: a fixed rule, so that who resumes computes the same."""

from collections.abc import Collection
from typing import Any

import keras
from keras.src.trainers.trainer import model_supports_jit

from fornada.spec import Spec

# On a CPU XLA makes steps of these twice as fast. It has no fast convolution there (one of 32
# filters takes 25 times as long as oneDNN's), and no kernel at all for layers that move images.
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
# It saves half a millisecond a step, and takes two seconds to compile one.
_EARNS_STEPS = 4000


def compiles(spec: Spec, model: Any, images: int, devices: Collection[str]) -> bool:
    """Whether XLA is to compile the training steps.

    Evaluation has too few steps to earn a compilation of its own, and does without. JAX computes
    by XLA alone.

    Args:
        spec: `fit.jit` decides, unless it is `auto`.
        model: of the spec, compiled by Keras, which knows what its layers support.
        images: in the training set.
        devices: kinds of device that the backend has, `CPU` among them.
    """
    wanted = spec.fit.jit
    if keras.backend.backend() == "jax":
        if wanted is False:
            print("fit.jit: on; JAX has no other way")
        return True
    if wanted == "auto":
        # On a GPU as Keras decides: there XLA is fast with all that it supports.
        wanted = set(devices) != {"CPU"} or _earns(spec, images)
    if not wanted:
        return False
    supported = bool(model_supports_jit(model))
    if spec.fit.jit is True and not supported:
        print("fit.jit: off; XLA does not support all of the layers, or deterministic operations")
    return supported


def _earns(spec: Spec, images: int) -> bool:
    steps = -(-images // spec.data.batch_size) * spec.fit.epochs
    return steps >= _EARNS_STEPS and all(layer.class_name in _DENSE for layer in spec.model)
