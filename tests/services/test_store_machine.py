"""A state machine test: random calls, in random order, do the same to the database and its model.

It runs on both databases. `FORNADA_TEST_FULL=1` runs many more examples.
"""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select, update

from fornada.db.clock import later, now
from fornada.db.errors import Fenced, WrongState
from fornada.db.queue import expiry, jobs, queues, steering, upkeep, verdicts, workers
from fornada.db.queue.attempts import record_epochs, renew, requests, started
from fornada.db.queue.claims import unanswered
from fornada.db.reads import live
from fornada.db.records import Failure, Fence, Verdict
from fornada.db.states import AttemptOutcome, FailureCode, JobState
from fornada.db.store import tables
from fornada.db.store.session import Database
from tests.services import store
from tests.services.store_model import WORKERS, Job, Model

FULL = os.environ.get("FORNADA_TEST_FULL") == "1"
EXAMPLES = 600 if FULL else 15
STEPS = 60 if FULL else 40

QUEUES = st.sampled_from(["default", "night"])
PRIORITIES = st.integers(-1, 1)
PICK = st.integers(0, 10**6)
OUTCOMES = st.sampled_from([*AttemptOutcome])
PLAIN: dict[str, Any] = {
    "queue": "default",
    "priority": 0,
    "gpus": "auto",
    "attempts": 2,
    "held": False,
    "after": [],
    "any_end": False,
    "key": None,
    "continues": None,
}
# Most drawn jobs are free to run. If most were held or cancelled, the test would try little else.
NEW_JOBS = st.fixed_dictionaries(
    {
        "queue": QUEUES,
        "priority": PRIORITIES,
        "gpus": st.sampled_from(["auto", "auto", "0", "1"]),
        "attempts": st.integers(1, 3),
        "held": st.sampled_from([False, False, False, False, True]),
        "after": st.just([]) | st.just([]) | st.lists(PICK, min_size=1, max_size=2),
        "any_end": st.booleans(),
        "key": st.sampled_from([None, None, None, "a", "b"]),
        "continues": st.none() | st.none() | PICK,
    }
)
HOST_FAILED = Failure(FailureCode.DISK_FULL, "no space left on device")
# The state of a job after each kind of event. Other kinds do not change the state.
STATE_AFTER_EVENT = {
    "claimed": JobState.RUNNING,
    "requeued": JobState.QUEUED,
    "retried": JobState.QUEUED,
    "held": JobState.HELD,
    "succeeded": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
}


class Machine(RuleBasedStateMachine):
    """Does what people, workers and upkeep do, to the database and to the model."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.model = Model()
        self.slots = 0
        # All attempts; the attempts that reported their start; the outcomes of those that ended.
        self.fences: list[Fence] = []
        self.started: set[Fence] = set()
        self.ended: dict[Fence, AttemptOutcome] = {}

    @initialize(held=st.booleans(), any_end=st.booleans())
    def begin(self, held: bool, any_end: bool) -> None:
        """Register all workers and submit three jobs, each of which waits for the one before."""
        with self.database.begin() as connection:
            for table in reversed(tables.METADATA.sorted_tables):
                if table is not tables.Fleet:
                    connection.execute(delete(table))
        for name, (host, served, gpu) in WORKERS.items():
            slots = [store.GPU if gpu else store.CPU]
            workers.register(
                self.database, store.worker(name, host=host, queues=list(served), slots=slots)
            )

        for position in range(3):
            after = [position - 1] if position else []
            self.submit(
                **PLAIN | {"after": after, "any_end": any_end, "held": held and position == 1}
            )

    # People.

    @rule(priorities=st.lists(PRIORITIES, min_size=2, max_size=4), queue=QUEUES)
    def people_submit_many(self, priorities: list[int], queue: str) -> None:
        """Submit jobs that are free to run."""
        for priority in priorities:
            self.submit(**PLAIN | {"priority": priority, "queue": queue})

    @rule(new_jobs=st.lists(NEW_JOBS, min_size=1, max_size=2))
    def people_submit(self, new_jobs: list[dict[str, Any]]) -> None:
        """Submit one or two random jobs."""
        for options in new_jobs:
            self.submit(**options)

    def submit(self, after: list[int], continues: int | None, **options: Any) -> None:
        """Submit a job. If a job has the same key, nothing may change."""
        needs = sorted({self._pick(number).id for number in after if self.model.jobs})
        new = store.new_job(
            queue=options["queue"],
            priority=options["priority"],
            gpus=options["gpus"],
            retry_attempts=options["attempts"],
            held=options["held"],
            after=tuple(needs),
            after_any=options["any_end"],
            key=options["key"],
            continues=self._pick(continues).id if continues and self.model.jobs else None,
        )
        job_id = jobs.add(self.database, new, "ana")
        first = [j.id for j in self.model.jobs.values() if new.key and j.key == new.key]
        assert first in ([], [job_id])
        # A repeated wake-up changes nothing.
        assert jobs.add(self.database, new, "worker") == job_id
        if first:
            return
        job = Job(
            job_id,
            new.uid,
            new.queue,
            new.priority,
            new.gpus,
            new.retry_attempts,
            new.key,
            needs,
            new.after_any,
            new.continues,
        )
        self.model.submit(job, held=new.held)

    @precondition(lambda self: self.model.jobs)
    @rule(
        act=st.sampled_from(["release", "retry", "retry", "move", "hold", "cancel", "cancel"]),
        pick=PICK,
        fresh=st.booleans(),
        queue=st.none() | QUEUES,
        priority=st.none() | PRIORITIES,
        top=st.booleans(),
        grace_s=st.none() | st.floats(0, 60),
    )
    def people_steer(self, act: str, pick: int, **options: Any) -> None:
        """Steer one job. The act may be legal in the job's state or not."""
        takes = {"move": ("queue", "priority", "top"), "retry": ("fresh",), "cancel": ("grace_s",)}
        steer = getattr(self, act)
        steer(pick, **{name: options[name] for name in takes.get(act, ())})

    def cancel(self, pick: int, grace_s: float | None) -> None:
        """Cancel a job: legal unless it has succeeded or failed."""
        job = self._pick(pick)
        if job.state in (JobState.SUCCEEDED, JobState.FAILED):
            with pytest.raises(WrongState):
                steering.cancel(self.database, job.id, "bob", grace_s=grace_s)
            return
        state = steering.cancel(self.database, job.id, "bob", grace_s=grace_s)
        if job.live:
            self.model.cancel(job)
        assert state is job.state

    def hold(self, pick: int) -> None:
        """Hold a job: legal while it is queued or held."""
        job = self._pick(pick)
        if job.state not in (JobState.QUEUED, JobState.HELD):
            with pytest.raises(WrongState):
                steering.hold(self.database, job.id, "bob")
            return
        self.model.hold(job)
        assert steering.hold(self.database, job.id, "bob") is job.state

    def release(self, pick: int) -> None:
        """Release a job: legal while it is queued or held."""
        job = self._pick(pick)
        if job.state not in (JobState.QUEUED, JobState.HELD):
            with pytest.raises(WrongState):
                steering.release(self.database, job.id, "bob")
            return
        self.model.release(job)
        assert steering.release(self.database, job.id, "bob") is job.state

    def move(self, pick: int, queue: str | None, priority: int | None, top: bool) -> None:
        """Move a job: legal while it is queued or held."""
        job = self._pick(pick)
        options: dict[str, Any] = {"queue": queue, "priority": priority, "top": top}
        if job.state not in (JobState.QUEUED, JobState.HELD):
            with pytest.raises(WrongState):
                steering.move(self.database, job.id, "bob", **options)
            return
        steering.move(self.database, job.id, "bob", **options)
        job.queue = job.queue if queue is None else queue
        job.priority = job.priority if priority is None else priority
        if top:
            job.priority = self.model.top(job)

    def retry(self, pick: int, fresh: bool) -> None:
        """Retry a job: legal when it has failed or was cancelled."""
        job = self._pick(pick)
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            with pytest.raises(WrongState):
                steering.retry(self.database, job.id, "bob", fresh=fresh)
            return
        self.model.retry(job, fresh=fresh)
        assert steering.retry(self.database, job.id, "bob", fresh=fresh) is job.state

    @rule(queue=QUEUES, paused=st.sampled_from([False, False, True]))
    def pause(self, queue: str, paused: bool) -> None:
        """Pause a queue, or resume it."""
        (queues.pause if paused else queues.resume)(self.database, queue, "bob")
        (self.model.paused.add if paused else self.model.paused.discard)(queue)

    @rule(queue=QUEUES, count=st.none() | st.integers(1, 3))
    def set_max_running(self, queue: str, count: int | None) -> None:
        """Limit a queue, or remove its limit."""
        queues.set_max_running(self.database, queue, count, "bob")
        self.model.limits.pop(queue, None)
        if count is not None:
            self.model.limits[queue] = count

    # Workers.

    @rule(names=st.lists(st.sampled_from([*WORKERS]), min_size=1, max_size=3))
    def workers_claim(self, names: list[str]) -> None:
        """Some workers claim, one after the other."""
        for name in names:
            self.claim(name)

    def claim(self, worker: str) -> None:
        """Claim, and check that the claim takes the model's best job."""
        host, served, gpu = WORKERS[worker]
        self.slots += 1
        slot: dict[str, Any] = {"worker": worker, "slot": f"slot-{self.slots}"}
        claimed = store.claim(self.database, **slot, host=host, queues=list(served), has_gpu=gpu)
        job = self.model.best(worker)
        assert (claimed and claimed.job_id) == (job and job.id)
        if claimed is None or job is None:
            return
        self.model.claim(job, worker)
        assert claimed.attempt == job.attempt
        assert claimed.resume_from == self.model.resume_from(job)
        assert not claimed.cancel_requested
        again = unanswered(self.database, **slot, lease_s=store.LEASE_S)
        assert again == claimed
        self.fences.append(claimed.fence)

    @rule(names=st.lists(st.sampled_from([*WORKERS]), min_size=1, max_size=3), outcome=OUTCOMES)
    def workers_run_jobs(self, names: list[str], outcome: AttemptOutcome) -> None:
        """Run the next jobs from claim to verdict. Without this rule few jobs would ever end."""
        for name in names:
            before = len(self.fences)
            self.claim(name)
            if len(self.fences) > before:
                self._finish(self.fences[-1], Verdict(outcome))

    @precondition(lambda self: self.fences)
    @rule(acts=st.lists(st.sampled_from(["start", "epoch", "heartbeat"]), min_size=1), pick=PICK)
    def attempt_writes(self, acts: list[str], pick: int) -> None:
        """Write what an attempt writes before its verdict, whether it holds its job or not."""
        for act in acts[:4]:
            if act == "start":
                self.start(pick, fresh=len(acts) > 3)
            elif act == "epoch" and self.started:
                self.epoch(pick)
            else:
                self.heartbeat(pick)

    def start(self, pick: int, fresh: bool) -> None:
        """The trainer continues after the last recorded epoch, or starts over."""
        fence = self._fence(pick)
        job = self.model.jobs[fence.job_id]
        first = 1 if fresh else len(job.epochs) + 1
        facts = replace(store.STARTED, first_epoch=first)
        # A second report of the same start changes nothing.
        reported = fence in self.started
        if self._fenced(fence, lambda: started(self.database, fence, facts)) or reported:
            return
        self.started.add(fence)
        job.epochs = {number: by for number, by in job.epochs.items() if number < first}

    def epoch(self, pick: int) -> None:
        """Record one more epoch, twice."""
        fence = sorted(self.started, key=str)[pick % len(self.started)]
        job = self.model.jobs[fence.job_id]
        row = store.epoch(len(job.epochs) + 1)
        rows = [row, row]
        if not self._fenced(fence, lambda: record_epochs(self.database, fence, rows[:1])):
            record_epochs(self.database, fence, rows[1:])
            job.epochs[row.number] = fence.attempt

    def heartbeat(self, pick: int) -> None:
        """Renew the lease: the attempt learns of a cancel, or that it no longer holds the job."""
        fence = self._fence(pick)
        if self._fenced(fence, lambda: renew(self.database, fence, store.LEASE_S)):
            return
        asked = requests(self.database, fence)
        assert asked.cancel is self.model.jobs[fence.job_id].cancelling

    @precondition(lambda self: self.fences)
    @rule(pick=PICK, outcome=OUTCOMES, host_failed=st.booleans(), pause=st.booleans())
    def finish(self, pick: int, outcome: AttemptOutcome, host_failed: bool, pause: bool) -> None:
        """End an attempt, whether it holds its job or not."""
        failed = host_failed and outcome is AttemptOutcome.FAILED
        verdict = Verdict(outcome, failure=HOST_FAILED if failed else None)
        self._finish(self._fence(pick), verdict, pause=pause)

    def _finish(self, fence: Fence, verdict: Verdict, *, pause: bool = False) -> None:
        job = self.model.jobs[fence.job_id]
        pause_s = store.LONG_S if pause else 0.0

        def finish() -> JobState:
            return verdicts.finish(self.database, fence, verdict, pause_s=pause_s)

        if not self._holds(fence):
            if self.ended[fence] is not verdict.outcome:
                with pytest.raises(Fenced):
                    finish()
                return
        else:
            failed = verdict.failure is HOST_FAILED
            self.model.end(job, verdict.outcome, host_failed=failed, pause=pause)
            self.ended[fence] = verdict.outcome
            assert finish() is job.state
        # The same verdict again gets the same answer.
        assert finish() is (job.state if job.attempt == fence.attempt else JobState.QUEUED)

    @rule(worker=st.sampled_from([*WORKERS]))
    def worker_restarts(self, worker: str) -> None:
        """A worker starts again, so the attempts that it ran are lost."""
        host = WORKERS[worker][0]
        own = sorted(job.id for job in self.model.running(worker))
        assert expiry.abandon(self.database, worker=worker, host=host, pause_s=0.0) == own
        self._lose(own)

    # Time.

    @precondition(lambda self: self.model.running())
    @rule(picks=st.lists(PICK, min_size=1, max_size=2))
    def leases_run_out(self, picks: list[int]) -> None:
        """Some attempts stop renewing their leases."""
        running = self.model.running()
        silent = sorted({running[pick % len(running)].id for pick in picks})
        for job_id in silent:
            fence = Fence(job_id, self.model.jobs[job_id].attempt)
            renew(self.database, fence, lease_s=-1.0)
        assert expiry.expire_leases(self.database, pause_s=0.0) == silent
        self._lose(silent)

    @precondition(lambda self: any(job.pausing for job in self.model.jobs.values()))
    @rule()
    def pauses_end(self) -> None:
        """All pauses before a retry are over."""
        paused = [job for job in self.model.jobs.values() if job.pausing]
        with self.database.begin() as connection:
            waiting = update(tables.Job).where(tables.Job.c.id.in_([job.id for job in paused]))
            connection.execute(waiting.values(not_before=later(now(), -1.0)))
        for job in paused:
            job.pausing = False

    # What people and upkeep see.

    @rule()
    def look(self) -> None:
        """Every waiting job has the right reason, and upkeep counts the jobs that may start."""
        for row in live.alive(self.database, within_s=store.LONG_S):
            job = self.model.jobs[row["id"]]
            assert row["state"] == job.state
            assert self._explains(job, row["waits"]), (job, row["waits"])
        counts = upkeep.claimable(self.database)
        for queue in ("default", "night"):
            ready = [
                job
                for job in self.model.jobs.values()
                if job.queue == queue and job.state is JobState.QUEUED and not job.pausing
            ]
            assert counts.get(queue, 0) == min(len(ready), self.model.room(queue))

    # What is true after each step.

    @invariant()
    def every_job_is_as_it_should_be(self) -> None:
        """State, attempt, tries, and everything that steering changes, are as in the model."""
        table = tables.Job.c
        wanted = select(
            *(table.id, table.state, table.attempt, table.tries, table.queue, table.priority),
            *(table.avoid_host, table.resume_after, table.epochs_run),
            table.held_by.is_not(None),
            table.cancel_requested_at.is_not(None),
            table.finished_at.is_not(None),
            table.lease_until.is_not(None),
        )
        assert self._rows(wanted.order_by(table.id)) == [
            (
                *(job.id, job.state, job.attempt, job.tries, job.queue, job.priority),
                *(job.avoid, job.resume_after, len(job.epochs)),
                *(job.held, job.cancelling, not job.live, job.state is JobState.RUNNING),
            )
            for job in self.model.jobs.values()
        ]

    @invariant()
    def attempts_and_epochs_have_no_gaps(self) -> None:
        """Attempts are 1..n, the last one without outcome while the job runs. Epochs are 1..n."""
        attempts = select(
            tables.Attempt.c.job_id, tables.Attempt.c.number, tables.Attempt.c.outcome
        )
        found = self._rows(attempts.order_by(tables.Attempt.c.job_id, tables.Attempt.c.number))
        assert found == [
            (job.id, number, outcome)
            for job in self.model.jobs.values()
            for number, outcome in enumerate(
                [*job.outcomes, *([None] if job.state is JobState.RUNNING else [])], start=1
            )
        ]
        epochs = select(tables.Epoch.c.job_id, tables.Epoch.c.number, tables.Epoch.c.attempt)
        assert self._rows(epochs.order_by(tables.Epoch.c.job_id, tables.Epoch.c.number)) == [
            (job.id, number, by)
            for job in self.model.jobs.values()
            for number, by in enumerate(job.epochs.values(), start=1)
        ]

    @invariant()
    def the_events_tell_how_each_job_came_to_its_state(self) -> None:
        """The events of a job lead to its state; each has an actor; each claim has an event."""
        table = tables.Event.c
        wanted = select(table.job_id, table.kind, table.actor, table.detail).order_by(table.id)
        states: dict[int, JobState] = {}
        claims: Counter[int] = Counter()
        for job_id, kind, actor, detail in self._rows(wanted):
            assert actor
            claims[job_id] += kind == "claimed"
            if kind == "submitted":
                states[job_id] = JobState((detail or {}).get("state", JobState.QUEUED))
            elif kind == "released":
                waits = "waits_for" in (detail or {})
                states[job_id] = JobState.HELD if waits else JobState.QUEUED
            else:
                states[job_id] = STATE_AFTER_EVENT.get(kind, states[job_id])
        assert states == {job.id: job.state for job in self.model.jobs.values()}
        assert claims == Counter({job.id: job.attempt for job in self.model.jobs.values()})

    @invariant()
    def no_job_waits_for_ended_jobs(self) -> None:
        """Upkeep finds nothing to settle: each end of a job has settled the jobs that waited."""
        assert upkeep.release_due(self.database) == []

    def _rows(self, wanted: Any) -> list[tuple[Any, ...]]:
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(wanted)]

    def _pick(self, number: int) -> Job:
        every = list(self.model.jobs.values())
        return every[number % len(every)]

    def _fence(self, number: int) -> Fence:
        """Pick one of all fences, the last ones more often."""
        last = self.fences[-4:]
        return last[number % len(last)] if number % 3 else self.fences[number % len(self.fences)]

    def _holds(self, fence: Fence) -> bool:
        job = self.model.jobs[fence.job_id]
        return job.state is JobState.RUNNING and job.attempt == fence.attempt

    def _fenced(self, fence: Fence, write: Callable[[], object]) -> bool:
        """Write, and return whether the write was refused because the attempt lost its job."""
        if self._holds(fence):
            write()
            return False
        with pytest.raises(Fenced):
            write()
        return True

    def _lose(self, job_ids: list[int]) -> None:
        for job_id in job_ids:
            job = self.model.jobs[job_id]
            self.ended[Fence(job_id, job.attempt)] = AttemptOutcome.LOST
            self.model.end(job, AttemptOutcome.LOST, host_failed=False, pause=False)

    def _explains(self, job: Job, why: str | None) -> bool:
        if job.state is JobState.RUNNING:
            return why is None
        if job.state is JobState.HELD:
            unmet = [f"#{need}" for need in job.needs if self.model.jobs[need].live]
            return (
                (why or "").startswith("Held(by ")
                if job.held
                else why == f"After({','.join(unmet)})"
            )
        if job.pausing:
            return bool(why and why.startswith(f"Backoff(attempt {job.attempt + 1} in "))
        if job.queue in self.model.paused:
            return why == "QueuePaused"
        if not self.model.open(job.queue):
            return bool(why and why.startswith("QueueFull"))
        return why is None or why.startswith(("Priority(", "SlotsBusy", "QueueFull", "HostAvoided"))


@pytest.fixture
def quick_database(database_url: str) -> Iterator[Database]:
    """A database in memory, if the machine has /dev/shm: thousands of commits to disk are slow."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        if database_url.startswith("sqlite"):
            file = shutil.copy(database_url.removeprefix("sqlite:///"), folder)
            database_url = f"sqlite:///{file}"
        opened = Database(database_url)
        yield opened
        opened.dispose()


@pytest.mark.timeout(7200 if FULL else 900)
def test_the_database_does_what_the_model_does(quick_database: Database) -> None:
    class OnDatabase(Machine):
        """The machine on this database, which `begin` empties before each run."""

        def __init__(self) -> None:
            super().__init__(quick_database)

    run_state_machine_as_test(
        OnDatabase,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
