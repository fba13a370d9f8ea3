"""An attempt's log in the record: byte for byte, while it grows, up to its limit."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fornada import artifacts
from fornada.db.queue import logs
from fornada.worker.attempts.log_shipping import MOST_BYTES
from tests.stub_trainer import chatter
from tests.until import until
from tests.worker_process import Site, WorkerProcess

# Promised are two seconds; the rest is for two cores that others keep busy.
SHIPPED_S = 5.0


@pytest.fixture(scope="module")
def worker(site: Site) -> Iterator[WorkerProcess]:
    """One worker for the module."""
    with site.worker("--slots", "1") as running:
        yield running


@pytest.mark.usefixtures("worker")
def test_a_log_is_in_the_record_within_seconds(site: Site) -> None:
    job_id = site.in_epoch(1, "wait")
    for _ in range(3):
        size = _file(site, job_id, 1).stat().st_size
        seen = time.monotonic()
        until(lambda: len(_shipped(site, job_id, 1)) >= size, SHIPPED_S)  # noqa: B023
        print(f"{size} bytes after {time.monotonic() - seen:.2f} s")
    site.cancel(job_id)
    assert _shipped(site, job_id, 1) == _file(site, job_id, 1).read_bytes()


@pytest.mark.usefixtures("worker")
def test_any_bytes_are_shipped_as_they_are(site: Site) -> None:
    # More than a chunk, and cut anywhere.
    job_id = site.add("chatter-200000")
    assert site.wait(job_id)["state"] == "succeeded"

    data = _shipped(site, job_id, 1)
    assert data == _file(site, job_id, 1).read_bytes()
    assert chatter(1, 200_000) in data
    chunks = logs.log_chunks(site.database, job_id, 1, 0)
    assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert all(chunk.data for chunk in chunks)
    assert logs.log_chunks(site.database, job_id, 1, 2) == chunks[2:]


@pytest.mark.usefixtures("worker")
def test_every_attempt_has_its_own_log_to_its_last_byte(site: Site) -> None:
    job_id = site.add("crash-2")
    job = site.wait(job_id)

    assert (job["state"], job["attempts"]) == ("succeeded", 3)
    for attempt in (1, 2, 3):
        data = _shipped(site, job_id, attempt)
        assert data == _file(site, job_id, attempt).read_bytes()
        assert data.startswith(b"stub: crash-2\n")


@pytest.mark.usefixtures("worker")
def test_a_log_over_its_limit_ends_with_an_empty_chunk(site: Site) -> None:
    job_id = site.add("chatter-3000000")
    assert site.wait(job_id, timeout_s=60)["state"] == "succeeded"

    file = _file(site, job_id, 1).read_bytes()
    *chunks, last = logs.log_chunks(site.database, job_id, 1, 0)
    assert len(file) > MOST_BYTES
    assert b"".join(chunk.data for chunk in chunks) == file[:MOST_BYTES]
    assert (last.start, last.data) == (MOST_BYTES, b"")
    assert all(chunk.data for chunk in chunks)


def _file(site: Site, job_id: int, attempt: int) -> Path:
    return artifacts.attempt_folder(site.settings, site.show(job_id)["uid"], attempt) / "train.log"


def _shipped(site: Site, job_id: int, attempt: int) -> bytes:
    chunks = logs.log_chunks(site.database, job_id, attempt, 0)
    starts = [sum(len(before.data) for before in chunks[:n]) for n in range(len(chunks))]
    assert [chunk.start for chunk in chunks] == starts
    return b"".join(chunk.data for chunk in chunks)
