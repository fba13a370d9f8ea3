"""Where a job was trained: versions, device, seeds; `environment.json`."""

import importlib
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fornada import __version__
from fornada.spec import Spec
from fornada.worker.trainer.outputs import atomic_files
from fornada.worker.trainer.state.contents import Maker

# Of all versions those that numbers do not depend on.
_INDIFFERENT = frozenset({"fornada", "python"})


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {
        "fornada": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }
    if _jax():
        found |= {"jax": _jax().__version__, "jaxlib": version("jaxlib")}
    elif tf.config.list_physical_devices("GPU"):
        build = tf.sysconfig.get_build_info()
        found |= {part: str(build.get(f"{part}_version")) for part in ("cuda", "cudnn")}
    return found


def device() -> str:
    """The name of the device that trains."""
    if _jax():
        if "GPU" in devices():
            return str(_jax().devices()[0].device_kind)
    elif gpus := tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpus[0])
        return str(details.get("device_name", gpus[0].name))
    return f"CPU ({len(os.sched_getaffinity(0))} cores, {platform.machine()})"


def maker(*, jit: bool = False) -> Maker:
    """What numbers depend on: another one computes others, if only in their last bits.

    Args:
        jit: whether XLA compiles the training steps.
    """
    decides = {name: version for name, version in versions().items() if name not in _INDIFFERENT}
    return Maker(
        backend=keras.backend.backend(),
        device=_arithmetic(),
        versions=decides,
        onednn=_onednn(),
        jit=jit,
    )


def devices() -> set[str]:
    """The kinds of device that the backend has: `CPU`, and `GPU` where there is one."""
    if _jax():
        return {"CPU", _jax().default_backend().upper()}
    return {device.device_type for device in tf.config.list_physical_devices()}


def _jax() -> Any:
    """JAX, where it is the backend."""
    return importlib.import_module("jax") if keras.backend.backend() == "jax" else None


def _onednn() -> bool:
    # As TensorFlow reads it, when its library is loaded; a worker sets it for its slots.
    return not _jax() and os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"


def _arithmetic() -> str:
    """The device as sums see it: on a CPU, how many threads share one, and with what vectors."""
    if "GPU" in devices():
        return device()
    # As the backend reads it; a worker sets it for each of its slots.
    variable = "PJRT_NPROC" if _jax() else "TF_NUM_INTRAOP_THREADS"
    threads = int(os.environ.get(variable) or 0) or len(os.sched_getaffinity(0))
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"CPU ({threads} threads, {found[1] if found else platform.machine()})"


def write(folder: Path, spec: Spec, *, jit: bool | None = None) -> None:
    """Write `environment.json`.

    Args:
        folder: of the attempt.
        spec: its seed, of Python, NumPy and Keras; precision, and how it is to be reproduced.
        jit: whether XLA compiles the training steps; None before that is known.
    """
    seed = spec.data.seed
    value: dict[str, Any] = {
        "versions": versions(),
        "device": device(),
        "backend": keras.backend.backend(),
        "seeds": {"python": seed, "numpy": seed, "keras": seed},
        "reproducibility": spec.reproducibility,
        "precision": spec.fit.precision,
        "onednn": _onednn(),
        "jit": jit,
        "platform": platform.platform(),
        "host": platform.node(),
    }
    atomic_files.write_json(folder / "environment.json", value)
