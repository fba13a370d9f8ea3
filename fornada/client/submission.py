"""Make the row of a new job from its spec and the terms on which it was submitted."""

import getpass
import os
import secrets
import time
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from fornada.db import printable
from fornada.db.records import NewJob

if TYPE_CHECKING:
    from fornada.spec import Problem, Spec


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted.

    Args:
        id: the number that people type.
        uid: a name that is unique across all databases.
        warning: one of these, or None: no worker was woken, because Redis is down (upkeep will
            wake one); the job with this key has another spec; a job that this one waits for has
            already failed, so this one is cancelled; an equal job was trained, but its files are
            gone.
        known_by: why an existing job was returned: `key` if it has the given key, `needed` if it
            has trained the same spec on the same data; None for a new job.
        warnings: likely mistakes in the spec and in its folders.
    """

    id: int
    uid: str
    warning: str | None = None
    known_by: Literal["key", "needed"] | None = None
    warnings: tuple["Problem", ...] = ()


# Most characters of a key and of a reason. A longer key would not fit into the database's index.
LONGEST_KEY = 255
LONGEST_REASON = 1000
# Characters of a user's name that are recorded. Linux allows 32.
_LONGEST_USER = 64


def problem_of(text: str, longest: int) -> str | None:
    """Why a text cannot be recorded as one line that people read; None if it can.

    >>> problem_of("nightly 7", 255), problem_of("a\\nb", 255), problem_of(" ", 255)
    (None, 'it holds a line break or another character that cannot be printed', 'it is empty')
    """
    if not text.strip():
        return "it is empty"
    if not text.isprintable():
        return "it holds a line break or another character that cannot be printed"
    if len(text) > longest:
        return f"it has {len(text):,} characters; expected at most {longest}"
    return None


def require_zone(name: str, value: object) -> None:
    """Refuse what is no datetime with a time zone.

    Raises:
        ValueError: says what was expected instead.
    """
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(
            f"{name} is {value!r}; expected a datetime with a time zone, for example "
            "datetime.now().astimezone() + timedelta(hours=1)"
        )


@dataclass(frozen=True)
class Terms:
    """When a job may start, besides what its spec says.

    Args:
        key: one line of at most 255 characters; a second submission with the same key returns the
            first job.
        held: hold the job until a person releases it.
        not_before: start no earlier than this; a datetime with a time zone.
        after: ids of jobs that must succeed first.
        after_any: the jobs of `after` only have to end, and need not succeed.
        continues: id of the job from whose last training state this job continues.
    Raises:
        ValueError: the key is empty, too long, or cannot be printed; `not_before` is no datetime
            with a time zone.
    """

    key: str | None = None
    held: bool = False
    not_before: datetime | None = None
    after: tuple[int, ...] = ()
    after_any: bool = False
    continues: int | None = None

    def __post_init__(self) -> None:
        if self.key is not None and (why := problem_of(self.key, LONGEST_KEY)):
            raise ValueError(f"key: {why}")
        if self.not_before is not None:
            require_zone("not_before", self.not_before)

    @property
    def waits(self) -> bool:
        """Whether the job cannot start now, so that no worker needs to be woken."""
        return self.held or self.not_before is not None or bool(self.after)


AT_ONCE = Terms()


def user() -> str:
    """The name of the user of this process, or the user's number if it has no name."""
    try:
        # It may come from the environment, so it may be anything.
        return printable.line(getpass.getuser()[:_LONGEST_USER])
    except (KeyError, OSError):
        return str(os.getuid())


def uuid7() -> str:
    """A new UUID version 7 (RFC 9562): unique, and sorts by time."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))


def new_job(spec: "Spec", terms: Terms = AT_ONCE) -> NewJob:
    """The row of a new job for this spec, with a new uid."""
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
