"""A training that was stopped and went on against one that never was: equal, bit for bit."""

import csv
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fornada.settings import Settings
from fornada.worker.attempt_files import verify
from fornada.worker.messages import EpochReport, Failed, Finished, Started, Stopped
from fornada.worker.trainer.process.pipes import StopRequest
from fornada.worker.trainer.run import JobRun
from fornada.worker.trainer.state.contents import Place, State, StateHeader
from fornada.worker.trainer.state.finding import states
from fornada.worker.trainer.state.tensors import Arrays
from tests.services.resuming import (
    Outcome,
    Run,
    attempt,
    differences,
    last_state,
    noisy,
    outcome,
    rewrite,
    run_job,
    same,
    write_noisy,
)
from tests.services.trainer_jobs import job

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Inside the ninth epoch: two without a better model are behind, three ahead.
PLATEAU = (8, 2)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("exact")
    write_noisy(site)
    return site


@pytest.fixture(scope="module")
def reference(site: Path) -> Run:
    return run_job(noisy(), site, attempt(site, 1, "reference"))


@pytest.fixture(scope="module")
def expected(reference: Run) -> Outcome:
    return outcome(reference.folder, reference.finished)


@pytest.fixture(scope="module")
def stopped(site: Path) -> Run:
    """Stopped on the plateau, within an epoch."""
    run = run_job(noisy(), site, attempt(site, 1, "stopped"), stop=PLATEAU)
    assert isinstance(run.verdict, Stopped)
    assert last_state(run.folder).facts.place.order == PLATEAU
    return run


def test_the_reference_improves_and_stalls(reference: Run) -> None:
    improved = [epoch.number for epoch in reference.epochs if epoch.best]
    print("improved in", improved, "of", len(reference.epochs))
    assert improved[-1] > len(improved)
    assert len(reference.epochs) == improved[-1] + 5
    rates = {epoch.learning_rate for epoch in reference.epochs}
    assert len(rates) == 3


def test_stopped_again_and_again(site: Path, expected: Outcome) -> None:
    # In training, before its first batch and after its last; in validation; between epochs of a
    # plateau; on the test set; and where nothing is left to do at all.
    places = [(1, 3), (3, 5), (4, 0), (5, 6), (7, 1), (10, 4), (12, 1), (12, 0)]
    folders: list[Path] = []
    for number, place in enumerate(places, 1):
        folders.insert(0, attempt(site, number, "again"))
        run = run_job(noisy(), site, folders[0], resume_from=folders[1:], stop=place)
        assert isinstance(run.verdict, Stopped), run.verdict
        found = last_state(folders[0]).facts
        print("stopped at", place, "state", found.place.order, "logs", found.place.logs is not None)
        assert found.place.order == (place[0], min(place[1], 5) if place[0] < 12 else 0)
        assert (found.place.logs is None) == (place[1] < 5)
    # As a kill in the middle of a save leaves it.
    half = folders[-1] / "writing.best.keras"
    half.touch()
    last = run_job(noisy(), site, attempt(site, 9, "again"), resume_from=folders)
    assert last.epochs == []
    assert last.started.first_epoch == 13
    same(outcome(last.folder, last.finished), expected)
    _is_whole(last)
    # Who trained what is known, and who is done has tidied up.
    assert [row.attempt for row in last.started.restored] == [1, 2, 2, 3, 4, 5, 5, 6, 6, 6, 7, 7]
    assert [states(folder) for folder in folders] == [[]] * 8
    assert not half.exists()
    assert [path.name for path in (last.folder / "state").iterdir()] == ["0000012-0000000"]


def test_an_epoch_is_saved_and_told_beside_the_next(site: Path, expected: Outcome) -> None:
    folder = attempt(site, 1, "beside")
    under_way = threading.Event()

    class Watch(StopRequest):
        def check(self) -> None:
            # In an epoch that begins before the one before it is told.
            if (folder / "history.csv").exists():
                under_way.set()

    def tell(message: Started | EpochReport) -> None:
        told.append(message)
        if isinstance(message, EpochReport) and not under_way.wait(60):
            alone.append(message.number)

    told: list[Started | EpochReport] = []
    alone: list[int] = []
    job_run = JobRun(job(noisy(), site, folder), Settings(state_share=1.0), Watch(), tell)
    verdict = job_run.verdict()
    assert isinstance(verdict, Finished), verdict
    assert alone == []
    assert [each.number for each in told[1:] if isinstance(each, EpochReport)] == list(range(1, 13))
    same(outcome(folder, verdict), expected)


def _is_whole(run: Run) -> None:
    with (run.folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert [float(row["val_loss"]) for row in rows] == [
        row.metrics["val_loss"] for row in run.started.restored
    ]
    import tensorflow as tf

    steps = set()
    for path in (run.folder / "tensorboard" / "validation").iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            steps |= {event.step for value in event.summary.value if value.tag == "epoch_loss"}
    assert steps == set(range(12))


def test_started_says_where_it_goes_on(site: Path, stopped: Run, expected: Outcome) -> None:
    # A copy: who ends well removes the states of its earlier attempts.
    copy = attempt(site, 1, "goes on")
    shutil.copytree(stopped.folder, copy)
    run = run_job(noisy(), site, attempt(site, 2, "goes on"), resume_from=[copy])
    started = run.started
    assert (started.first_epoch, started.first_batch) == (9, 2)
    assert [row.number for row in started.restored] == list(range(1, 9))
    assert [row.metrics for row in started.restored] == [e.metrics for e in stopped.epochs]
    assert started.inexact is None
    assert started.best is not None
    assert started.best.epoch == expected.best[0]
    assert started.best.file.path == run.folder / f"best-{started.best.epoch}.keras"
    verify(started.best.file, run.folder)
    assert [epoch.number for epoch in run.epochs] == [9, 10, 11, 12]
    same(outcome(run.folder, run.finished), expected)


# What a state is without one of its parts: as a fresh training has it.


def _seeds(facts: StateHeader, arrays: Arrays) -> StateHeader:
    found = [n for n, a in arrays.items() if n.startswith("model/") and a.dtype == np.int64]
    assert len(found) == 2
    for name in found:
        assert arrays[name][1] > 0
        arrays[name] = arrays[name] * np.array([1, 0])
    return facts


def _optimizer(facts: StateHeader, arrays: Arrays) -> StateHeader:
    rate = 1
    for name in [name for name in arrays if name.startswith("optimizer/")]:
        fresh = 0.01 if name == f"optimizer/{rate}" else 0
        arrays[name] = np.full_like(arrays[name], fresh)
    return facts


def _averages(facts: StateHeader, arrays: Arrays) -> StateHeader:
    # Moving mean and variance: the model's weights as a gradient sees them stay.
    fours = [n for n, a in arrays.items() if n.startswith("model/") and a.shape == (4,)]
    mean, variance = fours[-2:]
    arrays[mean], arrays[variance] = np.zeros_like(arrays[mean]), np.ones_like(arrays[variance])
    return facts


def _callback(index: int, **fresh: Any) -> Callable[[StateHeader, Arrays], StateHeader]:
    def without(facts: StateHeader, arrays: Arrays) -> StateHeader:
        for name in [name for name in arrays if name.startswith(f"callbacks/{index}/")]:
            del arrays[name]
        callbacks = list(facts.callbacks)
        assert callbacks[index].values != fresh
        callbacks[index] = callbacks[index].model_copy(update={"values": fresh})
        return facts.model_copy(update={"callbacks": callbacks})

    return without


def _checkpoint(facts: StateHeader, arrays: Arrays) -> StateHeader:
    return facts.model_copy(update={"best": None, "files": {}})


def _history(facts: StateHeader, arrays: Arrays) -> StateHeader:
    for name in [name for name in arrays if name.startswith("history/")]:
        arrays[name] = arrays[name][:0]
    return facts


def _metrics(facts: StateHeader, arrays: Arrays) -> StateHeader:
    for name in [name for name in arrays if name.startswith("metrics/")]:
        arrays[name] = np.zeros_like(arrays[name])
    return facts


def _batch(facts: StateHeader, arrays: Arrays) -> StateHeader:
    return facts.model_copy(update={"place": Place(epochs=facts.place.epochs)})


PARTS: dict[str, Callable[[StateHeader, Arrays], StateHeader]] = {
    "seeds": _seeds,
    "optimizer": _optimizer,
    "moving averages": _averages,
    "early stopping": _callback(0, wait=0, stopped_epoch=0, best=None, best_epoch=0),
    "plateau": _callback(1, wait=0, best=None, cooldown_counter=0),
    "checkpoint's best": _checkpoint,
    "history": _history,
    "metrics inside the epoch": _metrics,
    "batches done": _batch,
}


def nothing(facts: StateHeader, arrays: Arrays) -> StateHeader:
    return facts


@pytest.mark.parametrize("part", ["nothing", *PARTS])
def test_each_part_left_out_shows(part: str, site: Path, stopped: Run, expected: Outcome) -> None:
    uid = f"without {part}"
    copy = attempt(site, 1, uid)
    shutil.copytree(stopped.folder, copy)
    kept = states(copy)[-1]
    state = kept.read()
    arrays = dict(state.arrays)
    facts = PARTS.get(part, nothing)(state.facts, arrays)
    rewrite(kept, facts, arrays)
    run = run_job(noisy(), site, attempt(site, 2, uid), resume_from=[copy])
    assert run.started.first_epoch == 9
    found = outcome(run.folder, run.finished)
    named = differences(found, expected)
    print(f"without {part}: {len(found.history)} epochs, best {found.best}; {str(named)[:300]}")
    assert bool(named) == (part != "nothing")


def test_without_the_decision_to_stop_it_would_go_on(site: Path, reference: Run) -> None:
    copy = attempt(site, 1, "undecided")
    shutil.copytree(reference.folder, copy)
    kept = states(copy)[-1]
    state = kept.read()
    assert state.facts.stop
    rewrite(kept, state.facts.model_copy(update={"stop": False}), state.arrays)
    run = run_job(noisy(), site, attempt(site, 2, "undecided"), resume_from=[copy], stop=(13, 0))
    assert [epoch.number for epoch in run.epochs] == [13]


def test_ten_and_ten_are_twenty(site: Path) -> None:
    # Patience is never at an end within ten epochs, and would be in twenty.
    changes = {"callbacks": [*noisy()["callbacks"][1:], _stopping(patience=9)]}
    straight = run_job(noisy(20, **changes), site, attempt(site, 1, "straight"))
    first = run_job(noisy(10, **changes), site, attempt(site, 1, "ten"))
    second = run_job(
        noisy(20, **changes), site, attempt(site, 1, "more"), resume_from=[first.folder]
    )
    print("straight", len(straight.epochs), "=", len(first.epochs), "+", len(second.epochs))
    assert len(first.epochs) == 10
    assert 0 < len(second.epochs) < 10
    assert {row.attempt for row in second.started.restored} == {0}
    same(outcome(second.folder, second.finished), outcome(straight.folder, straight.finished))
    # The other job keeps its own.
    assert len(states(first.folder)) == 1


def _stopping(patience: int) -> dict[str, Any]:
    arguments = {"monitor": "val_loss", "patience": patience, "restore_best_weights": True}
    return {"EarlyStopping": arguments}


def test_what_has_stopped_early_stays_stopped(site: Path, reference: Run) -> None:
    more = run_job(noisy(50), site, attempt(site, 1, "longer"), resume_from=[reference.folder])
    assert more.epochs == []
    assert more.finished.stop_reason == reference.finished.stop_reason
    assert more.finished.best.value == reference.finished.best.value
    assert more.finished.best.file.path == more.folder / "best.keras"
    assert more.finished.test == reference.finished.test


def test_a_later_attempt_goes_before_the_job_it_continues(site: Path, reference: Run) -> None:
    first = run_job(noisy(10), site, attempt(site, 1, "ahead"), stop=(2, 1))
    run = run_job(
        noisy(10),
        site,
        attempt(site, 2, "ahead"),
        resume_from=[first.folder, reference.folder],
        stop=(3, 0),
    )
    assert (run.started.first_epoch, run.started.first_batch) == (3, 1)


def test_the_last_state_stays_where_its_successor_found_no_room(site: Path) -> None:
    # On the test set: the second attempt has nothing left to train.
    first = run_job(noisy(1), site, attempt(site, 1, "full"), stop=(1, 0))
    assert isinstance(first.verdict, Stopped)
    folder = attempt(site, 2, "full")
    folder.mkdir()
    # A file system on which nothing is free.
    (folder / "state").symlink_to("/sys")
    second = run_job(noisy(1), site, folder, resume_from=[first.folder])
    assert "no room (1 of 3)" in second.log
    assert "training_state" not in {file.kind for file in second.finished.files}
    assert [kept.order for kept in states(first.folder)][-1] == (1, 0)


def test_an_epoch_whose_state_found_no_room_is_told(site: Path) -> None:
    folder = attempt(site, 1, "roomless")
    folder.mkdir(parents=True)
    (folder / "state").symlink_to("/sys")
    run = run_job(noisy(5), site, folder)
    assert isinstance(run.verdict, Failed)
    # The third was saved beside the fourth.
    assert (run.verdict.code, run.verdict.epoch) == ("DISK_FULL", 4)
    assert [epoch.number for epoch in run.epochs] == [1, 2, 3, 4]
    rows = (folder / "history.csv").read_text().splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == ["1", "2", "3", "4"]


def test_an_epoch_whose_state_cannot_be_written_is_told(site: Path) -> None:
    folder = attempt(site, 1, "unwritable")
    folder.mkdir(parents=True)
    (folder / "state").touch()
    run = run_job(noisy(5), site, folder)
    assert isinstance(run.verdict, Failed)
    assert (run.verdict.code, run.verdict.epoch) == ("ARTIFACT_WRITE", 2)
    assert [epoch.number for epoch in run.epochs] == [1, 2]


@pytest.mark.parametrize("uid", ["unread", "continues"])
def test_a_state_that_cannot_be_read_is_no_reason_to_begin_anew(uid: str, site: Path) -> None:
    first = run_job(noisy(3), site, attempt(site, 1, "unread"), stop=(2, 2))
    assert isinstance(first.verdict, Stopped)
    file = states(first.folder)[-1].file
    good = file.rename(first.folder / "good")
    # An error of reading: of a process's own memory nothing is mapped at 0.
    file.symlink_to("/proc/self/mem")
    run = run_job(noisy(3), site, attempt(site, 2, uid), resume_from=[first.folder])
    assert isinstance(run.verdict, Failed)
    assert run.verdict.code == "ARTIFACT_WRITE"
    assert "a training state could not be read: OSError: [Errno 5]" in run.verdict.message
    good.rename(file)
    run = run_job(noisy(3), site, attempt(site, 3, uid), resume_from=[first.folder])
    assert (run.started.first_epoch, run.started.first_batch) == (3, 2)
    shutil.rmtree(first.folder)


def test_two_states_of_its_own_take_the_place_of_all_earlier_ones(site: Path) -> None:
    def left() -> list[int]:
        return [len(states(folder)) for folder in folders]

    other = run_job(noisy(2), site, attempt(site, 1, "elsewhere"))
    folders = [attempt(site, number, "frequent") for number in (1, 2, 3)]
    run_job(noisy(8), site, folders[0], resume_from=[other.folder], stop=(4, 1))
    run_job(noisy(8), site, folders[1], resume_from=[folders[0], other.folder], stop=(4, 1))
    # One alone may be broken.
    assert left() == [2, 1, 0]
    third = run_job(noisy(8), site, folders[2], resume_from=folders[1::-1], stop=(6, 2))
    assert isinstance(third.verdict, Stopped)
    assert left() == [0, 0, 2]
    # Another job's are its own.
    assert len(states(other.folder)) == 1


def test_other_states_are_not_used(site: Path, stopped: Run) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        (noisy(fit__class_weight={"a": 2.0}), "its spec differs in more than fit.epochs\n"),
        (noisy(fit__class_weight={"1": 2.0}), "saved before 0.2.0, which changed class_weight"),
        (noisy(4), "it has 8 epochs; the spec 4"),
    ]
    for number, (spec, words) in enumerate(cases):
        # A job of its own: begins anew. One that continues another: cannot.
        uid = f"other {number}"
        shutil.copytree(stopped.folder, attempt(site, 1, uid))
        own = [attempt(site, 1, uid)]
        run = run_job(spec, site, attempt(site, 2, uid), resume_from=own, stop=(0, 0))
        assert run.started.first_epoch == 1
        assert words in run.log
        run = run_job(spec, site, attempt(site, 1, f"{uid}c"), resume_from=[stopped.folder])
        assert not isinstance(run.verdict, Finished | Stopped)
        assert run.verdict.code == "SPEC_INVALID"
        assert "no training state of the job that this one continues" in run.verdict.message
        # Each state, with the reason.
        for saved in states(stopped.folder):
            (line,) = (
                line for line in run.verdict.message.splitlines() if str(saved.folder) in line
            )
            assert words.rstrip("\n") in line


def test_a_job_that_continues_says_why_it_cannot(site: Path, tmp_path: Path, stopped: Run) -> None:
    write_noisy(tmp_path)
    (tmp_path / "Train" / "a" / "000.png").unlink()
    run = run_job(noisy(), tmp_path, attempt(tmp_path, 1), resume_from=[stopped.folder])
    assert isinstance(run.verdict, Failed)
    assert run.verdict.code == "DATA_INVALID"
    assert "the images have changed since" in run.verdict.message
    # Damaged states, and none at all.
    copy = attempt(site, 1, "damaged")
    shutil.copytree(stopped.folder, copy)
    for saved in states(copy):
        saved.file.unlink()
    run = run_job(noisy(), site, attempt(site, 1, "after damage"), resume_from=[copy])
    assert isinstance(run.verdict, Failed)
    assert run.verdict.code == "DATA_MISSING"
    assert "0 .safetensors files" in run.verdict.message
    none = attempt(site, 1, "nothing")
    run = run_job(noisy(), site, attempt(site, 1, "after nothing"), resume_from=[none])
    assert isinstance(run.verdict, Failed)
    assert run.verdict.code == "DATA_MISSING"
    assert str(none) in run.verdict.message


def test_other_images_are_another_training(site: Path, tmp_path: Path, stopped: Run) -> None:
    write_noisy(tmp_path)
    (tmp_path / "Train" / "a" / "000.png").unlink()
    copy = attempt(tmp_path, 1)
    shutil.copytree(stopped.folder, copy)
    run = run_job(noisy(), tmp_path, attempt(tmp_path, 2), resume_from=[copy], stop=(4, 0))
    assert run.started.first_epoch == 1
    assert "the images have changed since" in run.log
    assert run.started.anew == "the images have changed since"
    # Its own states are complete by now, and those of the other images are still there.
    assert len(states(attempt(tmp_path, 2))) == 2
    assert states(copy)


def test_another_maker_is_said(site: Path, stopped: Run) -> None:
    copy = attempt(site, 1, "maker")
    shutil.copytree(stopped.folder, copy)
    kept = states(copy)[-1]
    state: State = kept.read()
    maker = state.facts.origin.maker
    other = maker.model_copy(
        update={"device": "Tesla T4", "versions": maker.versions | {"keras": "3.0.0"}}
    )
    origin = state.facts.origin.model_copy(update={"maker": other})
    rewrite(kept, state.facts.model_copy(update={"origin": origin}), state.arrays)
    second = attempt(site, 2, "maker")
    run = run_job(noisy(), site, second, resume_from=[copy], stop=(9, 1))
    inexact = run.started.inexact
    assert inexact is not None
    for words in ("after epoch 8", "device Tesla T4, now CPU", "keras 3.0.0, now 3."):
        assert words in inexact
    # Nothing that follows mends it.
    run = run_job(noisy(), site, attempt(site, 3, "maker"), resume_from=[second, copy])
    assert run.started.inexact == inexact
