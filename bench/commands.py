"""Everyday commands: seconds of each, beside the import that the history cannot do without.

    python -P -m bench.commands

`ls`, `ps`, `show`, and `submit` of one spec, on SQLite and on PostgreSQL, with a Redis that answers
and no worker. In turns with a process that imports SQLAlchemy with its ORM and ends.
"""

import sys
import tempfile
from functools import partial
from statistics import median

from bench import report, results, running
from bench.nets import Training
from bench.pictures import DATA
from bench.report import Report, Row
from tests.servers import PostgresServer, RedisServer

IMPORT = "import sqlalchemy.orm"
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
    words: dict[str, tuple[object, ...]] = {
        "ls": ("ls",),
        "ps": ("ps",),
        "show": ("show", job),
        "submit of one spec": submit,
    }
    runs = {IMPORT: partial(running.seconds, [sys.executable, "-c", IMPORT])}
    for command, each in words.items():
        runs[command] = partial(running.timed, partial(home, *each))
    measured = report.interleaved(runs, rounds)
    bound = AIM * median(measured[IMPORT])
    return report.compared(
        [
            report.row(name, what, "s", seconds, bound=None if what == IMPORT else bound)
            for what, seconds in measured.items()
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
