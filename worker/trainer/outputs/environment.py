"""Where a job was trained: versions, device, seeds. Written to `environment.json`."""

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

# Packages whose version does not change the numbers of a training.
_INDIFFERENT = frozenset({"fornada", "python"})


def versions() -> dict[str, str]:
    """Versions of the software that trains, by name."""
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
    """The software and hardware on which the numbers depend, at least in their last bits.

    Args:
        jit: whether XLA compiles the training steps.
    """
    relevant = {name: version for name, version in versions().items() if name not in _INDIFFERENT}
    return Maker(
        backend=keras.backend.backend(),
        device=_device_and_threads(),
        versions=relevant,
        onednn=_onednn(),
        jit=jit,
    )


def devices() -> set[str]:
    """The kinds of device that the backend finds: `CPU`, and perhaps `GPU`."""
    if _jax():
        return {"CPU", _jax().default_backend().upper()}
    return {device.device_type for device in tf.config.list_physical_devices()}


def _jax() -> Any:
    """The `jax` module if JAX is the backend, else None."""
    return importlib.import_module("jax") if keras.backend.backend() == "jax" else None


def _onednn() -> bool:
    # TensorFlow reads this variable when its library is loaded. A worker sets it for its slots.
    return not _jax() and os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"


def _device_and_threads() -> str:
    """The device; for a CPU its model and number of threads, which change the last bits of sums."""
    if "GPU" in devices():
        return device()
    # The backend reads this variable. A worker sets it for each of its slots.
    variable = "PJRT_NPROC" if _jax() else "TF_NUM_INTRAOP_THREADS"
    threads = int(os.environ.get(variable) or 0) or len(os.sched_getaffinity(0))
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"CPU ({threads} threads, {found[1] if found else platform.machine()})"


def write(folder: Path, spec: Spec, *, jit: bool | None = None) -> None:
    """Write `environment.json`.

    Args:
        folder: the attempt's folder.
        spec: its seed, precision and reproducibility are written.
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
