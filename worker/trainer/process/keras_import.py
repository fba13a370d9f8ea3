"""Imports Keras with TensorFlow, without what they print about themselves."""

import importlib
import os
import sys
import tempfile
from pathlib import Path

from fornada.settings import Settings

# What TensorFlow's libraries write to file descriptor 2 before they look at any log level.
_NOISE = (b"All log messages before absl", b"cudart_stub", b"oneDNN", b"cpu_feature_guard")


def import_keras() -> None:
    """Import Keras for this worker's backend, on settings that no file of the user's changes."""
    load_keras()
    settle_backend()


def load_keras() -> None:
    """Import Keras, and look for no device: a process that is forked from this one may."""
    # 2: errors only; without a driver, not those about the missing driver either. Both variables
    # are read once, when the library is loaded.
    level = "2" if Path("/dev/nvidiactl").exists() else "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", level)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # Else a keras.json of the account decides about precision and epsilon, and differs by host.
    os.environ["KERAS_HOME"] = str(Settings().home / "keras")
    with tempfile.TemporaryFile() as heard:
        kept = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            keras = importlib.import_module("keras")
            importlib.import_module("tensorflow")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            heard.seek(0)
            _repeat(heard.readlines())
    # A job's record wants the whole traceback, and Keras's reasons without its wrapping.
    keras.config.disable_traceback_filtering()


def settle_backend() -> None:
    """Tell TensorFlow and JAX what is whose; TensorFlow looks for devices where JAX trains."""
    keras, tensorflow = map(importlib.import_module, ("keras", "tensorflow"))
    if keras.backend.backend() == "jax":
        # It only decodes images then, and would take the GPU's memory from JAX.
        tensorflow.config.set_visible_devices([], "GPU")
        _keep_programs(Settings().home / "jax")


# Compiled programs of a home, of some 100 kB each; the one unused for longest goes first.
_PROGRAMS_BYTES = 2**30


def _keep_programs(folder: Path) -> None:
    """Have JAX find again what any trainer of this home has compiled."""
    jax = importlib.import_module("jax")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", _PROGRAMS_BYTES)
    # A dense net's steps take less than the second that is the default.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _repeat(lines: list[bytes]) -> None:
    for line in lines:
        if not any(noise in line for noise in _NOISE):
            sys.stderr.buffer.write(line)
    sys.stderr.flush()
