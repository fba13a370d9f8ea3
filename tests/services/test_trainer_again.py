"""A trainer that serves one job after the other: each is as if it were its first."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pynvml
import pytest

from fornada.worker.messages import Failed, Finished, Started, Stop, Stopped, Train, WhyStop
from fornada.worker.slots.slots import discover
from fornada.worker.trainer.process import memory
from fornada.worker.trainer.process.pipes import EXIT_ABANDONED, Assignment, StopAsked
from fornada.worker.trainer.process.reset import forget
from tests.services.resuming import Outcome, attempt, noisy, outcome, same, write_noisy
from tests.services.trainer_jobs import TrainerProcess, document, job

# Everything random, averaged or counted, and a plain net beside it.
RICH = noisy(epochs=8)
PLAIN = document(compile__optimizer="SGD", fit__epochs=4, data__seed=7)
# Small jobs in one trainer, and what one of them may leave behind, in bytes: a fifth of what its
# compiled steps take.
MANY = 200 if os.environ.get("FORNADA_TEST_FULL") else 12
LEFT_BY_EACH = 2**18


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("again")
    write_noisy(root)
    return root


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[TrainerProcess]:
    with TrainerProcess(tmp_path / "home") as trainer:
        yield trainer


def order(spec: dict[str, Any], root: Path, site: Path, uid: str, *, again: bool = True) -> Train:
    """A job that may be followed by another."""
    return job(spec, root, attempt(site, 1, uid)).model_copy(update={"again": again})


def gpu_bytes() -> int:
    """What is taken of the memory of this host's GPUs; 0 without one."""
    if not discover():
        return 0
    pynvml.nvmlInit()
    handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
    return sum(int(pynvml.nvmlDeviceGetMemoryInfo(handle).used) for handle in handles)


def trained(trainer: TrainerProcess, order: Train) -> Outcome:
    """What a job comes to in a trainer."""
    trainer.send(order)
    said = trainer.verdict()
    assert isinstance(said, Finished), said
    assert said.again is order.again
    return outcome(order.folder, said)


def test_every_job_of_a_trainer_ends_as_in_a_fresh_process(
    root: Path, tmp_path: Path, trainer: TrainerProcess
) -> None:
    specs = {"rich": RICH, "plain": PLAIN}
    fresh: dict[str, Outcome] = {}
    for name, spec in specs.items():
        with TrainerProcess(tmp_path / "home") as own:
            fresh[name] = trained(own, order(spec, root, tmp_path, f"fresh-{name}", again=False))

    for number, name in enumerate(["plain", "rich", "plain", "rich"]):
        last = number == 3
        one = order(specs[name], root, tmp_path, f"{name}-{number}", again=not last)
        same(trained(trainer, one), fresh[name])

    assert trainer.wait(20) == 0


def test_a_stop_that_comes_late_does_not_reach_the_next_job(
    root: Path, tmp_path: Path, trainer: TrainerProcess
) -> None:
    endless = order(document(fit__epochs=100_000), root, tmp_path, "endless")
    trainer.send(endless)
    assert isinstance(trainer.next(), Started)
    stop = Stop(job_id=1, attempt=1, reason=WhyStop.DRAIN)
    trainer.send(stop)
    stopped = trainer.verdict()
    assert isinstance(stopped, Stopped)
    assert stopped.again
    trainer.send(stop)
    second = order(PLAIN, root, tmp_path, "second").model_copy(update={"attempt": 2})
    trainer.send(second)
    # In the pipe when the second attempt is under way, or before it.
    trainer.send(stop)

    assert isinstance(trainer.verdict(), Finished)


def test_only_a_stop_for_this_attempt_is_heard(tmp_path: Path) -> None:
    order = Assignment(job(PLAIN, tmp_path, tmp_path / "u" / "attempt-2", attempt=2))

    for stranger in ((1, 1), (2, 2)):
        order.hear(Stop(job_id=stranger[0], attempt=stranger[1], reason=WhyStop.CANCEL))
    order.stop_request.check()
    order.hear(Stop(job_id=1, attempt=2, reason=WhyStop.TIME_LIMIT))

    with pytest.raises(StopAsked) as asked:
        order.stop_request.check()
    assert asked.value.reason is WhyStop.TIME_LIMIT


def test_each_job_has_its_own_log(root: Path, tmp_path: Path, trainer: TrainerProcess) -> None:
    orders = [order(PLAIN, root, tmp_path, uid) for uid in ("first", "second", "third")]
    for one in orders:
        trained(trainer, one)

    logs = [(one.folder / "train.log").read_text() for one in orders]

    assert [log.count("epoch 1/4") for log in logs] == [1, 1, 1]
    # The first one says how it decoded the images, too.
    assert len(logs[1].splitlines()) == len(logs[2].splitlines())


def test_a_trainer_that_waits_ends_with_its_supervisor(
    root: Path, tmp_path: Path, trainer: TrainerProcess
) -> None:
    trained(trainer, order(PLAIN, root, tmp_path, "only"))
    assert trainer.poll() is None

    trainer.hang_up()

    assert trainer.wait(5) == EXIT_ABANDONED


def test_a_trainer_that_failed_takes_no_other_job(
    root: Path, tmp_path: Path, trainer: TrainerProcess
) -> None:
    trainer.send(order(document(data__train="None"), root, tmp_path, "bad"))

    assert isinstance(trainer.verdict(), Failed)
    assert trainer.wait(20) == 0


def test_a_process_that_has_kept_too_much_has_no_room_for_another_job() -> None:
    room = memory.Room(limit=8 * 2**24)
    assert room.left

    kept = b"x" * 2**26
    assert not room.left

    del kept
    memory.give_back()
    assert room.left


def test_what_a_job_switches_is_switched_back() -> None:
    # What other tests of this process left.
    forget()
    keras.config.set_dtype_policy("mixed_bfloat16")
    names = [keras.layers.Dense(1).name for _ in range(2)]

    forget()

    assert keras.config.dtype_policy().name == "float32"
    assert keras.layers.Dense(1).name == names[0] == "dense"


def test_many_jobs_leave_nothing_behind(
    root: Path, tmp_path: Path, trainer: TrainerProcess
) -> None:
    held, on_gpus = [], []
    for number in range(MANY):
        trained(trainer, order(document(fit__epochs=1), root, tmp_path, f"job-{number}"))
        held.append(memory.held(trainer.pid))
        on_gpus.append(gpu_bytes())

    # The first ones fill caches that the others find.
    first, last = held[MANY // 2], held[-1]
    assert last - first < MANY // 2 * LEFT_BY_EACH, held
    assert on_gpus[-1] <= on_gpus[MANY // 2], on_gpus
