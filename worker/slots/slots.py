"""Slots: where one job runs at a time. How they are found, declared, locked and described.

A slot's lock is a `flock` that its trainers inherit: while any of them lives, the lock is held,
so no new trainer touches a device before the old one is gone.
"""

import fcntl
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fornada.errors import FornadaError, SettingsError

# How long a GPU slot may be held by the trainer of a worker that has just died.
DYING_S = 5.0
RETRY_S = 0.1
# Which GPUs CUDA finds; it looks when a process first uses one, and never again.
DEVICES = "CUDA_VISIBLE_DEVICES"


class SlotHeld(FornadaError):  # as BrokerUnreachable
    """Another worker of this home holds the slot."""

    code = "SLOT_HELD"


@dataclass(frozen=True)
class Device:
    """What a slot runs on, before it is locked."""

    kind: Literal["cpu", "gpu"]
    # Which GPU, as the driver counts; of a CPU slot, the lowest number that may be free.
    index: int
    # As the driver names it.
    model: str = ""


@dataclass(frozen=True)
class Slot:
    """A place that is ours; `lock` is the descriptor that trainers inherit."""

    name: str
    device: Device
    lock: int = field(repr=False)

    @property
    def has_gpu(self) -> bool:
        """Whether a job that needs a GPU fits."""
        return self.device.kind == "gpu"

    def devices(self, *, gpu: bool) -> dict[str, str]:
        """The variables of a trainer that are not those of all slots of its kind.

        Args:
            gpu: whether it may use the slot's GPU; the slot has one.
        """
        return {DEVICES: str(self.device.index) if gpu else "-1"}


def environment(inherited: Mapping[str, str], threads: int, *, gpu: bool) -> dict[str, str]:
    """What the trainers of a kind of slot find in their environment when Keras is imported.

    They may look for no device until they have what `Slot.devices` says.

    Args:
        inherited: from the worker; goes before what we would choose, except the devices.
        threads: processor cores for each, at least 1; for what runs without a GPU.
        gpu: whether they may use their slot's GPU.
    """
    chosen = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if gpu:
        chosen |= {"TF_GPU_ALLOCATOR": "cuda_malloc_async"}
    else:
        # Several CPU slots that each use all cores are slower than one.
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "PJRT_NPROC")
        chosen |= dict.fromkeys(names, str(threads))
        # Off by default on AMD, where convolutions take half as long with it.
        chosen["TF_ENABLE_ONEDNN_OPTS"] = "1"
    # Without this order CUDA counts GPUs by speed, and NVML by bus.
    device = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", DEVICES: "-1"}
    return chosen | dict(inherited) | device


def devices(text: str | None) -> list[Device]:
    """What `--slots` asks for.

    Args:
        text: `N`, `cpu`, `gpu:0,gpu:1`, or a mix by commas; None discovers: one slot a GPU, or
            one CPU slot on a host without.
    Raises:
        SettingsError: it names no slots, or more GPUs than there are.
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
    """The GPUs that NVIDIA's driver knows of, and that CUDA_VISIBLE_DEVICES leaves to us.

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
    left = os.environ.get("CUDA_VISIBLE_DEVICES")
    return left is None or not {str(index), uuid}.isdisjoint(left.split(","))


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
        f'--slots: "{part}" is no slot; expected a count, cpu, or gpu:N, for example gpu:0,gpu:1'
    )


def take(wanted: Sequence[Device], home: Path, holder: str) -> list[Slot]:
    """Lock a slot for each device: GPUs as declared, the CPU's under the first free number.

    Args:
        wanted: from `devices`.
        home: locks are kept in its folder `locks`.
        holder: what the lock says of who holds it.
    Raises:
        SlotHeld: another worker has held a GPU for `DYING_S` seconds.
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
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{holder}\n".encode())
    return descriptor


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(':', '-')}.lock"


def cores() -> float:
    """Processor cores this process may use: its affinity, and a container's quota."""
    allowed = float(len(os.sched_getaffinity(0)))
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            allowed = min(allowed, int(quota) / int(period))
    return allowed


def threads(slots: Sequence[Slot]) -> int:
    """Cores for each CPU slot when all are busy; at least 1."""
    sharing = sum(not slot.has_gpu for slot in slots)
    return max(1, int(cores() / max(1, sharing)))


def facts(slots: Sequence[Slot], busy: Mapping[str, int]) -> list[dict[str, Any]]:
    """The slots as the worker's row tells them; `busy` maps a slot to the job it runs."""
    return [{"name": slot.name, "gpu": slot.has_gpu, "job": busy.get(slot.name)} for slot in slots]
