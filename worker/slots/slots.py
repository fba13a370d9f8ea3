"""Finds, locks and describes slots. A slot runs one job at a time.

A slot's lock is a `flock` that its trainers inherit. The lock is held while any of them is alive,
so no new trainer uses a device before the old one has ended.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fornada.db.answers import SlotAnswer
from fornada.errors import FornadaError, SettingsError
from fornada.locks import try_lock

# Seconds to wait for a GPU slot: a trainer of a worker that has just died may still hold it.
DYING_S = 5.0
# Seconds between two attempts to lock the slot.
RETRY_S = 0.1
# The GPUs that CUDA shows a process. CUDA reads it only when the process first uses a GPU.
DEVICES = "CUDA_VISIBLE_DEVICES"


class SlotHeld(FornadaError):
    """Another worker of this home holds the slot."""

    code = "SLOT_HELD"


@dataclass(frozen=True)
class Device:
    """What a slot runs on, before it is locked."""

    kind: Literal["cpu", "gpu"]
    # Number of the GPU, as the driver counts; for a CPU, the first number to try for its slot.
    index: int
    # Name of the GPU, as the driver gives it.
    model: str = ""


@dataclass(frozen=True)
class Slot:
    """A slot that this worker has locked; trainers inherit the descriptor `lock`."""

    name: str
    device: Device
    lock: int = field(repr=False)

    @property
    def has_gpu(self) -> bool:
        """Whether a job that needs a GPU can run here."""
        return self.device.kind == "gpu"

    def devices(self, *, gpu: bool) -> dict[str, str]:
        """Environment variables that differ between slots: the device of a trainer.

        Args:
            gpu: whether the trainer may use the slot's GPU; only for a slot that has a GPU.
        """
        return {DEVICES: str(self.device.index) if gpu else "-1"}


def environment(inherited: Mapping[str, str], threads: int, *, gpu: bool) -> dict[str, str]:
    """Environment in which a factory imports Keras, the same for all slots of one kind.

    A trainer must not look for devices before it also has the variables of `Slot.devices`.

    Args:
        inherited: the worker's variables; they override the values chosen here, except the devices.
        threads: processor cores for each trainer without a GPU, at least 1.
        gpu: whether the trainers may use their slot's GPU.
    """
    chosen = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if gpu:
        chosen |= {"TF_GPU_ALLOCATOR": "cuda_malloc_async"}
    else:
        # Several CPU slots that each use all cores are slower than one.
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "PJRT_NPROC")
        chosen |= dict.fromkeys(names, str(threads))
        # Off by default on AMD processors, where it halves the time of convolutions.
        chosen["TF_ENABLE_ONEDNN_OPTS"] = "1"
    # CUDA numbers GPUs by speed unless told to number them by bus, as NVML does.
    device = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", DEVICES: "-1"}
    return chosen | dict(inherited) | device


def devices(text: str | None) -> list[Device]:
    """The devices that `--slots` asks for.

    Args:
        text: `N`, `cpu`, `gpu:0,gpu:1`, or several of them separated by commas. None means one
            slot for each GPU that is found, or one CPU slot on a host without a GPU.
    Raises:
        SettingsError: the text is not valid, or asks for more GPUs than the host has.
    """
    if text is None:
        return discover() or [Device("cpu", 0)]
    if text.strip().isdecimal():
        return _count(int(text))
    found = [_declared(part.strip()) for part in text.split(",")]
    gpus = [device.index for device in found if device.kind == "gpu"]
    if len(set(gpus)) < len(gpus):
        raise SettingsError(f"--slots {text} names a GPU twice; one job runs on a GPU at a time")
    return found


def discover() -> list[Device]:
    """The GPUs that NVIDIA's driver lists and that CUDA_VISIBLE_DEVICES allows.

    Without the driver or its Python library the list is empty.
    """
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
        return [
            Device("gpu", index, str(pynvml.nvmlDeviceGetName(handle)))
            for index, handle in enumerate(handles)
            if _visible(index, str(pynvml.nvmlDeviceGetUUID(handle)))
        ]
    finally:
        pynvml.nvmlShutdown()


def _visible(index: int, uuid: str) -> bool:
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return allowed is None or not {str(index), uuid}.isdisjoint(allowed.split(","))


def _count(count: int) -> list[Device]:
    gpus = discover()
    if count < 1:
        raise SettingsError("--slots 0 leaves no place to run a job; expected 1 or more")
    if not gpus:
        return [Device("cpu", 0)] * count
    if count > len(gpus):
        raise SettingsError(
            f"--slots {count}: this host has {len(gpus)} GPU(s), and one job runs on a GPU at a "
            f"time; for CPU slots too write --slots gpu:0,cpu"
        )
    return gpus[:count]


def _declared(part: str) -> Device:
    kind, _, number = part.partition(":")
    if kind == "cpu" and not number:
        return Device("cpu", 0)
    if kind == "gpu" and number.isdecimal():
        return Device("gpu", int(number))
    raise SettingsError(
        f'--slots: "{part}" is not a slot; expected a count, cpu, or gpu:N, for example gpu:0,gpu:1'
    )


def take(wanted: Sequence[Device], home: Path, holder: str) -> list[Slot]:
    """Lock a slot for each device. CPU slots get the first numbers that are free.

    Args:
        wanted: from `devices`.
        home: its folder `locks` holds the lock files.
        holder: name of this worker, written into the lock files for error messages.
    Raises:
        SlotHeld: another worker still holds a GPU after `DYING_S` seconds.
    """
    folder = home / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _take_gpu(device, folder, holder) if device.kind == "gpu" else _take_cpu(folder, holder)
        for device in wanted
    ]


def _take_gpu(device: Device, folder: Path, holder: str) -> Slot:
    name = f"gpu:{device.index}"
    end = time.monotonic() + DYING_S
    while (lock := _lock(folder, name, holder)) is None:
        if time.monotonic() > end:
            held_by = _file(folder, name).read_text().strip() or "an unknown process"
            raise SlotHeld(
                f"slot {name} is held by {held_by}; stop it, or leave {name} out of --slots"
            )
        time.sleep(RETRY_S)
    return Slot(name, device, lock)


def _take_cpu(folder: Path, holder: str) -> Slot:
    index = 0
    while (lock := _lock(folder, f"cpu:{index}", holder)) is None:
        index += 1
    return Slot(f"cpu:{index}", Device("cpu", index), lock)


def _lock(folder: Path, name: str, holder: str) -> int | None:
    descriptor = os.open(_file(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not try_lock(descriptor):
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{holder}\n".encode())
    return descriptor


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(':', '-')}.lock"


def cores() -> float:
    """Processor cores that this process may use, by its affinity and its container's quota."""
    allowed = float(len(os.sched_getaffinity(0)))
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            allowed = min(allowed, int(quota) / int(period))
    return allowed


def threads(slots: Sequence[Slot]) -> int:
    """Cores for each CPU slot when all CPU slots are busy; at least 1."""
    sharing = sum(not slot.has_gpu for slot in slots)
    return max(1, int(cores() / max(1, sharing)))


def facts(slots: Sequence[Slot], busy: Mapping[str, int]) -> list[SlotAnswer]:
    """The slots as the worker's row stores them; `busy` maps a slot's name to its job's id."""
    return [{"name": slot.name, "gpu": slot.has_gpu, "job": busy.get(slot.name)} for slot in slots]
