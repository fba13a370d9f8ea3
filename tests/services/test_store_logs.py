"""Log chunks in the database, for readers on other hosts."""

import pytest

from fornada.db.errors import Fenced, JobNotFound
from fornada.db.queue import logs, upkeep, verdicts
from fornada.db.reads import documents
from fornada.db.records import LogChunkRow, LogPlace
from fornada.db.store.session import Database
from tests.services import store

# Bytes that a trainer may write, although they are not valid text.
DATA = bytes(range(256)) + "Epoche 1 … loss: 0,5\n\0".encode()


def test_the_chunks_of_a_log_are_read_as_they_were_written(database: Database) -> None:
    fence = store.running(database)
    pieces = [DATA, b"", DATA * 2]
    start = 0
    for number, data in enumerate(pieces, start=1):
        logs.record_log(database, fence, LogChunkRow(number, start, data))
        start += len(data)
    chunks = logs.log_chunks(database, fence.job_id, 1, 0)
    assert b"".join(chunk.data for chunk in chunks) == b"".join(pieces)
    assert [(chunk.number, chunk.start) for chunk in chunks] == [
        *((1, 0), (2, len(DATA)), (3, len(DATA))),
    ]
    assert [c.number for c in logs.log_chunks(database, fence.job_id, 1, 2)] == [3]
    assert logs.log_chunks(database, fence.job_id, 2, 0) == []


def test_recording_a_chunk_again_changes_nothing(database: Database) -> None:
    fence = store.running(database)
    logs.record_log(database, fence, LogChunkRow(1, 0, b"first"))
    logs.record_log(database, fence, LogChunkRow(1, 0, b"other"))
    assert logs.log_chunks(database, fence.job_id, 1, 0) == [LogChunkRow(1, 0, b"first")]


def test_an_ended_attempt_cannot_write_its_log(database: Database) -> None:
    ended = store.running(database)
    verdicts.finish(database, ended, store.PREEMPTED)
    following = store.claim(database)
    assert following is not None
    with pytest.raises(Fenced):
        logs.record_log(database, ended, LogChunkRow(1, 0, b"late"))
    logs.record_log(database, following.fence, LogChunkRow(1, 0, b"mine"))
    assert logs.log_chunks(database, ended.job_id, 1, 0) == []
    assert len(logs.log_chunks(database, ended.job_id, 2, 0)) == 1


def test_log_places_lists_the_folders_of_all_attempts(database: Database) -> None:
    fence = store.running(database)
    verdicts.finish(database, fence, store.PREEMPTED)
    store.claim(database, worker="w2", host="other")
    uid = documents.job(database, fence.job_id)["uid"]
    assert logs.log_places(database, fence.job_id) == [
        LogPlace(1, "w1", f"artifacts:{uid}/attempt-1", ended=True),
        LogPlace(2, "other", f"artifacts:{uid}/attempt-2", ended=False),
    ]
    assert logs.log_places(database, store.add(database)) == []
    with pytest.raises(JobNotFound):
        logs.log_places(database, 99)


def test_the_chunks_of_attempts_that_ended_long_ago_are_deleted(database: Database) -> None:
    ended, running = store.running(database), store.running(database)
    for fence in (ended, running):
        for number in (1, 2):
            logs.record_log(database, fence, LogChunkRow(number, 0, DATA))
    verdicts.finish(database, ended, store.SUCCEEDED)
    assert upkeep.forget_logs(database, older_than_s=store.LONG_S) == 0
    assert upkeep.forget_logs(database, older_than_s=-1.0) == 2
    assert logs.log_chunks(database, ended.job_id, 1, 0) == []
    assert len(logs.log_chunks(database, running.job_id, 1, 0)) == 2
