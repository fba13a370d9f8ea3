"""R34: the database comes back with its clock an hour off, either way: jobs go on, and move."""

from datetime import UTC, datetime

import pytest

from tests.faults import clock
from tests.faults.telling import tell
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import QUICK, Site

# Three rounds of upkeep tell that the clock is off; then a lease, a round, and the next start.
MOVED_S = 3 * float(QUICK["UPKEEP_S"]) + float(QUICK["LEASE_S"]) + 20.0


@pytest.mark.parametrize("hours", [-1, 1])
def test_r34_a_living_attempt_goes_on_and_a_dead_one_moves(
    redis_server: RedisServer, hours: int
) -> None:
    with (
        PostgresServer() as postgres,
        Site.on(postgres, redis_server.url) as site,
        site.worker("--slots", "1") as first,
    ):
        dies = site.in_epoch(1, "wait")
        with site.worker("--slots", "cpu,cpu") as second:
            lives = site.in_epoch(1, "wait")
            postgres.stop()
            # Its lease, and its turn to do the upkeep, end by the old clock.
            first.kill()
            postgres.clock = clock.off_by(hours * clock.HOUR_S)
            postgres.start()
            assert abs(_off_s(postgres) - hours * clock.HOUR_S) < 60

            until(lambda: site.show(dies)["attempts"] == 2, MOVED_S, saw=second.text)
            tell(f"moved under a clock {hours:+d} h off", site, dies, lives)
            assert [name for name, _ in site.alive()] == [second.name]
            trained = site.show(lives)["epochs_run"]
            until(lambda: site.show(lives)["epochs_run"] > trained, 30)
            assert (site.state(lives), site.show(lives)["attempts"]) == ("running", 1)
            site.cancel(dies, lives)
            assert all((site.show(job_id)["duration_s"] or 0) >= 0 for job_id in (dies, lives))
            assert ("clock was put back, by about" in second.text()) == (hours < 0)


def _off_s(server: PostgresServer) -> float:
    with server.connect() as connection:
        row = connection.execute("SELECT now()").fetchone()
    assert row is not None
    (told,) = row
    assert isinstance(told, datetime)
    return (told - datetime.now(UTC)).total_seconds()
