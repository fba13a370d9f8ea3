"""What runs epochs: one interface, a module for each backend."""

from worker.trainer.engine.interface import Engine, Logs
from worker.trainer.engine.tensorflow import TensorFlowEngine

__all__ = ["Engine", "Logs", "TensorFlowEngine"]
