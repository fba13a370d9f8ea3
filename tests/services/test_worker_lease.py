"""A lease that cannot be renewed: when its attempt gives up, and when it waits."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fornada.db.queue import attempts, expiry
from fornada.db.reads import documents, history
from fornada.db.records import Fence
from fornada.db.store.session import Database
from fornada.worker.attempts.lease import GIVE_UP, Lease
from tests.services import store
from tests.until import until

# Looked at once a second: three quarters of it and a second are less than all of it.
LEASE_S = 6.0
HEARTBEAT_S = 0.2
NO_LOG = Path("/nowhere/train.log")


@pytest.fixture
def database(postgres_database_url: str) -> Iterator[Database]:
    """A server, whose errors have more kinds than a file's."""
    opened = Database(postgres_database_url)
    yield opened
    opened.dispose()


def test_a_lease_is_renewed_as_long_as_its_attempt_lives(database: Database) -> None:
    fence = store.running(database)
    attempts.renew(database, fence, 2.0)
    with Lease(database, fence, NO_LOG, lease_s=2.0, heartbeat_s=HEARTBEAT_S) as lease:
        after = time.monotonic() + 3.0
        until(lambda: time.monotonic() > after, 4.0)
        assert expiry.expire_leases(database) == []
        assert not lease.over
    until(lambda: expiry.expire_leases(database) == [fence.job_id], 4.0)


def test_a_disk_that_hangs_delays_no_renewal(database: Database, tmp_path: Path) -> None:
    fence = store.running(database)
    attempts.renew(database, fence, 2.0)
    # Whoever opens it waits, as for a file server that does not answer.
    log = tmp_path / "train.log"
    os.mkfifo(log)
    with Lease(database, fence, log, lease_s=2.0, heartbeat_s=HEARTBEAT_S) as lease:
        lease.epoch(store.epoch(1))
        after = time.monotonic() + 3.0
        until(lambda: time.monotonic() > after, 4.0)
        assert expiry.expire_leases(database) == []
        assert not lease.over
        assert documents.job(database, fence.job_id)["epochs_run"] == 1
        # It answers again.
        with log.open("wb"):
            assert lease.finish(store.SUCCEEDED, pause_s=0.0) == "succeeded"


def test_an_attempt_that_cannot_renew_for_its_own_reasons_ends_before_the_lease(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    fence = store.running(database)
    with Lease(database, fence, NO_LOG, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S) as lease:
        # As for an account that has lost its rights: the server answers, and refuses.
        _rename(database, "job", "elsewhere")
        refused = time.monotonic()
        try:
            until(lambda: lease.over, 2 * LEASE_S, saw=lambda: caplog.text)
            assert time.monotonic() - refused < LEASE_S
        finally:
            _rename(database, "elsewhere", "job")
        assert lease.finish(store.SUCCEEDED, pause_s=0.0) is None
    assert documents.job(database, fence.job_id)["state"] == "running"
    assert f"job {fence.job_id}/1: not recorded" in caplog.text


def test_an_attempt_whose_epochs_are_refused_ends_though_its_lease_is_renewed(
    database: Database,
) -> None:
    fence = store.running(database)
    with Lease(database, fence, NO_LOG, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S) as lease:
        _rename(database, "epoch", "elsewhere")
        try:
            lease.epoch(store.epoch(1))
            until(lambda: lease.over, 2 * LEASE_S)
        finally:
            _rename(database, "elsewhere", "epoch")


def test_one_refusal_ends_nothing(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    fence = store.running(database)
    with Lease(database, fence, NO_LOG, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S) as lease:
        _rename(database, "epoch", "elsewhere")
        lease.epoch(store.epoch(1))
        until(lambda: "not recorded" in caplog.text, GIVE_UP * LEASE_S)
        _rename(database, "elsewhere", "epoch")
        until(lambda: documents.job(database, fence.job_id)["epochs_run"] == 1, 5)
        assert not lease.over
        assert lease.finish(store.SUCCEEDED, pause_s=0.0) == "succeeded"


def test_an_epoch_is_recorded_when_it_is_told(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fence = store.running(database)
    with Lease(database, fence, NO_LOG, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S) as lease:
        for number in range(1, 6):
            lease.epoch(store.epoch(number))
            until(lambda: history.epochs(database, fence.job_id, after=number - 1), 2.0)  # noqa: B023
    assert caplog.text == ""


def test_a_best_model_stays_until_the_record_names_a_better(
    database: Database, tmp_path: Path
) -> None:
    fence = store.running(database)
    log = tmp_path / "train.log"
    with Lease(database, fence, log, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S) as lease:
        _tell_best(lease, tmp_path, 1)
        until(lambda: _recorded(database, fence) == 1, 5)
        _rename(database, "job", "elsewhere")
        for number in (2, 3, 4, 5):
            _tell_best(lease, tmp_path, number)
        # What the record names, the newest, and at most one that it was about to name.
        assert {"best-1.keras", "best-5.keras"} <= _bests(tmp_path)
        until(lambda: len(_bests(tmp_path)) <= 3, 5)
        _rename(database, "elsewhere", "job")
        until(lambda: _recorded(database, fence) == 5, 5)
        until(lambda: _bests(tmp_path) == {"best-5.keras"}, 5)
        assert len(history.epochs(database, fence.job_id)) == 5
        assert lease.finish(store.SUCCEEDED, pause_s=0.0) == "succeeded"
    # It is `best.keras` that the verdict names.
    assert _bests(tmp_path) == set()


def test_a_lost_attempt_removes_no_best_model(database: Database, tmp_path: Path) -> None:
    fence = store.running(database, retry_attempts=1)
    log = tmp_path / "train.log"
    with Lease(database, fence, log, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S) as lease:
        _tell_best(lease, tmp_path, 1)
        until(lambda: _recorded(database, fence) == 1, 5)
        assert expiry.abandon(database, worker="w1", host="w1") == [fence.job_id]
        _tell_best(lease, tmp_path, 2)
        assert lease.finish(store.SUCCEEDED, pause_s=0.0) is None
    job = documents.job(database, fence.job_id)
    assert (job["state"], job["best"]["epoch"]) == ("failed", 1)
    assert _bests(tmp_path) == {"best-1.keras", "best-2.keras"}


def _tell_best(lease: Lease, folder: Path, number: int) -> None:
    (folder / f"best-{number}.keras").touch()
    lease.epoch(store.epoch(number, store.best(number, 1.0 / number)))


def _bests(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("best*")}


def _recorded(database: Database, fence: Fence) -> int | None:
    """The epoch of the best model that the record names."""
    best = documents.job(database, fence.job_id)["best"]
    return int(best["epoch"]) if best else None


def _rename(database: Database, old: str, new: str) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")
