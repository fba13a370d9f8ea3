"""R8: SIGKILL of the trainer anywhere; weights, history and best model equal the reference.

Eight random moments, or fifty with FORNADA_TEST_FULL=1; FORNADA_TEST_SEED repeats a run.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fornada.worker.trainer.state.finding import FOLDER
from tests.faults.killed import Attempt, Job, places, undisturbed
from tests.services.resuming import Outcome, noisy, outcome, same, write_noisy

pytestmark = pytest.mark.timeout(3600)

KILLS = 50 if os.environ.get("FORNADA_TEST_FULL") == "1" else 8
# An epoch takes a tenth of a second, the first one of a trainer some seconds.
LONGEST_S = {0: 2.0, 1: 0.3, 2: 0.3, 3: 0.3}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("r08")
    write_noisy(site)
    return site


@pytest.fixture(scope="module")
def reference(site: Path) -> tuple[Outcome, Attempt]:
    return undisturbed(noisy(), site, site)


def test_r08_random_moments(site: Path, reference: tuple[Outcome, Attempt]) -> None:
    seed = int(os.environ.get("FORNADA_TEST_SEED", "8"))
    print(f"seed {seed}, {KILLS} kills")
    chance = random.Random(seed)
    killed = jobs = 0
    while killed < KILLS:
        jobs += 1
        with Job(noisy(), site, site, f"random-{jobs}", state_every_s=0.05) as job:
            # Some jobs are killed in every epoch, and all come to an end.
            for _ in range(chance.randint(3, 6)):
                run = job.start()
                if not _killed_at_random(run, chance):
                    break
                killed += 1
            else:
                run = job.start(last=True)
            same(outcome(run.folder, run.finish()), reference[0])
            assert list((site / f"random-{jobs}").rglob("writing*")) == []
            print(f"job {jobs}: equal after {len(job.folders)} attempts, {killed} kills in all")


def _killed_at_random(run: Attempt, chance: random.Random) -> bool:
    epochs = chance.randint(0, 3)
    run.wait(lambda: run.messages)
    goal = run.epoch + epochs
    run.wait(lambda: run.epoch >= goal or run.verdict or run.over.is_set())
    end = time.monotonic() + chance.uniform(0, LONGEST_S[epochs])
    while time.monotonic() < end and run.verdict is None:
        os.sched_yield()
    run.signal(signal.SIGSTOP)
    if run.verdict is not None:
        run.signal(signal.SIGCONT)
        return False
    run.kill(f"{epochs} epochs after its start, at random")
    return run.verdict is None


# The save of an epoch, step by step, as it shows in the attempt's folder.


def _names(run: Attempt) -> set[str]:
    return set(run.left())


def _newest(run: Attempt) -> int:
    found = places(run.folder)
    return found[-1][0] if found else run.started.first_epoch - 1


def _before_saving(run: Attempt) -> bool:
    """The epoch stands in history.csv, and its state is not begun."""
    rows = (run.folder / "history.csv").read_text().count("\n") - 1
    return rows > _newest(run) and "writing" not in _names(run)


def _while_saving(run: Attempt) -> bool:
    return _size(run) > 0


def _size(run: Attempt) -> int:
    try:
        return (run.folder / FOLDER / "writing" / "writing.safetensors").stat().st_size
    except FileNotFoundError:
        return 0


def _after_saving(run: Attempt) -> bool:
    """The state has its name, and the epoch is not reported."""
    return _newest(run) > run.epoch


def _improved(run: Attempt) -> bool:
    """A better model lies there than the newest state knows."""
    newest = sorted((run.folder / FOLDER).glob("0*/best.keras"))
    return bool(newest) and not newest[-1].samefile(run.folder / "best.keras")


def _on_a_plateau(run: Attempt) -> bool:
    return bool(run.epochs) and run.epochs[-1].best is None


STEPS: dict[str, Callable[[Attempt], bool]] = {
    "after a better model and before its state": _improved,
    "before a save": _before_saving,
    "within a save": _while_saving,
    "after a save": _after_saving,
    "on a plateau": _on_a_plateau,
}


def test_r08_each_step_of_an_epoch(site: Path, reference: tuple[Outcome, Attempt]) -> None:
    with Job(noisy(), site, site, "steps") as job:
        for name, condition in STEPS.items():
            _kill_when(job.start(), name, condition)
        run = job.start(last=True)
        finished = run.finish()
        assert run.started.first_epoch > len(STEPS)
        same(outcome(run.folder, finished), reference[0])


def test_r08_where_states_cost_too_much_for_each_epoch(
    site: Path, reference: tuple[Outcome, Attempt]
) -> None:
    with Job(noisy(), site, site, "costly", state_share=1e-9) as job:
        run = job.start()
        run.wait(lambda: run.epoch >= 1)
        run.drain()
        (saved,) = places(run.folder)
        later = saved[0] + 3
        for _ in range(2):
            run = job.start()
            _kill_when(run, "epochs after its last state", lambda run: run.epoch >= later)
            assert places(run.folder) == []
        run = job.start(last=True)
        finished = run.finish()
        assert (run.started.first_epoch - 1, run.started.first_batch) == saved
        same(outcome(run.folder, finished), reference[0])


def _kill_when(run: Attempt, name: str, condition: Callable[[Attempt], bool]) -> None:
    # Not in the first epoch of the process, so that each attempt gets on.
    run.wait(lambda: run.epochs)
    run.catch(lambda: condition(run))
    run.kill(name)


def test_r08_from_the_last_epoch_to_the_verdict(
    site: Path, reference: tuple[Outcome, Attempt]
) -> None:
    last = reference[1].epochs[-1].number
    with Job(noisy(), site, site, "verdict") as job:
        run = job.start()
        run.catch(lambda: run.epoch == last)
        run.kill("between the last epoch and the evaluation")
        assert not (run.folder / "evaluation.json").exists()
        assert run.verdict is None

        run = job.start()
        run.wait(lambda: run.messages)
        # Loading the best model and tracing what measures it takes some tenths of a second.
        end = time.monotonic() + 0.1
        run.wait(lambda: time.monotonic() > end)
        run.kill("in the evaluation")
        assert not (run.folder / "evaluation.json").exists()

        run = job.start()
        run.catch((run.folder / "evaluation.json").exists)
        run.kill("after the evaluation")

        run = job.start(last=True)
        finished = run.finish()
        assert run.epochs == []
        same(outcome(run.folder, finished), reference[0])
