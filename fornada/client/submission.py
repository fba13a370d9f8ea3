"""From a spec to a job: a uid, and the row that is inserted."""

import getpass
import os
import secrets
import time
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from fornada.db.records import NewJob

if TYPE_CHECKING:
    from fornada.spec import Problem, Spec


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted.

    Args:
        id: the number people type.
        uid: unique everywhere.
        warning: why no worker knows of it yet, when Redis was away: upkeep will tell them; that the
            job with this key has another spec; that a job it waits for has ended in vain already;
            that an equal job was trained, and its files are gone.
        warnings: what its spec says and most likely does not mean.
        known_by: how it was found to be no new job: its `key`, or `needed`, since it has trained
            the same spec on the same data; None for a new job.
    """

    id: int
    uid: str
    warning: str | None = None
    known_by: Literal["key", "needed"] | None = None
    warnings: tuple["Problem", ...] = ()


@dataclass(frozen=True)
class Terms:
    """When a job may start, besides what its spec says.

    Args:
        key: any text; a second job with the same key is the first one.
        held: wait until a person releases it.
        not_before: not earlier than this, aware.
        after: ids of jobs that must have succeeded.
        after_any: any end of those jobs will do.
        continues: id of the job from whose final state it goes on.
    """

    key: str | None = None
    held: bool = False
    not_before: datetime | None = None
    after: tuple[int, ...] = ()
    after_any: bool = False
    continues: int | None = None

    @property
    def waits(self) -> bool:
        """Whether no worker need hear of it now."""
        return self.held or self.not_before is not None or bool(self.after)


AT_ONCE = Terms()


def user() -> str:
    """The name of whoever runs this, or the number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def uuid7() -> str:
    """A new UUID version 7 (RFC 9562): sorts by time, unique everywhere."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))


def new_job(spec: "Spec", terms: Terms = AT_ONCE) -> NewJob:
    """The row of a job for this spec, with a new uid."""
    job = NewJob(
        uid=uuid7(),
        name=spec.name,
        queue=spec.resources.queue,
        priority=spec.resources.priority,
        gpus=str(spec.resources.gpus),
        spec=spec.document(),
        spec_hash=spec.hash,
        seed=spec.data.seed,
        user=user(),
        tags=dict(spec.tags),
        time_limit_s=spec.resources.time_limit_s,
        retry_attempts=spec.retry.attempts,
        monitor=spec.monitor.name,
        monitor_mode=spec.monitor.mode,
    )
    return replace(job, **vars(terms))
