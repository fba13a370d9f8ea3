"""What runs epochs: one engine, and a module for the programs of each backend."""

import os

import keras

from fornada.worker.trainer.engine.blocks import Engine
from fornada.worker.trainer.engine.interface import Logs
from fornada.worker.trainer.engine.pace import BLOCK_S

__all__ = ["BLOCK_S", "Engine", "Logs", "make_deterministic"]


def make_deterministic() -> None:
    """Have every operation give the same bits each time, for the rest of this process.

    Before anything is built; the seeds are set where the model is.
    """
    if keras.backend.backend() == "jax":
        # Read when JAX first looks for devices; on a CPU it is so anyway.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    print("reproducibility: deterministic operations")
