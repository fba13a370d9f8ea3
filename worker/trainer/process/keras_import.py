"""Imports Keras with TensorFlow, without the messages that they print at import."""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fornada.settings import Settings

# Parts of lines that TensorFlow's libraries write to stderr before they read any log level.
_NOISE = (b"All log messages before absl", b"cudart_stub", b"oneDNN", b"cpu_feature_guard")


def import_keras() -> None:
    """Import Keras for this worker's backend, and ignore the user's keras.json."""
    load_keras()
    settle_backend()


def load_keras() -> None:
    """Import Keras without looking for devices. Only processes forked from this one may do that."""
    # 2 shows errors only. 3 also hides errors, because without a driver they are about the driver.
    # Both variables are read once, when the library is loaded.
    level = "2" if Path("/dev/nvidiactl").exists() else "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", level)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # Otherwise ~/.keras/keras.json would set precision and epsilon, and may differ between hosts.
    os.environ["KERAS_HOME"] = str(Settings().home / "keras")
    with tempfile.TemporaryFile() as captured:
        stderr = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            with _without_jax():
                keras = importlib.import_module("keras")
                importlib.import_module("tensorflow")
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            captured.seek(0)
            _print_without_noise(captured.readlines())
    # A failed job must show the whole traceback, and Keras's own message without its wrapper.
    keras.config.disable_traceback_filtering()


@contextmanager
def _without_jax() -> Iterator[None]:
    """Let TensorFlow not import JAX where another backend trains: 0.6 s and 110 MB a process.

    TensorFlow imports it, if it is installed, only to convert programs of JAX to TensorFlow Lite.
    """
    if os.environ["KERAS_BACKEND"] == "jax" or "jax" in sys.modules:
        yield
        return
    # `import jax` fails while this is None; see `importlib`.
    sys.modules["jax"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["jax"]


def settle_backend() -> None:
    """Where JAX trains, hide the GPUs from TensorFlow and set JAX's cache of compiled programs."""
    keras, tensorflow = map(importlib.import_module, ("keras", "tensorflow"))
    if keras.backend.backend() == "jax":
        # Here TensorFlow only decodes images, and would take the GPU's memory from JAX.
        tensorflow.config.set_visible_devices([], "GPU")
        _keep_programs(Settings().home / "jax")


# Most bytes of compiled programs in a home, each about 100 kB. JAX removes the least recently used.
_PROGRAMS_BYTES = 2**30


def _keep_programs(folder: Path) -> None:
    """Let JAX use the programs that any trainer of this home has compiled."""
    jax = importlib.import_module("jax")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", _PROGRAMS_BYTES)
    # By default JAX keeps only programs that take a second to compile; a dense net takes less.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _print_without_noise(lines: list[bytes]) -> None:
    for line in lines:
        if not any(noise in line for noise in _NOISE):
            sys.stderr.buffer.write(line)
    sys.stderr.flush()
