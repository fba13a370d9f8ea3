"""R10: SIGKILL in mid-epoch; all is equal, that epoch's training metrics too."""

from pathlib import Path

import pytest

from tests.faults.killed import Attempt, Job, places, undisturbed
from tests.services.resuming import noisy, outcome, same
from tests.services.trainer_jobs import write_images

pytestmark = pytest.mark.timeout(1200)

# Many batches an epoch, so that states fall within it. They may cost a share of the time alone: on
# a busy disk an epoch may pass without one.
EPOCHS = 4
LONG = noisy(EPOCHS, data__batch_size=1, data__test=None)
COUNT = 1200
STEPS = 3 * COUNT * 3 // 4
EVERY_S = 0.05
KILLS = 2


def test_r10_in_mid_epoch(tmp_path: Path) -> None:
    write_images(tmp_path / "Train", dict.fromkeys("abc", COUNT), seed=3, contrast=14)
    reference, _ = undisturbed(LONG, tmp_path, tmp_path)
    with Job(LONG, tmp_path, tmp_path, "mid", state_every_s=EVERY_S) as job:
        for epoch in range(KILLS):
            _kill_within(job.start(), epoch)

        last = job.start(last=True)
        finished = last.finish()
        epoch, batch = last.started.first_epoch, last.started.first_batch
        print(f"went on in epoch {epoch} at batch {batch} of {STEPS}")
        assert epoch >= KILLS
        assert batch > 0
        same(outcome(last.folder, finished), reference)


def _kill_within(run: Attempt, epoch: int) -> None:
    run.wait(lambda: run.messages)
    run.catch(lambda: _within(run, epoch))
    run.kill("in mid-epoch")
    assert run.epoch == places(run.folder)[-1][0]


def _within(run: Attempt, epoch: int) -> bool:
    """Whether its newest state is of the middle of this epoch, or of a later one."""
    done, batch = next(reversed(places(run.folder)), (0, 0))
    return done >= epoch and 0 < batch < STEPS
