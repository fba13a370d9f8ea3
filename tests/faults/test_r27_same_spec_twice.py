"""R27: the same spec twice: the same numbers; and each epoch has an order of its own."""

from collections.abc import Iterator

import numpy as np
import pytest

from fornada.worker.trainer.data.order import epoch_order
from tests.faults.real import differences, outcome, submit_real
from tests.faults.telling import tell
from tests.servers import RedisServer
from tests.worker_process import Site

EPOCHS = 50
IMAGES = 400


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    with Site(sqlite_database_url, redis_server.url) as made:
        yield made


def test_the_same_spec_gives_the_same_numbers(site: Site) -> None:
    with site.keras_worker("--slots", "2"):
        # Side by side, so that they also compete for the cores.
        ids = [submit_real(site, 1), submit_real(site, 1), submit_real(site, 2)]
        for job_id in ids:
            assert site.wait(job_id, timeout_s=120)["state"] == "succeeded"
        tell("three runs have ended, two of one seed", site, *ids)
        first, second, other = (outcome(site, site.show(job_id)) for job_id in ids)

        assert differences(second, first) == []
        # What is compared is not always the same.
        assert other["history"] != first["history"]
        assert other["best weights"] != first["best weights"]


def test_each_epoch_visits_every_image_in_an_order_of_its_own() -> None:
    orders = {tuple(epoch_order(IMAGES, 1, epoch)) for epoch in range(EPOCHS)}

    assert len(orders) == EPOCHS
    assert all(sorted(order) == list(range(IMAGES)) for order in orders)
    assert np.array_equal(epoch_order(IMAGES, 1, 7), epoch_order(IMAGES, 1, 7))
    assert not np.array_equal(epoch_order(IMAGES, 1, 7), epoch_order(IMAGES, 2, 7))
