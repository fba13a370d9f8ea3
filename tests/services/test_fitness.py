"""When the failures of its slots, or of all of them together, stop a worker."""

from pathlib import Path

import pytest

from fornada.db.records import Claim, Failure, Verdict
from fornada.db.states import AttemptOutcome, FailureCode
from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.worker.fitness.failures_in_a_row import LIMIT
from fornada.worker.fitness.fitness import Fitness
from fornada.worker.host.heartbeat_file import HomeOfWorker
from tests.services import store

ONE, OTHER = "gpu:0", "gpu:1"
CRASH = Failure(FailureCode.CRASHED, "the trainer ended")
CRASHED = Verdict(AttemptOutcome.CRASHED, failure=CRASH)


@pytest.fixture
def fitness(tmp_path: Path, database: Database) -> Fitness:
    """That of a worker with two slots."""
    settings = Settings(
        home=tmp_path, database_url="postgresql://nowhere/none", broker_url="redis://nowhere"
    )
    return Fitness(settings, database, "w1", [ONE, OTHER], HomeOfWorker(tmp_path, "w1"))


def claimed(database: Database, fitness: Fitness, slot: str) -> Claim:
    """A job with a spec of its own, claimed for a slot that may claim one."""
    assert fitness.may_claim(slot)
    job_id = store.add(database)
    claim = store.claim(database, slot=slot)
    assert claim is not None
    claim.spec["fit"] = {"epochs": job_id}
    fitness.claimed(slot, claim)
    return claim


def fail(database: Database, fitness: Fitness, slot: str) -> None:
    claim = claimed(database, fitness, slot)
    assert fitness.judged(slot, claim, CRASHED, trained=False) == CRASHED


def train(database: Database, fitness: Fitness, slot: str) -> None:
    claimed(database, fitness, slot)
    fitness.trained(slot)


def test_a_slot_that_fails_every_job_stops_alone_while_another_works(
    database: Database, fitness: Fitness
) -> None:
    for _ in range(LIMIT):
        fail(database, fitness, ONE)
        train(database, fitness, OTHER)
    assert fitness.problem is None
    assert not fitness.may_claim(ONE)
    train(database, fitness, OTHER)


def test_the_failures_of_all_slots_together_stop_the_worker(
    database: Database, fitness: Fitness
) -> None:
    fail(database, fitness, ONE)
    for _ in range(LIMIT - 1):
        fail(database, fitness, OTHER)
    assert fitness.problem is not None
    assert not fitness.takes_wake_ups()
    assert not fitness.may_claim(ONE)
    assert not fitness.may_claim(OTHER)


def test_a_job_that_has_trained_counts_for_no_failure(database: Database, fitness: Fitness) -> None:
    for _ in range(2 * LIMIT):
        claim = claimed(database, fitness, ONE)
        assert fitness.judged(ONE, claim, CRASHED, trained=True).counts
    assert fitness.problem is None


@pytest.mark.parametrize(
    ("code", "counts"), [("ARTIFACT_WRITE", False), ("DATA_MISSING", False), ("SPEC_INVALID", True)]
)
def test_what_fails_on_an_unfit_host_counts_only_if_the_spec_caused_it(
    database: Database, fitness: Fitness, tmp_path: Path, code: str, counts: bool
) -> None:
    claim = claimed(database, fitness, ONE)
    # The file of the worker is gone, as after somebody removed its home.
    fitness.begin("a" * 8)
    verdict = Verdict(AttemptOutcome.FAILED, failure=Failure(FailureCode(code), "no"))
    assert fitness.judged(ONE, claim, verdict, trained=False).counts is counts
    assert str(tmp_path) in str(fitness.problem)
