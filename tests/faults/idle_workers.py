"""`python -m tests.faults.idle_workers COUNT`: workers without work, for R28; the URL on stdin.

Each has its own connection and does at each beat what a real one does: says that it lives, asks
for the upkeep, looks for a job of its queue, which has none.
"""

import sys
import threading
import time

from fornada.db.answers import SlotAnswer
from fornada.db.queue import claims, upkeep, workers
from fornada.db.queue.workers import WorkerFacts
from fornada.db.states import WorkerState
from fornada.db.store.session import Database

# As `FORNADA_UPKEEP_S` is by default.
BEAT_S = 10.0


def main() -> None:
    """Beat until standard input closes; prints a line when all have beaten once."""
    count, url = int(sys.argv[1]), sys.stdin.readline().strip()
    databases = [Database(url) for _ in range(count)]
    closed = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        closed.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    begin = time.monotonic()
    for number, database in enumerate(databases):
        _beat(database, number)
    print(f"{count} workers after {time.monotonic() - begin:.1f} s", flush=True)
    turn = 0
    while not closed.wait(BEAT_S / count):
        _beat(databases[turn % count], turn % count)
        turn += 1


def _beat(database: Database, number: int) -> None:
    name = f"idle-{number}"
    slots: list[SlotAnswer] = [{"name": "cpu:0", "gpu": False, "job": None}]
    facts = WorkerFacts(name, name, 1, slots, ["elsewhere"], [], {}, WorkerState.IDLE)
    workers.beat(database, facts)
    upkeep.take(database, name, 2 * BEAT_S)
    claims.claim(
        database, worker=name, slot="cpu:0", queues=["elsewhere"], has_gpu=False, lease_s=60.0
    )


if __name__ == "__main__":
    main()
