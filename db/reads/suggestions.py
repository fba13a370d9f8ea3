"""What a shell may complete: jobs, tags, queues and workers, asked for while somebody types.

SQLAlchemy takes longer to import than all of these queries take, so they go to the driver. A
database that is away, or that has another schema, has nothing to suggest.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fornada.db import printable
from fornada.db.sqlite_files import read_only_uri
from fornada.db.states import LIVE_STATES, JobState

# Seconds to wait for a database that is busy or far away.
BUSY_S = 0.2
CONNECT_S = 2
STATEMENT_MS = 500
# Nobody reads a longer list.
MOST = 100
# The jobs whose tags are looked at: those that were submitted last.
LATEST = 2_000

# The condition for rows about these jobs.
_OF_LATEST = f"job_id > (SELECT max(id) FROM job) - {LATEST}"  # noqa: S608 - our own number

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Suggestion:
    """A value that a person may mean, and what it is."""

    value: str
    about: str


def jobs(url: str, states: Iterable[JobState]) -> list[Suggestion]:
    """The ids of the jobs that were submitted last, the latest first.

    Args:
        url: the SQLAlchemy URL of the database.
        states: only jobs in these states.
    """
    wanted = ", ".join(f"'{state.value}'" for state in sorted(states))
    found = _rows(
        url,
        f"SELECT id, name, state FROM job WHERE state IN ({wanted}) "  # noqa: S608 - our own words
        f"ORDER BY id DESC LIMIT {MOST}",
    )
    return [_suggested(number, f"{name} {state}") for number, name, state in found]


def tags(url: str) -> list[Suggestion]:
    """The tags of the jobs that were submitted last, each as `key=value`."""
    found = _rows(
        url,
        "SELECT name, value, count(*) FROM job_tag "  # noqa: S608 - our own numbers
        f"WHERE {_OF_LATEST} "
        f"GROUP BY name, value ORDER BY name, value LIMIT {MOST}",
    )
    return [_suggested(f"{name}={value}", _jobs(count)) for name, value, count in found]


def queues(url: str) -> list[Suggestion]:
    """The queues that have jobs, a pause, a limit or a worker."""
    live = ", ".join(f"'{state.value}'" for state in sorted(LIVE_STATES))
    rows = _rows(
        url,
        f"SELECT queue, count(*) FROM job WHERE state IN ({live}) "  # noqa: S608 - our own words
        "GROUP BY queue",
    )
    found = {str(name): _jobs(count) for name, count in rows}
    for (name,) in _rows(url, "SELECT name FROM queue"):
        found.setdefault(str(name), "no jobs")
    for (served,) in _rows(url, "SELECT queues FROM worker"):
        for name in json.loads(served) if isinstance(served, str) else served:
            found.setdefault(str(name), "no jobs")
    return [_suggested(name, about) for name, about in sorted(found.items())]


def metrics(url: str) -> list[Suggestion]:
    """The metrics of the jobs that were submitted last, each as `metric:name`."""
    found = _rows(
        url,
        "SELECT name, count(*) FROM metric_summary "  # noqa: S608 - our own numbers
        f"WHERE {_OF_LATEST} "
        f"GROUP BY name ORDER BY name LIMIT {MOST}",
    )
    return [_suggested(f"metric:{name}", _jobs(count)) for name, count in found]


def workers(url: str) -> list[Suggestion]:
    """The workers that reported last, the latest first, and their hosts."""
    found = list(
        _rows(url, f"SELECT name, host, state FROM worker ORDER BY seen_at DESC LIMIT {MOST}")  # noqa: S608
    )
    hosts = dict.fromkeys(str(host) for _, host, _ in found)
    return [
        *(_suggested(name, f"{state} on {host}") for name, host, state in found),
        *(_suggested(host, "all workers of this host") for host in hosts),
    ]


def specification(url: str, job: str) -> dict[str, Any] | None:
    """The recorded spec of a job; None if there is none.

    Args:
        url: the SQLAlchemy URL of the database.
        job: an id, or `@last`.
    """
    if job == "@last":
        rows = _rows(url, "SELECT spec FROM job ORDER BY id DESC LIMIT 1")
    elif job.isdecimal() and job.isascii():
        rows = _rows(url, f"SELECT spec FROM job WHERE id = {int(job)}")  # noqa: S608 - a number
    else:
        return None
    for (spec,) in rows:
        document = json.loads(spec) if isinstance(spec, str | bytes) else spec
        return printable.document(document) if isinstance(document, dict) else None
    return None


def _suggested(value: object, about: str) -> Suggestion:
    """A suggestion whose texts a shell can show: each is one line that controls no terminal."""
    return Suggestion(printable.line(str(value)), printable.line(about))


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _rows(url: str, statement: str) -> Iterator[Row] | Sequence[Row]:
    if url.startswith("sqlite"):
        return _from_file(url, statement)
    return _from_server(url, statement)


def _from_file(url: str, statement: str) -> list[Row]:
    file = Path(unquote(url.partition(":///")[2].partition("?")[0]))
    try:
        # Never creates the file.
        connection = sqlite3.connect(read_only_uri(file), uri=True, timeout=BUSY_S)
        with closing(connection):
            return connection.execute(statement).fetchall()
    except sqlite3.Error:
        return []


def _from_server(url: str, statement: str) -> list[Row]:
    import psycopg

    try:
        with psycopg.connect(
            re.sub(r"^postgresql\+\w+:", "postgresql:", url),
            connect_timeout=CONNECT_S,
            options=f"-c statement_timeout={STATEMENT_MS}",
        ) as connection:
            # The statement has no parameters, and is put together from our own words.
            return connection.execute(statement.encode()).fetchall()
    except psycopg.Error:
        return []
