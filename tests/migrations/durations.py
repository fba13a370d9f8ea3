"""How long each revision takes, and so how long it locks, with a number of jobs, on both databases.

    python -P -m tests.migrations.durations 1000000 FOLDER

FOLDER is a new folder on the disk that is measured. The figures in the revisions come from here.
"""

import sys
import time
from pathlib import Path

from fornada.db import migrations
from fornada.db.store.session import Database
from tests.faults.at_size import fill
from tests.servers import PostgresServer


def measure(database: Database, jobs: int) -> None:
    """Fill a new database, take it back to the first revision, and time each later one."""
    migrations.upgrade(database)
    fill(database, jobs)
    first, *later = migrations.REVISIONS
    migrations.downgrade(database, first)
    for revision in later:
        begun = time.monotonic()
        migrations.upgrade(database, revision)
        seconds = time.monotonic() - begun
        print(f"{database.dialect}, {jobs:,} jobs: {revision} took {seconds:.2f} s", flush=True)


def main(jobs: int, folder: Path) -> None:
    """Measure SQLite in the folder, then a PostgreSQL server that forgets durability."""
    folder.mkdir(parents=True)
    database = Database(f"sqlite:///{folder}/fornada.db")
    measure(database, jobs)
    database.dispose()
    with PostgresServer() as server:
        database = Database(server.url("postgres"))
        measure(database, jobs)
        database.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
