"""Random numbers that XLA draws quickly on a CPU: those that Keras's layers draw, and no others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tensorflow.python.ops import random_ops_util


@contextmanager
def philox() -> Iterator[None]:
    """Let the operations that are traced within it name Philox as their algorithm.

    Keras leaves the choice to TensorFlow ("auto_select"), which chooses Philox on CPUs and GPUs. So
    the numbers are the same, but XLA compiles the choice on a CPU to code that takes four to seven
    times as long: with it, a step of a small dense net spends two thirds of its time on Dropout.
    """
    # Every operation that takes an algorithm calls this function.
    chosen = random_ops_util.get_key_counter_alg

    def named(seed: Any, alg: Any) -> Any:
        return chosen(seed, "philox" if alg in (None, "auto_select") else alg)

    random_ops_util.get_key_counter_alg = named
    try:
        yield
    finally:
        random_ops_util.get_key_counter_alg = chosen
