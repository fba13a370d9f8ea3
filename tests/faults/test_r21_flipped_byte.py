"""R21: one byte of the newest state flipped; it is said, and the previous one is used."""

import random
import shutil
from pathlib import Path

import pytest

from fornada.worker.trainer.state.finding import states
from tests.faults.killed import Job, undisturbed
from tests.services.resuming import attempt, noisy, outcome, same, write_noisy

pytestmark = pytest.mark.timeout(1200)


def test_r21_flipped_byte(tmp_path: Path) -> None:
    write_noisy(tmp_path)
    reference, _ = undisturbed(noisy(), tmp_path, tmp_path)
    with Job(noisy(), tmp_path, tmp_path, "flipped") as job:
        run = job.start()
        run.catch(lambda: run.epoch >= 4)
        run.kill("after epoch 4")
    chance = random.Random(21)
    for name in ("numbers", "best.keras"):
        with Job(noisy(), tmp_path, tmp_path, name) as job:
            # The same damage done to a copy each: who ends well removes what it went on from.
            shutil.copytree(run.folder, attempt(tmp_path, 1, name))
            job.folders.append(attempt(tmp_path, 1, name))
            # A third one may be left if the trainer was killed before it removed the oldest.
            *_, previous, newest = states(job.folders[0])
            file = newest.file if name == "numbers" else newest.folder / name
            _flip(file, chance)
            again = job.start(last=True)
            finished = again.finish()
            found = again.started
            print(f"{file.name[:20]}: went on after epoch {found.first_epoch - 1}")
            assert (found.first_epoch - 1, found.first_batch) == previous.order
            assert f"state: {newest.folder} is not used" in again.log
            assert "sha256" in again.log
            same(outcome(again.folder, finished), reference)


def _flip(file: Path, chance: random.Random) -> None:
    # Its own copy: the best model of several states is one file.
    content = bytearray(file.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    file.unlink()
    file.write_bytes(content)
    print(f"flipped a bit in byte {place} of {len(content)} of {file.name[:20]}")
