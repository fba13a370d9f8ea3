"""What a trainer may use at most, and what it says when that is not enough."""

import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fornada.db.states import FailureCode
from fornada.worker.messages import Failed, Finished, Started
from tests.services.trainer_jobs import TrainerProcess, document, job, write_images

GIB = 2**30
# "needs 931,200,000 bytes here"
NUMBERS = re.compile(r"\d{1,3}(?:,\d{3})+")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("limits")
    write_images(root / "Train", {"a": 24, "b": 24, "c": 24})
    write_images(root / "Test", {"a": 6, "b": 7, "c": 8}, seed=1)
    return root


def limits_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {line[:26].strip(): line[26:47].strip() for line in lines}


def run_job(root: Path, folder: Path, spec: dict[str, Any], **settings: object) -> tuple[Any, Any]:
    """The last word of a trainer, and its limits while it trained."""
    with TrainerProcess(folder / "home", **settings) as trainer:
        trainer.send(job(spec, root, folder / "attempt-1"))
        limits, last = {}, None
        for last in trainer.messages():
            if isinstance(last, Started):
                limits = limits_of(trainer.pid)
        return last, limits


def test_a_job_within_its_limits(root: Path, tmp_path: Path) -> None:
    last, limits = run_job(
        root,
        tmp_path,
        document(),
        max_memory_bytes=GIB,
        max_file_bytes=2**24,
        max_processes=5000,
    )
    assert isinstance(last, Finished), last
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    processes = 5000 if most == resource.RLIM_INFINITY else min(most, 5000)
    assert limits["Max data size"] == str(GIB)
    assert limits["Max file size"] == str(2**24)
    assert limits["Max processes"] == str(processes)
    assert limits["Max core file size"] == "0"


def test_images_beyond_its_memory(tmp_path: Path) -> None:
    # A batch of eight images takes 619 MiB as floats, more than once; the model is small.
    write_images(tmp_path / "Train", {"a": 6, "b": 6})
    model = ["GlobalAveragePooling2D", {"Dense": {"units": "classes"}}]
    spec = document(data__image_size=[2600, 2600], data__test=None, model=model)
    last, _ = run_job(tmp_path, tmp_path, spec, max_memory_bytes=GIB)
    assert isinstance(last, Failed), last
    assert last.code is FailureCode.RESOURCE_LIMIT
    assert "may allocate 1,073,741,824 bytes (FORNADA_MAX_MEMORY_BYTES)" in last.message


def test_a_model_beyond_its_memory(root: Path, tmp_path: Path) -> None:
    # Weights, gradients and moments of 78 million parameters.
    model = ["Flatten", {"Dense": {"units": 400_000}}, {"Dense": {"units": "classes"}}]
    loss = {"SparseCategoricalCrossentropy": {"from_logits": True}}
    spec = document(model=model, compile__loss=loss)
    last, _ = run_job(root, tmp_path, spec, max_memory_bytes=GIB)
    assert isinstance(last, Failed), last
    assert last.code is FailureCode.RESOURCE_LIMIT
    assert "FORNADA_MAX_MEMORY_BYTES allows 1,073,741,824" in last.message


# Training would need 380 and 930 million bytes. Of its limit of 1 GiB a trainer that has read its
# images has used a third.
@pytest.mark.parametrize(("units", "fits"), [(60_000, True), (150_000, False)])
def test_a_model_that_ran_out_of_memory_begins_again_only_where_it_fits(
    root: Path, tmp_path: Path, units: int, fits: bool
) -> None:
    model = ["Flatten", {"Dense": {"units": units}}, {"Dense": {"units": "classes"}}]
    loss = {"SparseCategoricalCrossentropy": {"from_logits": True}}
    spec = document(model=model, compile__loss=loss, fit={"epochs": 1})
    with TrainerProcess(tmp_path / "home", max_memory_bytes=GIB) as trainer:
        again = job(spec, root, tmp_path / "attempt-2", attempt=2)
        trainer.send(again.model_copy(update={"after_host_oom": True}))
        last = trainer.next()
    if fits:
        assert isinstance(last, Started), last
        return
    assert isinstance(last, Failed), last
    assert last.code is FailureCode.RESOURCE_LIMIT
    needed, room = (int(number.replace(",", "")) for number in NUMBERS.findall(last.message))
    # All of the limit would be enough.
    assert GIB // 2 < room < needed < GIB


def test_a_file_beyond_its_size(root: Path, tmp_path: Path) -> None:
    # The model's file has some tens of kilobytes.
    last, _ = run_job(root, tmp_path, document(), max_file_bytes=8192)
    assert isinstance(last, Failed), last
    assert last.code is FailureCode.RESOURCE_LIMIT
    assert "FORNADA_MAX_FILE_BYTES" in last.message
    assert not (tmp_path / "attempt-1" / "best.keras").exists()


# Importing TensorFlow is most of what a process costs, so one answers all of it.
LOOK = """
import resource
from fornada.worker.trainer.data.decode import Decoder, ReaderArguments
from fornada.worker.trainer.process import memory

def allow(limit):
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))

def threads(side, max_pixels):
    return Decoder(ReaderArguments((side, side), "rgb", "bilinear", False), max_pixels).threads

for limit in resource.RLIM_INFINITY, 2**29:
    allow(limit)
    print("share", memory.share(2**27))
for limit in 2**30, 2**32:
    allow(limit)
    print("threads", *(threads(side, 2**30) for side in (64, 1024, 4096)))
"""


@pytest.fixture(scope="module")
def looks() -> list[list[str]]:
    """What a process computes that may allocate so many bytes, limit after limit."""
    command = [sys.executable, "-P", "-c", LOOK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


def test_one_set_takes_a_share_of_the_memory_that_a_trainer_may_have(
    looks: list[list[str]],
) -> None:
    assert looks[:2] == [["share", str(2**27)], ["share", str(2**26)]]


def test_threads_decode_no_more_than_half_the_memory_holds(looks: list[list[str]]) -> None:
    # 128 images of 48 KiB, two of 12 MiB and one of 192 MiB go together, each four times.
    assert looks[2:] == [["threads", "21", "5", "1"], ["threads", "85", "21", "2"]]
