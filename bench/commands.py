"""Everyday commands: seconds of each, beside the imports that they cannot do without.

    python -P -m bench.commands

`ls`, `ps`, `show`, `wait` for a job that has ended, and `submit` of one spec, on SQLite and on
PostgreSQL, with a Redis that answers and no worker. In turns with a process that imports SQLAlchemy
with its ORM and ends, and with one that imports what `submit` needs to send a message of Celery's.
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from statistics import median

from bench import report, results, running
from bench.nets import Training
from bench.pictures import DATA
from bench.report import Report, Row
from tests.servers import PostgresServer, RedisServer

IMPORT = "import sqlalchemy.orm"
SENDING = "import sqlalchemy, click, yaml, celery.app.base, celery.app.amqp, kombu.transport.redis"
# Aim: at most so many times as long as the import.
AIM = 1.3
DATABASE = "commands"


def main() -> int:
    """Measure, print, and write."""
    parser = report.parser(__doc__)
    asked = parser.parse_args()
    rows: list[Row] = []
    with (
        RedisServer() as redis,
        PostgresServer() as postgres,
        tempfile.TemporaryDirectory() as made,
    ):
        postgres.execute(f"CREATE DATABASE {DATABASE}")
        urls = {"SQLite": f"sqlite:///{made}/fornada.db", "PostgreSQL": postgres.url(DATABASE)}
        for name, url in urls.items():
            home = running.Home(
                FORNADA_DATABASE_URL=url, FORNADA_BROKER_URL=redis.url, FORNADA_DATA_ROOT="/"
            )
            with home:
                rows += _rows(name, home, asked.rounds)
    results.publish(
        Report(
            name="commands",
            title="Commands, seconds",
            about="From the start of the process to its end, without a worker. The aim is "
            f"{AIM} times the import.",
            rows=rows,
            sizes={"rounds": asked.rounds},
            notes=[],
        ),
        asked.out,
    )
    return 0


def _rows(name: str, home: running.Home, rounds: int) -> list[Row]:
    home("db", "upgrade")
    spec = home.spec(Training("dense", DATA))
    submit = ("submit", "--quiet", "--wait-for-worker", spec)
    job = home(*submit).strip()
    home("cancel", job)
    history: dict[str, tuple[object, ...]] = {
        "ls": ("ls",),
        "ps": ("ps",),
        "show": ("show", job),
        "wait": ("wait", job),
    }
    groups: dict[str, dict[str, tuple[object, ...]]] = {
        IMPORT: history,
        SENDING: {"submit of one spec": submit},
    }
    runs: dict[str, Callable[[], float]] = {}
    for imports, commands in groups.items():
        runs[imports] = partial(running.seconds, [sys.executable, "-c", imports])
        runs |= {what: partial(home.timed, words) for what, words in commands.items()}
    measured = report.interleaved(runs, rounds)
    rows = []
    for imports, commands in groups.items():
        group, bound = f"{name}, {imports}", AIM * median(measured[imports])
        rows.append(report.row(group, "the import", "s", measured[imports]))
        rows += [report.row(group, what, "s", measured[what], bound=bound) for what in commands]
    return report.compared(rows)


if __name__ == "__main__":
    sys.exit(main())
