"""Runs epochs: one engine, and one module for the compiled programs of each backend."""

import os

import keras

from fornada.worker.trainer.engine.blocks import Engine
from fornada.worker.trainer.engine.interface import Logs
from fornada.worker.trainer.engine.pace import BLOCK_S

__all__ = ["BLOCK_S", "Engine", "Logs", "make_deterministic"]


def make_deterministic() -> None:
    """Make every operation give the same bits each time, until this process ends.

    Call it before anything is built. The seeds are set when the model is built.
    """
    if keras.backend.backend() == "jax":
        # JAX reads this when it first looks for devices. On a CPU it is always deterministic.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    print("reproducibility: deterministic operations")
