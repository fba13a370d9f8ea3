"""What a wake-up says: who may push into the queue is not trusted any further than a spec is."""

import logging
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fornada.client.submission import new_job
from fornada.db.errors import DatabaseUnreachable, JobNotFound
from fornada.db.queue import jobs
from fornada.db.reads import references
from fornada.db.records import NewJob
from fornada.db.store.session import Database
from fornada.spec import SpecProblems, from_document

log = logging.getLogger("fornada.worker")

# Who recorded a job that came by message alone.
ACTOR = "worker"

_NEW_JOB = TypeAdapter(NewJob)


class WakeUp(BaseModel):
    """There is work; of this job, when it names one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # As `uuid.UUID` prints it, or without dashes.
    uid: Annotated[str, Field(pattern=r"^[0-9a-f-]{32,36}$")] | None = None
    # The fields of `fornada.db.queue.jobs.NewJob`.
    document: dict[str, Any] | None = None


def accept(database: Database, payload: dict[str, Any]) -> None:
    """Record the job that a wake-up brings, if the record does not know it.

    Garbage is logged and dropped: the wake-up still means that somebody should look.
    """
    try:
        wake_up = WakeUp.model_validate(payload)
        if wake_up.uid is not None and wake_up.document is not None:
            _record_unknown(database, wake_up.uid, wake_up.document)
    except ValidationError as exc:
        # Without the input: it may hold anything.
        log.warning("a wake-up made no sense: %s", exc.errors(include_input=False)[0]["msg"])
    except SpecProblems as exc:
        log.warning("a wake-up brought an invalid spec: %s", exc.problems[0])
    except DatabaseUnreachable as exc:
        log.warning("a wake-up was not looked at: %s", exc)


def _record_unknown(database: Database, uid: str, document: dict[str, Any]) -> None:
    try:
        references.find(database, uid)
    except JobNotFound:
        told = _NEW_JOB.validate_python(document | {"uid": uid})
        spec = from_document(told.spec)
        # A client of an earlier version may have meant something else; the record says what holds.
        if told.spec_hash not in (spec.hash, spec.earlier_hash):
            log.warning("a wake-up brought job %s with the hash of another spec; dropped", uid)
            return
        if not told.user.isprintable():
            log.warning("a wake-up brought job %s of a user who cannot be printed; dropped", uid)
            return
        # All else follows from the spec, which has been checked.
        new = replace(new_job(spec), uid=uid, user=told.user)
        job_id = jobs.add(database, new, ACTOR)
        log.info("job %d: recorded from its message, the record did not know it", job_id)
