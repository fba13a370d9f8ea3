"""The queue's own cost, with a trainer that only pretends to train; on PostgreSQL with Redis.

    python -P -m bench.queueing [--jobs 2000] [--specs 1000] [--history 100000]

The servers are private, and started here. A worker host's own cost is measured beside: a real
worker that waits for work, and the memory of a worker without its trainers.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import event, func, insert, select

from bench import pictures, processes, report, results, running
from bench.nets import Training
from bench.report import Report, Row
from fornada.db.clock import now
from fornada.db.queue import jobs
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Attempt, Job
from tests.faults.at_size import IDLE_WORKERS, WAITING, Pages, fill, idle_workers
from tests.servers import PostgresServer, RedisServer
from tests.services import store
from tests.until import until
from tests.worker_process import Site, stub_job

# Slots of all workers together, and the processes that they are spread over.
SLOTS, WORKERS = 50, 2
# As a host has them; the tests' own are shorter.
SETTINGS = {"LEASE_S": "60", "HEARTBEAT_S": "10", "UPKEEP_S": "10", "GRACE_S": "60"}
PATIENCE_S = 600.0
# Looks at a long history. At most as many claims as jobs wait.
CLAIMS, PAGES = 2_000, 500
# The ends of a run, where not every slot is busy, are left out of its rate.
SETTLED = (0.1, 0.9)


def main() -> int:
    """Measure, print, and write."""
    parser = report.parser(__doc__)
    parser.add_argument("--jobs", type=int, default=2_000, help="stub jobs of a round")
    parser.add_argument("--one-by-one", type=int, default=300, help="stub jobs, one at a time")
    parser.add_argument("--specs", type=int, default=1_000, help="specs of one command")
    parser.add_argument("--slots", type=int, default=SLOTS)
    finished = 1_000_000 if report.FULL else 100_000
    parser.add_argument("--history", type=int, default=finished, help="jobs that have ended")
    parser.add_argument("--waiting", type=int, default=WAITING, help="jobs that wait beside them")
    parser.add_argument("--claims", type=int, default=CLAIMS, help="claims beside that history")
    parser.add_argument("--pages", type=int, default=PAGES, help="pages of it that are turned")
    parser.add_argument("--idle-workers", type=int, default=IDLE_WORKERS)
    parser.add_argument("--idle-s", type=float, default=60.0, help="how long an idle host is seen")
    asked = parser.parse_args()
    rows: list[Row] = []
    with PostgresServer() as postgres, RedisServer() as redis:
        with Site.on(postgres, redis.url) as site, _workers(site, 1, 1):
            report.say("jobs one by one")
            rows += starts([one_start(site) for _ in range(asked.one_by_one)])
        with Site.on(postgres, redis.url) as site, _workers(site, WORKERS, asked.slots):
            runs = report.interleaved({"jobs at once": lambda: rate(site, asked)}, asked.rounds)
            many = f"{asked.slots} slots in {WORKERS} processes"
            rows.append(
                report.row(
                    "stub jobs through one database",
                    many,
                    "jobs/s",
                    runs["jobs at once"],
                    bound=200.0,
                    more_is_better=True,
                )
            )
        with Site.on(postgres, redis.url) as site:
            runs = report.interleaved({"submit": lambda: submit(site, asked.specs)}, asked.rounds)
            name = f"{asked.specs:,} specs in one command"
            rows.append(report.row("fornada submit", name, "s", runs["submit"], bound=5.0))
        with Site.on(postgres, redis.url) as site:
            rows += at_size(site, asked)
        with Site.on(postgres, redis.url) as site:
            rows += idle(site, asked.idle_s)
    results.publish(
        Report(
            name="queueing",
            title="The queue's own cost",
            about="A stub trainer that ends at once, PostgreSQL and Redis on the same machine. "
            "From submit to started is by the database's clock. An idle host is a real worker "
            "with Keras loaded, all its processes together.",
            rows=rows,
            sizes={"jobs": asked.jobs, "slots": asked.slots, "rounds": asked.rounds},
            notes=["the private PostgreSQL runs with fsync off"],
        ),
        asked.out,
    )
    return 0


@contextmanager
def _workers(site: Site, count: int, slots: int) -> Iterator[None]:
    """Workers with stub trainers, spread over homes, all their slots idle."""
    with ExitStack() as stack:
        more = {f"FORNADA_{name}": value for name, value in SETTINGS.items()}
        homes = [site, *(stack.enter_context(site.neighbour()) for _ in range(count - 1))]
        for home in homes:
            stack.enter_context(home.worker("--slots", str(slots // count), **more))
        for home in homes:
            home.live_factory()
        yield


def one_start(site: Site) -> float:
    """Seconds from submit to started of a job that finds an idle slot."""
    job_id = site.add("quick")
    site.wait(job_id, timeout_s=PATIENCE_S)
    wanted = select(Job.c.submitted_at, Attempt.c.started_at).join(
        Attempt, Attempt.c.job_id == Job.c.id
    )
    with site.database.read() as connection:
        submitted, started = connection.execute(wanted.where(Job.c.id == job_id)).one()
    if started is None:
        raise RuntimeError(f"job {job_id} ended without a start")
    return (started - submitted).total_seconds()


def starts(seconds: Iterable[float]) -> list[Row]:
    """The median and the last percent."""
    ms = [each * 1e3 for each in seconds]
    group, name = "submit to started", "an idle slot waits"
    return [
        report.at_quantile(0.5, group, name, "ms", ms, bound=60.0),
        report.at_quantile(0.99, group, name, "ms", ms, bound=250.0),
    ]


def rate(site: Site, asked: Any) -> float:
    """Jobs a second, of so many that are there at once."""
    first = max(_ended(site), default=0.0)
    rows = [jobs.row_of(stub_job("quick", site.queue)) for _ in range(asked.jobs)]
    with site.database.begin() as connection:
        new = insert(Job).values(submitted_at=now()).returning(Job.c.uid)
        uids = connection.scalars(new, rows).all()
    for uid in uids[: asked.slots]:
        site.publisher.publish(site.queue, uid, None)
    until(lambda: not _left(site), PATIENCE_S)
    ended = sorted(at for at in _ended(site) if at > first)
    low, high = (int(share * (len(ended) - 1)) for share in SETTLED)
    return (high - low) / (ended[high] - ended[low])


def _left(site: Site) -> int:
    with site.database.read() as connection:
        wanted = select(func.count()).where(Job.c.state != JobState.SUCCEEDED)
        return connection.scalar(wanted.select_from(Job)) or 0


def _ended(site: Site) -> list[float]:
    with site.database.read() as connection:
        found = connection.scalars(select(Job.c.finished_at).where(Job.c.finished_at.is_not(None)))
        return [at.timestamp() for at in found if at is not None]


def submit(site: Site, count: int) -> float:
    """Seconds of one `fornada submit` of so many files."""
    text = Training("dense", pictures.DATA).text()
    files = [site.home / f"{number}.yaml" for number in range(count)]
    for number, file in enumerate(files):
        file.write_text(text.replace("seed: 1", f"seed: {number}"))
    words = ["submit", "--quiet", "--wait-for-worker", "--queue", site.queue]
    return running.seconds([running.PROGRAM, *words, *files], **site.environment())


def at_size(site: Site, asked: Any) -> list[Row]:
    """What a claim and a page take in SQL, with a long history and many workers that look."""
    finished, idle = asked.history, asked.idle_workers
    report.say(f"{finished:,} jobs of history, {idle} idle workers")
    fill(site.database, finished, asked.waiting)
    spent = _in_sql(site.database)
    page = Pages(site.database)

    def claim() -> None:
        if store.claim(site.database) is None:
            raise RuntimeError("none of the jobs that wait was found")

    with idle_workers(site.database_url, idle):
        taken = {
            "a claim": _each(spent, asked.claims, claim),
            "a page": _each(spent, asked.pages, page),
        }
    group = f"in SQL, beside {finished:,} jobs of history and {idle} idle workers"
    return [
        report.at_quantile(0.99, group, name, "ms", ms, bound=20.0) for name, ms in taken.items()
    ]


def _in_sql(database: Database) -> list[float]:
    """Grows by the milliseconds of each statement, from sending it to its answer."""
    spent: list[float] = []

    @event.listens_for(database._engine, "before_cursor_execute")
    def begin(connection: Any, *_: object) -> None:
        connection.info["begin"] = time.perf_counter()

    @event.listens_for(database._engine, "after_cursor_execute")
    def end(connection: Any, *_: object) -> None:
        spent.append((time.perf_counter() - connection.info["begin"]) * 1e3)

    return spent


def _each(spent: list[float], count: int, call: Callable[[], None]) -> list[float]:
    """Milliseconds that each of so many calls spent in SQL."""
    taken = []
    for _ in range(count):
        spent.clear()
        call()
        taken.append(sum(spent))
    return taken


def idle(site: Site, seconds: float) -> list[Row]:
    """What a worker host costs that waits for work."""
    group = "an idle worker host, one slot"
    with site.keras_worker(
        "--slots", "1", **{f"FORNADA_{k}": v for k, v in SETTINGS.items()}
    ) as worker:
        factory = site.live_factory()
        until(lambda: processes.at_rest(site.home), PATIENCE_S, saw=worker.text)
        report.say(f"an idle host, {seconds:g} s")
        share = processes.cpu_s(site.home, seconds) / seconds * 100
        bare = [pid for pid in site.processes() if pid != factory]
        memory = sum(map(processes.resident_bytes, bare)) / 1e6
    return [
        report.row(group, "processor, of one core", "%", [share], bound=1.0),
        report.row(group, "memory without trainers", "MB", [memory], bound=150.0),
    ]


if __name__ == "__main__":
    sys.exit(main())
