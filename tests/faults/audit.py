"""What must be true when all is over, whatever happened before."""

import fcntl
import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from fornada import artifacts
from fornada.db.answers import FileAnswer, JobAnswer
from fornada.db.errors import JobNotFound
from fornada.db.queue import logs
from fornada.db.reads import documents, history
from fornada.db.reads.references import find
from fornada.db.states import LEGAL_MOVES, JobState
from fornada.db.store.tables import Job, LogChunk
from fornada.db.store.tables import Worker as WorkerRow
from tests.faults.cast import Part, epochs_of
from tests.faults.real import differences, outcome
from tests.faults.stage import Stage

# To which state a job comes by an event of this kind.
STATE_BY: dict[str, JobState] = {
    "claimed": JobState.RUNNING,
    "requeued": JobState.QUEUED,
    "retried": JobState.QUEUED,
    "succeeded": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
}
# Folders and files that are only there while something is written.
UNFINISHED = ("writing", "writing.*", "removing", "*.new", "*.tmp", "*.part")


class Audit:
    """Looks at the record, the files and the processes of a stage whose workers have drained.

    Args:
        stage: where it was.
        parts: the jobs that were played with.
        references: jobs that nothing happened to.
    """

    def __init__(self, stage: Stage, parts: list[Part], references: list[Part]) -> None:
        self._stage = stage
        self._site = stage.site
        self._parts = parts
        self._references = references

    def findings(self) -> list[str]:
        """What is wrong, in sentences; none when all is well."""
        return [*self._all()]

    def _all(self) -> Iterator[str]:
        references = {part.seed: outcome(self._site, self._show(part)) for part in self._references}
        for part in self._parts:
            try:
                job = documents.job(self._site.database, self._id(part))
            except JobNotFound:
                # Nobody was told that it was accepted.
                continue
            for wrong in self._job(part, job, references):
                yield f"job {job['id']} {part.name} ({job['uid']}): {wrong}"
        yield from self._strangers()
        yield from self._left()

    def _id(self, part: Part) -> int:
        if part.job_id is not None:
            return part.job_id
        return find(self._site.database, part.uid)

    def _show(self, part: Part) -> JobAnswer:
        return documents.job(self._site.database, self._id(part))

    def _job(self, part: Part, job: JobAnswer, references: dict[int | None, Any]) -> Iterator[str]:
        if job["state"] not in part.may_end():
            yield f"is {job['state']} ({job['failure']}), asked {part.asked}"
        yield from self._events(job)
        yield from self._attempts(job)
        yield from self._epochs(part, job)
        yield from self._files(job)
        yield from self._logs(job)
        if part.seed is not None and job["state"] == "succeeded":
            yield from differences(outcome(self._site, job), references[part.seed])

    def _events(self, job: JobAnswer) -> Iterator[str]:
        """Each change of state is a legal one, from where the last one led to."""
        events = history.events(self._site.database, job["id"])
        state: JobState | None = None
        for event in events:
            kind, detail = event["kind"], event["detail"] or {}
            to = STATE_BY.get(kind)
            if kind == "cancelled" and "outcome" not in detail and state is JobState.RUNNING:
                # Asked for only.
                to = None
            if kind == "submitted":
                # Not held where what it comes after had succeeded already.
                to = JobState(detail.get("state", JobState.QUEUED))
            if kind == "held":
                to = JobState.HELD
            if kind == "released":
                to = JobState.QUEUED if state is JobState.HELD and not self._waits(detail) else None
            if to is None or to is state:
                continue
            if state is not None and to not in LEGAL_MOVES[state]:
                yield f"an event {kind} while it was {state}: {events}"
            state = to
        if state != job["state"]:
            yield f"its events lead to {state}, it is {job['state']}: {events}"
        claims = [event["detail"]["attempt"] for event in events if event["kind"] == "claimed"]
        if claims != list(range(1, job["attempts"] + 1)):
            yield f"its {job['attempts']} attempts were claimed as {claims}"

    def _waits(self, detail: dict[str, Any]) -> bool:
        return bool(detail.get("waits_for"))

    def _attempts(self, job: JobAnswer) -> Iterator[str]:
        outcomes = [each["outcome"] for each in job["executions"]]
        if len(outcomes) != job["attempts"] or None in outcomes:
            yield f"attempts without an end, or missing: {outcomes} of {job['attempts']}"
        # One that was cancelled in its last moment may have been retried.
        events = history.events(self._site.database, job["id"])
        good = [event["kind"] for event in events].count("succeeded")
        if job["state"] == "succeeded" and (good != 1 or outcomes[-1] != "succeeded"):
            yield f"it succeeded {good} times, by {outcomes}"
        if job["state"] != "succeeded" and good:
            yield f"it is {job['state']} by {outcomes}, and succeeded"

    def _epochs(self, part: Part, job: JobAnswer) -> Iterator[str]:
        rows = history.epochs(self._site.database, job["id"])
        numbers = [row["epoch"] for row in rows]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"epochs {numbers}"
        if job["epochs_run"] != len(numbers):
            yield f"{job['epochs_run']} epochs run, {len(numbers)} recorded"
        by = [row["attempt"] for row in rows]
        if by != sorted(by) or any(number > job["attempts"] for number in by):
            yield f"epochs by attempts {by}"
        if job["state"] != "succeeded":
            return
        if part.seed is None and len(numbers) != epochs_of(part.name):
            yield f"{len(numbers)} epochs, expected {epochs_of(part.name)}"
        if job["best"] is None:
            yield "no best model"

    def _files(self, job: JobAnswer) -> Iterator[str]:
        records: list[tuple[str, FileAnswer]] = [
            (artifact["kind"], artifact) for artifact in job["artifacts"]
        ]
        if job["best"] is not None:
            records.append(("best", job["best"]))
        for kind, record in records:
            path = artifacts.path(self._site.settings, record["uri"])
            if not path.exists():
                yield f"{kind} {path} is recorded and not there"
            elif path.is_file() and path.stat().st_size != record["bytes"]:
                yield f"{kind} {path} has {path.stat().st_size} bytes: {record}"
            elif path.is_file() and record["sha256"] not in (None, _sha256(path)):
                yield f"{kind} {path} has another sha256: {record}"
        if job["state"] == "succeeded":
            folder = self._folder(job, job["attempts"]).parent
            stale = [path for path in folder.glob("*/state") if self._stale(path, job)]
            kept = list(self._folder(job, job["attempts"]).glob("state/*/*.safetensors"))
            if stale or len(kept) > 1:
                yield f"states of a job that has succeeded: {stale}, {kept}"

    def _stale(self, state: Path, job: JobAnswer) -> bool:
        return state.parent != self._folder(job, job["attempts"])

    def _logs(self, job: JobAnswer) -> Iterator[str]:
        """What was shipped of a log is how it begins; all of it, when its worker saw its end."""
        database = self._site.database
        for each in job["executions"]:
            chunks = logs.log_chunks(database, job["id"], each["attempt"], 0)
            shipped = b"".join(chunk.data for chunk in chunks)
            file = self._folder(job, each["attempt"]) / "train.log"
            there = file.read_bytes() if file.exists() else b""
            if not there.startswith(shipped):
                yield f"the log of attempt {each['attempt']} was shipped as {shipped[-200:]!r}"
            if each["outcome"] != "lost" and shipped != there:
                yield (
                    f"the log of attempt {each['attempt']} ({each['outcome']}) was shipped to "
                    f"{len(shipped)} of {len(there)} bytes"
                )

    def _folder(self, job: JobAnswer, attempt: int) -> Path:
        return artifacts.attempt_folder(self._site.settings, job["uid"], attempt)

    def _strangers(self) -> Iterator[str]:
        """No job that nobody submitted, no worker that seems to live, no log kept too long."""
        with self._site.database.read() as connection:
            known = {part.uid for part in self._parts + self._references}
            for uid in connection.scalars(select(Job.c.uid)):
                if uid not in known:
                    yield f"job {uid} was submitted by nobody"
            for name, state in connection.execute(select(WorkerRow.c.name, WorkerRow.c.state)):
                if state != "gone":
                    yield f"worker {name} is {state}"
            doubled = select(LogChunk.c.job_id).group_by(
                LogChunk.c.job_id, LogChunk.c.attempt, LogChunk.c.start
            )
            for job_id in connection.scalars(doubled.having(func.count() > 1)):
                yield f"job {job_id} has two pieces of a log at one place"

    def _left(self) -> Iterator[str]:
        if self._site.processes():
            yield f"processes {self._site.processes()}"
        home = self._site.home
        for pattern in UNFINISHED:
            found = [path for path in home.rglob(pattern) if self._ended_well(path)]
            if found:
                yield f"unfinished files {found}"
        for lock in [*home.rglob("*.lock"), *(home / "workers").glob("*")]:
            if not _free(lock):
                yield f"{lock} is held"
        for password in self._passwords():
            if password in self._stage.logs():
                yield "a password stands in a worker's log"
        yield from _integrity(self._site.database_url)

    def _ended_well(self, path: Path) -> bool:
        """Whether it is of a job that has succeeded, or of none: others may be gone on from."""
        for part in self._parts + self._references:
            if part.uid in path.parts:
                try:
                    return bool(self._show(part)["state"] == "succeeded")
                except JobNotFound:
                    return True
        return True

    def _passwords(self) -> list[str]:
        postgres = self._stage.postgres
        return [self._stage.redis.password, *([postgres.password] if postgres else [])]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _free(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _integrity(url: str) -> Iterator[str]:
    if not url.startswith("sqlite"):
        return
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        for pragma in ("integrity_check", "foreign_key_check"):
            found = [row[0] for row in connection.execute(f"PRAGMA {pragma}")]
            if found not in ([], ["ok"]):
                yield f"PRAGMA {pragma}: {found}"
