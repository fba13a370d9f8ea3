"""Reads the payload of a wake-up. It is checked like a spec, since anybody may have pushed it."""

import logging
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fornada.client.submission import new_job
from fornada.db.errors import DatabaseUnreachable, JobNotFound
from fornada.db.queue import jobs
from fornada.db.reads import references
from fornada.db.records import UID_PATTERN, NewJob
from fornada.db.store.session import Database
from fornada.spec import SpecProblems, from_document
from fornada.worker.wakeups.limited_log import BAD_WAKE_UPS

log = logging.getLogger("fornada.worker")

# Recorded as the actor who submitted a job, if the worker learned of the job from a wake-up only.
ACTOR = "worker"

_NEW_JOB = TypeAdapter(NewJob)


class WakeUp(BaseModel):
    """A wake-up: it tells a worker to look for a job. It may also carry the new job itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: Annotated[str, Field(pattern=UID_PATTERN)] | None = None
    # The fields of `fornada.db.queue.jobs.NewJob`.
    document: dict[str, Any] | None = None


def accept(database: Database, payload: dict[str, Any]) -> None:
    """Record the job that a wake-up brings, unless the database already has it.

    An invalid payload is logged and dropped. The caller then looks for a job all the same.
    """
    try:
        wake_up = WakeUp.model_validate(payload)
        if wake_up.uid is not None and wake_up.document is not None:
            _record_unknown(database, wake_up.uid, wake_up.document)
    except ValidationError as exc:
        # The input is left out of the log, because it may be anything.
        BAD_WAKE_UPS.warning(
            "a wake-up has an invalid payload: %s", exc.errors(include_input=False)[0]["msg"]
        )
    except SpecProblems as exc:
        BAD_WAKE_UPS.warning("a wake-up brought an invalid spec: %s", exc.problems[0])
    except DatabaseUnreachable as exc:
        log.warning("cannot check whether the job of a wake-up is recorded: %s", exc)


def _record_unknown(database: Database, uid: str, document: dict[str, Any]) -> None:
    try:
        references.find(database, uid)
    except JobNotFound:
        sent = _NEW_JOB.validate_python(document | {"uid": uid})
        spec = from_document(sent.spec)
        # A client of another version may give the same spec another meaning, and another hash.
        if sent.spec_hash not in (spec.hash, spec.earlier_hash):
            BAD_WAKE_UPS.warning(
                "a wake-up brought job %s with the hash of another spec; dropped", uid
            )
            return
        if not sent.user.isprintable():
            BAD_WAKE_UPS.warning(
                "a wake-up brought job %s with a user name that cannot be printed; dropped", uid
            )
            return
        # Everything else is derived from the spec, which has been checked.
        new = replace(new_job(spec), uid=uid, user=sent.user)
        job_id = jobs.add(database, new, ACTOR)
        log.info("job %d: recorded from its message, it was not in the database", job_id)
