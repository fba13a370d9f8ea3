"""A factory of trainers that the tests of one process share: Keras is imported once."""

import atexit
import os
import sys
import tempfile
from collections.abc import Mapping
from functools import cache

from fornada.worker.slots.factory import Factory

# Importing TensorFlow on two cores that others use too.
START_S = 60.0


def fork(variables: Mapping[str, str], down: int, up: int) -> int:
    """Fork a trainer on its ends of two pipes; its process id."""
    started = _factory(os.environ.get("KERAS_BACKEND", "tensorflow"))
    assert started.ready(START_S)
    # It has no slot: any descriptor does for the lock.
    return started.fork(variables, [down, up, down])


@cache
def _factory(backend: str) -> Factory:
    home = tempfile.TemporaryDirectory(prefix="factory-")
    ours = {
        "FORNADA_HOME": home.name,
        "KERAS_BACKEND": backend,
        # As on a worker's slot: no more of a GPU's memory than is needed.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    started = Factory(
        (sys.executable, "-P", "-m", "fornada.worker.trainer"), dict(os.environ) | ours
    )
    atexit.register(home.cleanup)
    atexit.register(started.close)
    return started
