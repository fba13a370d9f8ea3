"""What only a host with a GPU can show: numbers, memory, slots, a full GPU, and an exact resume."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import processes
from tests.faults.real import REAL, differences, outcome
from tests.gpu.conftest import REHEARSAL, Backend
from tests.until import until
from tests.worker_process import REPOSITORY, Site
from tests.worker_training import RICH, submit

pytestmark = pytest.mark.timeout(3600)

SERVICES = REPOSITORY / "tests" / "services"
# The tests of equal numbers and of an exact resume, run again with the backend on its GPU.
AGAIN = ["test_parity.py", "test_resume_deterministic.py"]
JOBS = 40 if REHEARSAL else 200
# Jobs after which a trainer has loaded whatever it loads once.
WARM_JOBS = 20
# Memory that the allocator may still add after that, in MiB.
GROWN_MIB = 64
# More than the driver holds on a GPU without a process, and less than a backend takes at its start.
IDLE_MIB = 100
# What the hog leaves free on the GPU, and what the job then asks for.
LEFT_BYTES = 2**30
LARGE = """
name: {name}
data: {{train: Data/Test, test: Data/Test, image_size: [256, 256], batch_size: 1000, seed: 1}}
model:
  - Conv2D: {{filters: 64, kernel_size: 3, padding: same, activation: relu}}
  - Conv2D: {{filters: 64, kernel_size: 3, padding: same, activation: relu}}
  - GlobalAveragePooling2D
  - Dense: {{units: classes, activation: softmax}}
compile: {{optimizer: SGD, loss: SparseCategoricalCrossentropy}}
fit: {{epochs: {epochs}}}
retry: {{attempts: 1}}
"""
# Takes the memory of the GPU except `left` bytes, says so, and keeps it.
HOG = """
import sys, pynvml
pynvml.nvmlInit()
free = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).free
import keras
held = [keras.ops.zeros(2**28, "uint8") for _ in range((free - int(sys.argv[1])) // 2**28 - 1)]
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("again", AGAIN)
def test_the_numbers_are_those_of_fit_and_a_resume_is_exact(
    backend: Backend, again: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, again],
        cwd=SERVICES,
        env=os.environ | backend.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]


def test_many_jobs_of_one_trainer_take_no_more_memory(backend: Backend, site: Site) -> None:
    with backend.worker(site, "--jobs-per-trainer", str(JOBS + 1)):
        used: list[float] = []
        trainers: set[int] = set()
        for number in range(JOBS):
            # Ten sizes of a layer, so ten programs, which the trainer may or may not keep.
            units = 8 + number % 10
            text = RICH.replace("units: 16", f"units: {units}")
            job = site.wait(submit(site, f"small-{number}", epochs=1, text=text), timeout_s=300)
            assert job["state"] == "succeeded", job["failure"]
            assert job["worker"] is not None
            trainers.add(int(job["worker"]["trainer_pid"]))
            used.append(_resident_mib(*trainers) if REHEARSAL else _used_mib(0))
    assert len(trainers) == 1
    warm, end = used[WARM_JOBS], used[-1]
    print(f"{backend.name}: {warm:.0f} MiB after {WARM_JOBS} jobs, {end:.0f} after {JOBS}")
    assert end - warm < GROWN_MIB


def test_two_slots_train_on_two_gpus(backend: Backend, site: Site) -> None:
    if not REHEARSAL and backend.gpus < 2:
        pytest.skip("this host has one GPU")
    with backend.worker(site, slots=2):
        ids = [submit(site, f"beside-{number}", epochs=2000, text=RICH) for number in (1, 2)]
        until(lambda: all(site.show(one)["epochs_run"] > 0 for one in ids), 300)
        slots = {str(site.show(one)["worker"]["slot"]) for one in ids}
        used = [_used_mib(gpu) for gpu in (0, 1)] if not REHEARSAL else []
        site.cancel(*ids)
    assert len(slots) == 2
    # A GPU on which nothing trains holds a few MiB.
    assert all(mib > IDLE_MIB for mib in used)


@pytest.mark.skipif(REHEARSAL, reason="a full GPU needs a GPU")
def test_a_full_gpu_is_told_as_one_and_the_next_job_trains(backend: Backend, site: Site) -> None:
    with backend.worker(site):
        with _hog(backend):
            job = site.wait(submit(site, "large", epochs=1, text=LARGE), timeout_s=900)
            assert job["failure"] is not None
            assert (job["state"], job["failure"]["code"]) == ("failed", "GPU_OOM")
        after = site.wait(submit(site, "after", epochs=1, text=RICH), timeout_s=300)
        assert after["state"] == "succeeded"


def test_a_killed_job_resumes_with_the_same_bits(backend: Backend, site: Site) -> None:
    text = f"{REAL}reproducibility: deterministic\n".replace("seed: {seed}", "seed: 1")
    text = text.replace("queue: {queue}", f"queue: {site.queue}").replace("{tries}", "3")
    text = text.replace("epochs: 25", "epochs: {epochs}")
    with backend.worker(site):
        whole = site.wait(submit(site, "whole", epochs=25, text=text), timeout_s=900)
        assert whole["state"] == "succeeded", whole["failure"]
        killed = submit(site, "killed", epochs=25, text=text)
        until(lambda: site.show(killed)["epochs_run"] >= 5, 300)
        trainer = site.show(killed)["worker"]
        assert trainer is not None
        os.kill(int(trainer["trainer_pid"]), signal.SIGKILL)
        resumed = site.wait(killed, timeout_s=900)
    assert (resumed["state"], resumed["attempts"]) == ("succeeded", 2)
    assert differences(outcome(site, resumed), outcome(site, whole)) == []


@pytest.mark.skipif(REHEARSAL, reason="the benchmarks measure CPUs by themselves")
def test_the_speed_beside_fit_is_measured(backend: Backend, tmp_path: Path) -> None:
    words = ["--nets", "conv", "--batches", "1024", "--rounds", "1", "--backends", backend.name]
    subprocess.run(
        [sys.executable, "-P", "-m", "bench.epochs", *words, "--out", str(tmp_path)],
        cwd=REPOSITORY,
        check=True,
    )
    (measured,) = tmp_path.glob("*.json")
    rows = json.loads(measured.read_text())["rows"]
    for row in rows:
        print(f"{row['group']}: {row['name']}: {row['value']:.0f} {row['unit']}")
    assert len(rows) > 1


@contextmanager
def _hog(backend: Backend) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", HOG, str(LEFT_BYTES)],
        env=os.environ | backend.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()


def _used_mib(gpu: int) -> float:
    """MiB in use on a GPU."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(gpu)
    return float(pynvml.nvmlDeviceGetMemoryInfo(handle).used) / 2**20


def _resident_mib(pid: int) -> float:
    """MiB of the host's memory that a process holds."""
    pages = int(processes.read(pid, "statm").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
