"""The history at size: twenty questions that the command line can ask, and how they grow.

    python -P -m bench.history [--jobs 10000,100000] [--epochs 20]

Each database is filled by a generator, then asked. Times are of the whole call, from the question
to its answer as plain values: SQL, and the rows made into documents.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, event, text

from bench import report, results
from bench.report import Report, Row
from fornada.db import migrations
from fornada.db.reads import documents, history, live, pages
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import (
    Artifact,
    Attempt,
    Epoch,
    Event,
    Job,
    JobTag,
    MetricSummary,
)
from tests.servers import PostgresServer

PROMISED_MS = 50.0
# Rows of one insert.
AT_ONCE = 10_000
# One job in so many has the rare tag; each has the common one.
RARE = 5_000
# Jobs that wait, whatever the size of the history; half of what `ps` shows at most.
WAITING = 500
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
BETWEEN = timedelta(seconds=30)
# The page before a deep one is found by walking there, in steps as long as they may be.
STEP = 1000
SQLITE_JOURNALS = ("WAL", "TRUNCATE")


def main() -> int:
    """Fill, ask, print, and write."""
    parser = report.parser(__doc__)
    sizes = "10000,100000" + (",1000000" if report.FULL else "")
    parser.add_argument("--jobs", default=sizes, help=f"sizes; default: {sizes}")
    parser.add_argument("--epochs", type=int, default=20, help="of each job")
    parser.add_argument("--times", type=int, default=20, help="how often each question is asked")
    asked = parser.parse_args()
    rows: list[Row] = []
    with PostgresServer() as postgres:
        for size in map(int, asked.jobs.split(",")):
            for name, database in databases(postgres, size, asked.epochs):
                report.say(f"{name}: {size:,} jobs: asking")
                rows += ask(name, database, size, asked.times)
    results.publish(
        Report(
            name="history",
            title="Questions to the history",
            about=f"Jobs with {asked.epochs} epochs each. Of every question the time that 95 % of "
            f"its answers took less than, after one that is not counted.",
            rows=rows,
            sizes={"jobs": asked.jobs, "epochs": asked.epochs, "times": asked.times},
            notes=_worst(rows),
        ),
        asked.out,
    )
    return 0


def _worst(rows: Sequence[Row]) -> list[str]:
    found = []
    for group, each in report.groups(rows).items():
        worst = max(each, key=lambda row: row.value)
        found.append(f"{group}: the worst is {worst.name}, {report.number(worst.value)} ms")
    return found


def databases(postgres: PostgresServer, size: int, epochs: int) -> Iterator[tuple[str, Database]]:
    """Each kind of database, filled; it is gone when the next one comes."""
    name = f"history_{size}"
    postgres.execute(f"CREATE DATABASE {name}")
    with _filled(postgres.url(name), size, epochs) as database:
        yield "PostgreSQL", database
    postgres.execute(f"DROP DATABASE {name}")
    with tempfile.TemporaryDirectory(prefix="fornada-bench-") as folder:
        url = f"sqlite:///{folder}/fornada.db"
        with _filled(url, size, epochs):
            pass
        for journal in SQLITE_JOURNALS:
            database = Database(url)
            _with_journal(database, journal)
            yield f"SQLite, {journal}", database
            database.dispose()


@contextmanager
def _filled(url: str, size: int, epochs: int) -> Iterator[Database]:
    database = Database(url, answer_timeout_s=3600.0)
    migrations.prepare(database, may_upgrade=True)
    begin = time.monotonic()
    fill(database, size, epochs)
    report.say(f"{database.dialect}: {size:,} jobs written in {time.monotonic() - begin:.0f} s")
    yield database
    database.dispose()


def _with_journal(database: Database, journal: str) -> None:
    """Use this journal, whatever the installed version of SQLite is trusted with."""

    @event.listens_for(database._engine, "connect")
    def connected(connection: Any, record: object) -> None:
        (mode,) = connection.execute(f"PRAGMA journal_mode = {journal}").fetchone()
        if mode.upper() != journal:
            raise RuntimeError(f"SQLite uses the journal {mode}, not {journal}")


def fill(database: Database, size: int, epochs: int) -> None:
    """Jobs that ended, each with its epochs and summaries, and some that wait."""
    for begin in range(1, size + 1, AT_ONCE):
        numbers = range(begin, min(begin + AT_ONCE, size + 1))
        _write(database, Job, [_job(number, epochs) for number in numbers])
        _write(database, Attempt, [_attempt(number) for number in numbers])
        _write(database, JobTag, [tag for number in numbers for tag in _tags(number)])
        _write(database, Epoch, [row for number in numbers for row in _epochs(number, epochs)])
        _write(
            database,
            MetricSummary,
            [row for number in numbers for row in _summaries(number, epochs)],
        )
        _write(database, Event, [row for number in numbers for row in _events(number)])
        _write(database, Artifact, [row for number in numbers for row in _artifacts(number)])
    waiting = range(size + 1, size + 1 + WAITING)
    _write(database, Job, [_job(number, epochs, waits=True) for number in waiting])
    with database.begin(lock_wait_s=60.0) as connection:
        # As autovacuum would have done in the months that such a history takes.
        connection.execute(text("ANALYZE"))


def _write(database: Database, table: Table[Any], rows: Sequence[dict[str, Any]]) -> None:
    """Many rows at once, by the quickest way the database has."""
    columns = {name: table.c[name] for name in rows[0]}
    with database.begin(lock_wait_s=60.0) as connection:
        kinds = [column.type.dialect_impl(connection.dialect) for column in columns.values()]
        bind = [kind.bind_processor(connection.dialect) for kind in kinds]
        values = (
            [to(value) if to else value for to, value in zip(bind, row.values(), strict=True)]
            for row in rows
        )
        driver: Any = connection.connection.driver_connection
        names = ", ".join(f'"{name}"' for name in columns)
        if database.dialect == "postgresql":
            with driver.cursor() as cursor:
                # The generator's rows fit together; to look each one up takes longer than all.
                cursor.execute("SET LOCAL session_replication_role = replica")
                into = f"COPY {table.name} ({names}) FROM STDIN"
                with cursor.copy(into) as copy:
                    for row in values:
                        copy.write_row(row)
        else:
            marks = ", ".join("?" * len(columns))
            into = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608
            driver.executemany(into, values)


def _job(number: int, epochs: int, *, waits: bool = False) -> dict[str, Any]:
    """Job `number`, the same whenever it is made."""
    submitted = BEGIN + number * BETWEEN
    failed = number % 50 == 0
    duration = 10.0 + _spread(number) * 600
    state = JobState.QUEUED if waits else JobState.FAILED if failed else JobState.SUCCEEDED
    return {
        "id": number,
        "uid": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}",
        "name": f"digits-{number % 1000}",
        "state": state.value,
        "queue": "default",
        "priority": number % 5,
        "gpus": "auto",
        "spec": {"name": "digits", "fit": {"epochs": epochs}, "data": {"train": "Data/Train"}},
        "spec_hash": f"{number % 10_000:064x}",
        "seed": number % 3,
        "user": f"user-{number % 20}",
        "retry_attempts": 3,
        "submitted_at": submitted,
        "started_at": None if waits else submitted + timedelta(seconds=1),
        "finished_at": None if waits else submitted + timedelta(seconds=1 + duration),
        "duration_s": None if waits else duration,
        "attempt": 0 if waits else 1,
        "worker": None if waits else f"worker-{number % 8}",
        "epochs_run": 0 if waits else epochs,
        "monitor": "val_loss",
        "monitor_mode": "min",
        "best_value": None if waits else _spread(number),
        "best_epoch": None if waits else epochs,
        "failure_code": "DIVERGED" if failed and not waits else None,
    }


def _attempt(number: int) -> dict[str, Any]:
    at = BEGIN + number * BETWEEN
    return {
        "job_id": number,
        "number": 1,
        "worker": f"worker-{number % 8}",
        "host": f"host-{number % 8}",
        "slot": "cpu:0",
        "claimed_at": at,
        "started_at": at + timedelta(seconds=1),
        "outcome": "failed" if number % 50 == 0 else "succeeded",
    }


def _tags(number: int) -> list[dict[str, Any]]:
    tags = {"project": "digits", "try": str(number % 100)}
    if number % RARE == 1:
        tags["keep"] = "yes"
    return [{"job_id": number, "name": name, "value": value} for name, value in tags.items()]


def _epochs(number: int, epochs: int) -> list[dict[str, Any]]:
    return [
        {
            "job_id": number,
            "number": epoch,
            "attempt": 1,
            "seconds": 1.5,
            "images_per_s": 36_000.0,
            "learning_rate": 0.001,
            "metrics": {name: _spread(number) / epoch for name in METRICS},
        }
        for epoch in range(1, epochs + 1)
    ]


METRICS = ("loss", "val_loss", "accuracy", "val_accuracy")


def _summaries(number: int, epochs: int) -> list[dict[str, Any]]:
    value = _spread(number)
    return [
        {
            "job_id": number,
            "name": name,
            "last": value / epochs,
            "last_epoch": epochs,
            "min": value / epochs,
            "min_epoch": epochs,
            "max": value,
            "max_epoch": 1,
        }
        for name in METRICS
    ]


KINDS = ("submitted", "claimed", "started", "succeeded")


def _events(number: int) -> list[dict[str, Any]]:
    at, first = BEGIN + number * BETWEEN, number * len(KINDS)
    return [
        {
            "id": first + place,
            "job_id": number,
            "at": at + timedelta(seconds=place),
            "kind": kind,
            "actor": f"worker-{number % 8}",
            "detail": {"attempt": 1, "slot": "cpu:0"},
        }
        for place, kind in enumerate(KINDS)
    ]


def _artifacts(number: int) -> list[dict[str, Any]]:
    names = ("best_model", "best.keras"), ("log", "train.log"), ("spec", "spec.yaml")
    return [
        {
            "job_id": number,
            "attempt": 1,
            "uri": f"artifacts:{number:032x}/attempt-1/{name}",
            "kind": kind,
            "bytes": 100_000,
            "sha256": f"{number:064x}",
        }
        for kind, name in names
    ]


def _spread(number: int) -> float:
    """A number of 0..1 that looks random, and never twice the same."""
    return number * 0x9E3779B1 % 2**32 / 2**32


def questions(database: Database, size: int) -> dict[str, Callable[[int], object]]:
    """Twenty, by the command that asks; each is told the how manieth time it is asked."""

    def page(**asked: Any) -> Callable[[int], object]:
        return lambda turn: pages.page(database, **asked)

    def deep(**asked: Any) -> Callable[[int], object]:
        cursor = _halfway(database, size, asked)
        return lambda turn: pages.page(database, after=cursor, **asked)

    def some(turn: int) -> int:
        return 1 + (turn * 7919) % size

    recent = BEGIN + size * BETWEEN - timedelta(days=1)
    common, rare = {"project": "digits"}, {"keep": "yes"}
    lowest: dict[str, Any] = {"sort": "metric:val_loss", "descending": False}
    highest: dict[str, Any] = {"sort": "metric:val_accuracy"}
    return {
        "ps": lambda turn: live.alive(database),
        "ls": page(),
        "ls --state succeeded": page(states=[JobState.SUCCEEDED]),
        "ls --state failed": page(states=[JobState.FAILED]),
        "ls --state running": page(states=[JobState.RUNNING]),
        "ls --name digits-7": page(name="digits-7"),
        "ls --name 'digits-7*'": page(name="digits-7*"),
        "ls --since, the last day": page(since=recent),
        "ls --tag, of every job": page(tags=common),
        "ls --tag, of few": page(tags=rare),
        "ls --sort duration": page(sort="duration"),
        "ls --sort metric, the lowest": page(**lowest),
        "ls --sort metric, the highest": page(**highest),
        "ls --tag --sort metric, of every job": page(tags=common, **lowest),
        "ls --tag --sort metric, of few": page(tags=rare, **lowest),
        "ls --state failed --sort metric": page(states=[JobState.FAILED], **lowest),
        "ls --cursor, in the middle": deep(),
        "ls --cursor --sort metric, in the middle": deep(**lowest),
        "show": lambda turn: _shown(database, some(turn)),
        "metrics": lambda turn: history.epochs(database, some(turn)),
    }


def _shown(database: Database, job_id: int) -> object:
    """All that the command reads of a job."""
    document = history.state(database, job_id), documents.job(database, job_id)
    return document, history.epochs(database, job_id), history.events(database, job_id)


def _halfway(database: Database, size: int, asked: dict[str, Any]) -> str | None:
    """The cursor of the page in the middle."""
    cursor: str | None = None
    for _ in range(max(1, size // 2 // STEP)):
        cursor = pages.page(database, after=cursor, limit=min(STEP, size), **asked).next
    return cursor


def ask(name: str, database: Database, size: int, times: int) -> list[Row]:
    """Every question so often."""
    found = []
    for question, answer in questions(database, size).items():
        answer(0)
        taken = []
        for turn in range(1, times + 1):
            begin = time.perf_counter()
            answer(turn)
            taken.append((time.perf_counter() - begin) * 1e3)
        group = f"{name}: {size:,} jobs"
        found.append(
            report.at_quantile(0.95, group, question, "ms", taken, bound=PROMISED_MS, size=size)
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
