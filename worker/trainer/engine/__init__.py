"""What runs epochs: one interface, a module for each backend."""

from typing import Any

import keras
from numpy.typing import NDArray

from db.states import FailureCode
from worker.trainer.engine.interface import Engine, Logs
from worker.trainer.engine.pace import BLOCK_S
from worker.trainer.failures import TrainingFailed

__all__ = ["BLOCK_S", "Engine", "Logs", "engine_for", "make_deterministic"]


def engine_for(
    model: keras.Model,
    batch_size: int,
    example: tuple[NDArray[Any], ...],
    *,
    block_s: float = BLOCK_S,
) -> Engine:
    """The engine of the backend that Keras was imported with.

    Args:
        model: built and compiled.
        batch_size: images in a batch.
        example: one batch, as `Images.example` gives it: it says which shapes variables have.
        block_s: how many seconds of work one call computes, at most about; 0 for one batch.

    Raises:
        TrainingFailed: there is none.
    """
    if keras.backend.backend() != "tensorflow":
        message = f"KERAS_BACKEND={keras.backend.backend()} is not supported; use tensorflow."
        raise TrainingFailed(FailureCode.INTERNAL, message)
    from worker.trainer.engine.tensorflow import TensorFlowEngine

    return TensorFlowEngine(model, batch_size, example, block_s)


def make_deterministic() -> None:
    """Have every operation give the same bits each time, for the rest of this process.

    Before anything is built; the seeds are set where the model is.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    print("reproducibility: deterministic operations")
