"""`python -m tests.faults.chaos DATABASE SECONDS SEED FOLDER`: faults at random over real jobs.

DATABASE is `sqlite` or `postgres`. The same seed gives the same schedule, which is printed first.
At the end comes a calm in which every job must end, and then `tests.faults.audit`. What happened,
and the logs of all workers and attempts, are left in FOLDER when something is wrong.
"""

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select

from fornada.db.answers import ExecutionAnswer
from fornada.db.errors import DatabaseUnreachable, WrongState
from fornada.db.queue import jobs, steering, workers
from fornada.db.states import FINAL_STATES, JobState
from fornada.db.store.tables import Job
from fornada.errors import BrokerUnreachable
from tests.faults import cast
from tests.faults.audit import Audit
from tests.faults.cast import SEEDS, Part
from tests.faults.proxy import Cut
from tests.faults.schedule import Happening, schedule
from tests.faults.stage import Stage, chosen
from tests.until import until

ACTOR = "chaos"
REFERENCE_S = 120.0
# In the calm: leases run out, pauses pass, everything that waits is run by three slots.
CALM_S = 600.0
# More and the jobs would only wait.
MOST_ALIVE = 14
# They take a slot for seconds each, and there is one.
MOST_REAL = 3
WAITING = (JobState.QUEUED, JobState.HELD)


class Chaos:
    """One play, from the references to the audit.

    Args:
        stage: where.
        say: takes a line for the log of events.
    """

    def __init__(self, stage: Stage, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._site = stage.site
        self._say = say
        self._parts: list[Part] = []
        self._references: list[Part] = []
        self._ends: list[threading.Timer] = []
        self._failed_ends: list[str] = []

    def rehearse(self) -> None:
        """Run each real job once without a fault: what the others must be equal to."""
        self._stage.keep_workers()
        for number in range(len(SEEDS)):
            part, new = cast.real(number / len(SEEDS))
            self._references.append(part)
            part.job_id = self._accept(part, new)
        for part in self._references:
            job = self._site.wait(_known(part), timeout_s=REFERENCE_S)
            assert (job["state"], job["attempts"]) == ("succeeded", 1), job["failure"]

    def perform(self, happenings: list[Happening]) -> Counter[str]:
        """Do what the schedule says; how often each kind came."""
        begin = time.monotonic()
        done: Counter[str] = Counter()
        for each in happenings:
            self._pass(begin + each.at_s - time.monotonic())
            late_s = time.monotonic() - begin - each.at_s
            found = self._do(each)
            self._say(f"{each}{f' {late_s:.1f} s late' if late_s > 1 else ''}: {found}")
            done[each.kind] += 1
        return done

    def calm(self) -> None:
        """Undo all faults, let every job end, drain the workers."""
        for end in self._ends:
            end.join()
        self._stage.calm()
        self._say("calm")
        for job_id in self._ids(JobState.HELD):
            with contextlib.suppress(WrongState):
                steering.release(self._site.database, job_id, ACTOR)
        until(self._all_ended, CALM_S, saw=self._unfinished)
        self._say("all jobs have ended")
        until(self._all_there, 60, saw=self._stage.logs)
        self._stage.drain()

    def audit(self) -> list[str]:
        """What is wrong now."""
        found = Audit(self._stage, self._parts, self._references).findings()
        return self._failed_ends + found

    def summary(self) -> list[str]:
        """How each job went, in a line."""
        shown = [self._site.show(_known(part)) for part in self._parts if part.job_id is not None]
        return [
            f"job {job['id']} {job['name']} {job['state']}, {job['epochs_run']} epochs, "
            + ", ".join(map(_execution, job["executions"]))
            for job in shown
        ]

    def _pass(self, seconds: float) -> None:
        end = time.monotonic() + seconds

        def over() -> bool:
            self._stage.keep_workers()
            return time.monotonic() >= end

        until(over, max(0.0, seconds) + 60)

    def _do(self, what: Happening) -> str:
        act: Callable[[Happening], str] = getattr(self, f"_{what.kind}")
        try:
            return act(what)
        except DatabaseUnreachable:
            return "the database is away"
        except BrokerUnreachable:
            return "Redis is away"
        except WrongState as refused:
            return f"refused: {refused}"

    def _after(self, what: Happening, undo: Callable[[], None] | None) -> str:
        if undo is None:
            return "not now"

        def end() -> None:
            try:
                undo()
                self._say(f"           end of {what.kind} of {what.at_s:.1f} s")
            except Exception as error:  # noqa: BLE001 - told at the end, by the thread that can
                self._failed_ends.append(f"{what}: {error!r}")

        timer = threading.Timer(what.lasts_s, end)
        self._ends.append(timer)
        timer.start()
        return f"until {what.at_s + what.lasts_s:.1f} s"

    # Jobs

    def _submit(self, what: Happening) -> str:
        return self._add(*cast.stub(what.pick, self._site.queue))

    def _submit_real(self, what: Happening) -> str:
        return self._add(*cast.real(what.pick))

    def _submit_after(self, what: Happening) -> str:
        alive = self._ids(*WAITING, JobState.RUNNING)
        if not alive:
            return "nothing to wait for"
        return self._add(*cast.stub(what.pick, self._site.queue, chosen(alive, what.pick_more)))

    def _add(self, part: Part, new: Any) -> str:
        alive = self._ids(*WAITING, JobState.RUNNING)
        real = [each for each in self._parts if each.seed and each.job_id in alive]
        if len(alive) >= MOST_ALIVE or (part.seed and len(real) >= MOST_REAL):
            return "enough"
        self._parts.append(part)
        part.job_id = self._accept(part, new)
        return f"job {part.job_id} {part.name} after {part.after}"

    def _accept(self, part: Part, new: Any) -> int:
        job_id = jobs.add(self._site.database, new, ACTOR)
        with contextlib.suppress(BrokerUnreachable):
            self._site.publisher.publish(new.queue, new.uid, None)
        return job_id

    # Faults of processes

    def _kill_trainer(self, what: Happening) -> str:
        return self._stage.kill_trainer(what.pick)

    def _kill_celery(self, what: Happening) -> str:
        return self._stage.kill_celery(what.pick)

    def _kill_parent(self, what: Happening) -> str:
        return self._stage.kill_parent(what.pick)

    def _freeze(self, what: Happening) -> str:
        name, thaw = self._stage.freeze(what.pick)
        return f"{name} {self._after(what, thaw)}"

    def _drain(self, what: Happening) -> str:
        return self._stage.signal_parent(what.pick, 1)

    def _drain_twice(self, what: Happening) -> str:
        return self._stage.signal_parent(what.pick, 2)

    def _drain_from_afar(self, what: Happening) -> str:
        name = chosen(list(self._stage.workers), what.pick)
        return str(workers.request_drain(self._site.database, name, ACTOR))

    # Faults of servers

    def _redis_killed(self, what: Happening) -> str:
        return self._after(what, self._stage.redis_away(hung=False))

    def _redis_hung(self, what: Happening) -> str:
        return self._after(what, self._stage.redis_away(hung=True))

    def _database_killed(self, what: Happening) -> str:
        return self._after(what, self._stage.database_away(hung=False))

    def _database_hung(self, what: Happening) -> str:
        return self._after(what, self._stage.database_away(hung=True))

    def _database_cut(self, what: Happening) -> str:
        return self._after(what, self._stage.database_cut())

    def _jobs_locked(self, what: Happening) -> str:
        return self._after(what, self._stage.jobs_locked())

    def _commit_cut(self, what: Happening) -> str:
        where = chosen(list(Cut), what.pick)
        return where.name if self._stage.cut_commit(where) else "not here"

    # What people do

    def _cancel(self, what: Happening) -> str:
        grace_s = chosen([None, 0.0, 2.0], what.pick_more)
        return self._ask(
            what,
            "cancel",
            self._ids(*WAITING, JobState.RUNNING),
            lambda job_id: steering.cancel(self._site.database, job_id, ACTOR, grace_s=grace_s),
        )

    def _retry(self, what: Happening) -> str:
        fresh = what.pick_more > 0.5
        return self._ask(
            what,
            "retry",
            self._ids(JobState.FAILED, JobState.CANCELLED),
            lambda job_id: steering.retry(self._site.database, job_id, ACTOR, fresh=fresh),
        )

    def _hold(self, what: Happening) -> str:
        return self._ask(
            what,
            "hold",
            self._ids(JobState.QUEUED),
            lambda job_id: steering.hold(self._site.database, job_id, ACTOR),
        )

    def _release(self, what: Happening) -> str:
        return self._ask(
            what,
            "release",
            self._ids(JobState.HELD),
            lambda job_id: steering.release(self._site.database, job_id, ACTOR),
        )

    def _move(self, what: Happening) -> str:
        waiting = self._ids(*WAITING)
        if not waiting:
            return "nobody"
        job_id = chosen(waiting, what.pick)
        steering.move(self._site.database, job_id, ACTOR, top=True)
        return f"job {job_id} to the top"

    def _ask(
        self, what: Happening, word: str, ids: list[int], act: Callable[[int], JobState]
    ) -> str:
        parts = [part for part in self._parts if part.job_id in ids]
        if not parts:
            return "nobody"
        part = chosen(parts, what.pick)
        try:
            heard = act(_known(part))
        except DatabaseUnreachable:
            if word in ("cancel", "retry"):
                part.asked.append((word, None))
            raise
        if word in ("cancel", "retry"):
            part.asked.append((word, heard))
        return f"job {part.job_id} is {heard}"

    # Messages

    def _duplicate(self, what: Happening) -> str:
        known = [part for part in self._parts if part.job_id is not None]
        if not known:
            return "nobody"
        part = chosen(known, what.pick)
        for _ in range(10):
            self._site.publisher.publish(self._site.queue, part.uid, None)
        return f"ten wake-ups for job {part.job_id}"

    def _garbage(self, what: Happening) -> str:
        if self._stage.redis.process is None:
            return "Redis is away"
        return self._stage.garbage(what.pick)

    # What there is

    def _ids(self, *states: JobState) -> list[int]:
        with self._site.database.read() as connection:
            wanted = select(Job.c.id).where(Job.c.state.in_(states)).order_by(Job.c.id)
            return list(connection.scalars(wanted))

    def _all_ended(self) -> bool:
        self._stage.keep_workers()
        return not self._ids(*set(JobState) - FINAL_STATES)

    def _unfinished(self) -> object:
        return [self._site.show(each) for each in self._ids(*set(JobState) - FINAL_STATES)]

    def _all_there(self) -> bool:
        if self._stage.leaving:
            return False
        self._stage.keep_workers()
        alive = dict(self._site.alive())
        there = self._stage.workers.items()
        return all(worker.celery and alive.get(name) == worker.celery for name, worker in there)


def _execution(attempt: ExecutionAnswer) -> str:
    resumed = attempt["resumed"]
    at = f" from {resumed['epoch']}.{resumed['batch']}" if resumed else ""
    return f"{attempt['outcome']}{at}"


def _known(part: Part) -> int:
    assert part.job_id is not None
    return part.job_id


def play(database: str, seconds: float, seed: int, folder: Path) -> None:
    """Play it all, and fail with what is wrong at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    happenings = schedule(seed, seconds)
    print(f"chaos on {database}: seed {seed}, {seconds:g} s, {len(happenings)} happenings")
    for each in happenings:
        print(f"  {each}")
    lock = threading.Lock()
    with (folder / "events.log").open("w") as file:

        def say(line: str) -> None:
            with lock:
                file.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {line}\n")
                file.flush()

        with Stage(database, say) as stage:
            chaos = Chaos(stage, say)
            try:
                chaos.rehearse()
                done = chaos.perform(happenings)
                chaos.calm()
                wrong = chaos.audit()
                for line in chaos.summary() + wrong:
                    say(line)
                assert not wrong, "\n".join([f"wrong; see {folder}:", *wrong])
            except BaseException:
                stage.calm()
                stage.keep_logs(folder)
                raise
    print(f"clean after {dict(done)}")


if __name__ == "__main__":
    _database, _seconds, _seed, _folder = sys.argv[1:]
    play(_database, float(_seconds), int(_seed), Path(_folder))
