"""From a spec to a job: overrides by flags, a uid, the row that is inserted."""

import getpass
import json
import os
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db.jobs import NewJob

if TYPE_CHECKING:
    from fornada.spec import Spec


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted.

    Args:
        id: the number people type.
        uid: unique everywhere.
        warning: why no worker knows of it yet, when Redis was away; upkeep will tell them.
    """

    id: int
    uid: str
    warning: str | None = None


def changes_of(  # noqa: PLR0913 - each is a flag of its own
    changes: Iterable[str] = (),
    *,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    queue: str | None = None,
    priority: int | None = None,
    time_limit: str | None = None,
) -> tuple[str, ...]:
    """Overrides of a spec for what has a flag or an argument of its own; these win."""
    # Quoted as JSON, which YAML reads the same: a name such as `1` stays text.
    named = {
        "name": None if name is None else json.dumps(name),
        "resources.queue": None if queue is None else json.dumps(queue),
        "resources.priority": priority,
        "resources.time_limit": time_limit,
    } | {f"tags.{key}": json.dumps(value) for key, value in (tags or {}).items()}
    return (*changes, *(f"{key}={value}" for key, value in named.items() if value is not None))


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


def new_job(spec: "Spec") -> NewJob:
    """The row of a job for this spec, with a new uid."""
    return NewJob(
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
