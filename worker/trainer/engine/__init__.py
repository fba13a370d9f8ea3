"""What runs epochs: one interface, a module for each backend."""

import keras

from db.states import FailureCode
from worker.trainer.engine.interface import Engine, Logs
from worker.trainer.failures import TrainingFailed

__all__ = ["Engine", "Logs", "engine_for", "make_deterministic"]


def engine_for(model: keras.Model, batch_size: int) -> Engine:
    """The engine of the backend that Keras was imported with.

    Args:
        model: built and compiled.
        batch_size: images in a batch.

    Raises:
        TrainingFailed: there is none.
    """
    if keras.backend.backend() != "tensorflow":
        message = f"KERAS_BACKEND={keras.backend.backend()} is not supported; use tensorflow."
        raise TrainingFailed(FailureCode.INTERNAL, message)
    from worker.trainer.engine.tensorflow import TensorFlowEngine

    return TensorFlowEngine(model, batch_size)


def make_deterministic() -> None:
    """Have every operation give the same bits each time, for the rest of this process.

    Before anything is built; the seeds are set where the model is.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    print("reproducibility: deterministic operations")
