"""R9: SIGKILL between writing a state and giving it its name; the previous one is used."""

from pathlib import Path

import pytest

from fornada.worker.trainer.state.finding import FOLDER
from tests.faults.killed import Attempt, Job, places, undisturbed
from tests.services.resuming import noisy, outcome, same, write_noisy

pytestmark = pytest.mark.timeout(1200)

# Large enough that bringing it to disk takes a while.
WIDE = noisy(
    12,
    model=[
        {"Rescaling": {"scale": 1 / 255}},
        "Flatten",
        {"Dropout": {"rate": 0.4}},
        {"Dense": {"units": 5000, "activation": "relu"}},
        {"Dense": {"units": "classes", "activation": "softmax"}},
    ],
)


def test_r09_written_and_not_named(tmp_path: Path) -> None:
    write_noisy(tmp_path)
    reference, _ = undisturbed(WIDE, tmp_path, tmp_path)
    with Job(WIDE, tmp_path, tmp_path, "torn") as job:
        run = job.start()
        run.wait(lambda: len(places(run.folder)) == 2)
        run.catch(lambda: _is_written(run))
        before = places(run.folder)
        run.kill("between writing and renaming")
        # All its bytes are there, under a name that nobody reads.
        assert _is_written(run)
        assert places(run.folder) == before

        again = job.start(last=True)
        finished = again.finish()
        assert again.started.first_epoch == before[-1][0] + 1
        same(outcome(again.folder, finished), reference)


def _is_written(run: Attempt) -> bool:
    """Whether a state as long as the last one lies in the folder for writing."""
    folder = run.folder / FOLDER
    whole = max((path.stat().st_size for path in _states(folder)), default=0)
    writing = (folder / "writing").glob("*.safetensors")
    # The history has grown by a row.
    return whole > 0 and any(_size(path) >= whole for path in writing)


def _states(folder: Path) -> list[Path]:
    return [path for path in folder.glob("0*/*.safetensors") if path.exists()]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
