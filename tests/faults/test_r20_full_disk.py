"""R20, the trainer alone: the disk is full while it saves; what is there still loads.

Then `DISK_FULL`, and with room again the job goes on as if nothing had been.
"""

import signal
from pathlib import Path

import keras
import pytest

from fornada.db.states import FailureCode
from fornada.worker.messages import Failed
from tests.faults.disk import SmallDisk, as_root
from tests.faults.killed import PATIENCE_S, Attempt, Job, undisturbed
from tests.services.resuming import last_state, noisy, outcome, same, write_noisy

pytestmark = [
    pytest.mark.timeout(1200),
    # Keras converts its variables in a way that this NumPy warns about and the next refuses.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

# Enough for the models of this job, too little for a state with its margin.
ROOM_FOR_MODELS = 900 * 1024


@pytest.mark.parametrize("left", [ROOM_FOR_MODELS, 0])
def test_r20_disk_full(left: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not as_root(request):
        return
    write_noisy(tmp_path)
    reference, _ = undisturbed(noisy(), tmp_path, tmp_path)
    with (
        SmallDisk(tmp_path / "disk", size_bytes=16 * 2**20) as disk,
        Job(noisy(), tmp_path, disk.folder, "full") as job,
    ):
        run = job.start()
        run.catch(lambda: run.epoch >= 2)
        disk.fill(but_bytes=left)
        run.signal(signal.SIGCONT)
        print(f"filled up in epoch {run.epoch + 1}, {disk.free_bytes:,} bytes left")
        assert run.over.wait(PATIENCE_S)
        _has_lost_nothing(run, left)
        disk.free()
        again = job.start(last=True)
        finished = again.finish()
        assert again.started.first_epoch > 2
        same(outcome(again.folder, finished), reference)


def _has_lost_nothing(run: Attempt, left: int) -> None:
    failed = run.verdict
    assert isinstance(failed, Failed), failed
    print(f"after epoch {run.epoch}: {failed.code}: {failed.message}")
    assert failed.code is FailureCode.DISK_FULL
    if left:
        assert "3 training states in a row found no room" in failed.message
        assert run.log.count("state: not saved, no room") == 3
        # What was trained meanwhile stands in the message, not in a state.
        assert run.epoch >= 4
    state = last_state(run.folder)
    assert state.facts.place.epochs >= 2
    assert state.facts.best is not None
    assert failed.best is not None
    keras.models.load_model(failed.best.file.path)
    assert not list(run.folder.rglob("writing*"))
