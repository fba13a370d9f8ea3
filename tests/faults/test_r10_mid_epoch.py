"""R10: SIGKILL in mid-epoch; all is equal, that epoch's training metrics too."""

from pathlib import Path

import pytest

from tests.faults.killed import Attempt, Job, places, undisturbed
from tests.services.resuming import noisy, outcome, same
from tests.services.trainer_jobs import write_images

pytestmark = pytest.mark.timeout(1200)

# Some thousand batches an epoch: many blocks, so that states fall within it.
LONG = noisy(2, data__batch_size=1, data__test=None)
COUNT = 1200
EVERY_S = 0.05


def test_r10_in_mid_epoch(tmp_path: Path) -> None:
    write_images(tmp_path / "Train", dict.fromkeys("abc", COUNT), seed=3, contrast=14)
    reference, _ = undisturbed(LONG, tmp_path, tmp_path)
    steps = 3 * COUNT * 3 // 4
    with Job(LONG, tmp_path, tmp_path, "mid", state_every_s=EVERY_S) as job:
        for epoch in (0, 1):
            _kill_within(job.start(), epoch, steps)

        last = job.start(last=True)
        finished = last.finish()
        assert last.started.first_epoch == 2
        assert last.started.first_batch > 0
        print(f"went on in epoch 2 at batch {last.started.first_batch} of {steps}")
        same(outcome(last.folder, finished), reference)


def _kill_within(run: Attempt, epoch: int, steps: int) -> None:
    run.wait(lambda: _within(run.folder, epoch, steps))
    run.kill("in mid-epoch")
    assert run.epoch == epoch


def _within(folder: Path, epoch: int, steps: int) -> bool:
    return any(done == epoch and 0 < batch < steps for done, batch in places(folder))
