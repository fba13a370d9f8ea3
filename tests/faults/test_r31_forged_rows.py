"""R31: with a client's password, statements by hand change nothing that is not a client's."""

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Json

from fornada.db.reads import history
from tests.faults.house import House
from tests.until import until
from tests.worker_process import WorkerProcess

PERSON = "ana"
REFUSAL = (psycopg.errors.InsufficientPrivilege, psycopg.errors.CheckViolation)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as made:
        # A login of a person's own, as docs/operations.md says.
        made.postgres.execute(f"CREATE ROLE {PERSON} LOGIN PASSWORD 'x' IN ROLE fornada_client")
        yield made


@pytest.fixture(scope="module")
def worker(house: House) -> Iterator[WorkerProcess]:
    with house.site.worker("--slots", "1") as running:
        yield running


def row(house: House, **changes: Any) -> dict[str, Any]:
    """A job as a client would insert it by hand, into a queue that nobody serves."""
    values: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "name": "by-hand",
        "state": "held",
        "queue": "nobody",
        "priority": 0,
        "gpus": "auto",
        "spec": Json({"name": "x"}),
        "spec_hash": "5a" * 32,
        "seed": 1,
        "user": "somebody",
        "retry_attempts": 3,
        "submitted_at": "2020-01-01",
        "attempt": 0,
        "tries": 0,
        "resume_after": 0,
        "epochs_run": 0,
        "monitor": "val_loss",
        "monitor_mode": "min",
    }
    return values | changes


def insert(connection: "psycopg.Connection[Any]", values: dict[str, Any]) -> int:
    """Insert a job and the event that says so; return its id."""
    names = ", ".join(f'"{name}"' for name in values)
    places = ", ".join(f"%({name})s" for name in values)
    with connection.transaction():
        statement = f"INSERT INTO job ({names}) VALUES ({places}) RETURNING id"  # noqa: S608
        found = connection.execute(statement.encode(), values).fetchone()
        assert found is not None
        connection.execute(
            "INSERT INTO event (job_id, at, kind, actor) VALUES (%s, now(), 'submitted', 'x@y')",
            found,
        )
    return int(found[0])


REFUSED: dict[str, dict[str, Any]] = {
    "another job's folder": {"uid": "0199a9e0-7b1c-7cc2-9d0e-2f6b4f1c8a11/."},
    "outside the artifacts": {"uid": "../../x"},
    "an absolute path": {"uid": "/tmp/x"},
    "has ended well": {"state": "succeeded"},
    "runs without a worker": {"state": "running"},
    "a list as spec": {"spec": Json([1, 2])},
    "a spec of 2 MiB": {"spec": Json({"name": "x" * 2**21})},
    "retries for ever": {"retry_attempts": 2_000_000_000},
    "no end of time": {"time_limit_s": float("inf")},
    "not a number of seconds": {"time_limit_s": float("nan")},
    "a time that Python cannot read": {"not_before": "infinity"},
    "a time before all others": {"not_before": "-infinity"},
    "an unknown kind of slot": {"gpus": "all"},
    "a key of 12,000 letters": {"key": "k" * 12_000},
    "a name of 12,000 letters": {"name": "n" * 12_000},
    "before all others for ever": {"priority": 2_147_483_647},
    "a NUL that breaks functions of JSON": {"spec": Json({"name": "\0"})},
    "half a surrogate pair": {"spec": r'{"name": "\ud800", "fit": {"epochs": 2}}'},
    "half a surrogate pair as a name": {"spec": r'{"\udc00": 1}'},
    "a number that jsonb does not read": {"spec": '{"a": 1e200000}'},
    "a fraction that jsonb does not read": {"spec": '{"a": 1e-200000}'},
    "objects in objects": {"spec": '{"a": ' * 3000 + "1" + "}" * 3000},
    "lists in objects in lists": {"spec": '{"a": ' + '[{"a": ' * 50 + "1" + "}]" * 50 + "}"},
    "lists of lists of lists": {"spec": '{"a": ' + "[" * 3000 + "]" * 3000 + "}"},
    "a number that Python does not read": {"spec": '{"a": ' + "9" * 6000 + "}"},
    "a hold in several lines": {"held_by": "bob\x1b]0;x\x07\nforged"},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_r31_a_row_that_misleads_workers_is_refused(house: House, changes: dict[str, Any]) -> None:
    with (
        house.connect("client") as connection,
        pytest.raises(REFUSAL),
    ):
        insert(connection, row(house, **changes))


# Documents that are JSON, but not jsonb.
NO_JSONB = (r'{"a": "\ud800"}', r'{"a": "\u0000"}', '{"a": 1e200000}')


@pytest.mark.parametrize("detail", NO_JSONB)
def test_r31_the_detail_of_an_event_can_be_read(house: House, detail: str) -> None:
    job_id = house.submit("fine", held=True)
    with house.connect("client") as connection, pytest.raises(REFUSAL):
        connection.execute(
            "INSERT INTO event (job_id, at, kind, actor, detail) "
            "VALUES (%s, now(), 'moved', 'x@y', %s)",
            [job_id, detail],
        )
    house.client.cancel(job_id)


def test_r31_a_document_of_any_letters_is_taken(house: House) -> None:
    spec = r'{"name": "\ud83d\ude00 \\ud800", "a": [1e300, -0.5e-300, null, {"b": [[]]}]}'
    with house.connect("client") as connection:
        assert insert(connection, row(house, spec=spec)) > 0


def test_r31_what_a_client_may_not_choose_begins_at_nothing(house: House) -> None:
    chosen = {"attempt": 2_147_483_646, "tries": 9, "resume_after": 5, "epochs_run": 7}
    with house.connect("client") as connection:
        job_id = insert(connection, row(house, **chosen))
        found = connection.execute(
            "SELECT attempt, tries, resume_after, epochs_run, submitted_at > now() - interval '1h' "
            "FROM job WHERE id = %s",
            [job_id],
        ).fetchone()
    assert found == (0, 0, 0, 0, True)


MOVES = (
    "UPDATE job SET state = 'succeeded' WHERE id = %s",
    "UPDATE job SET state = 'failed' WHERE id = %s",
    "UPDATE job SET state = 'running' WHERE id = %s",
    "UPDATE job SET tries = 9 WHERE id = %s",
    "UPDATE job SET resume_after = 9 WHERE id = %s",
    "UPDATE job SET avoid_host = 'h' WHERE id = %s",
    "UPDATE job SET failure_code = 'CRASHED' WHERE id = %s",
    "UPDATE job SET started_at = now() WHERE id = %s",
    "UPDATE job SET worker = 'w' WHERE id = %s",
    "UPDATE job SET finished_at = 'infinity' WHERE id = %s",
    "UPDATE job SET finished_at = '0044-01-01 BC' WHERE id = %s",
    "UPDATE job SET cancel_requested_at = 'infinity' WHERE id = %s",
    "UPDATE job SET not_before = 'infinity' WHERE id = %s",
    "UPDATE job SET duration_s = 'NaN' WHERE id = %s",
    "UPDATE job SET cancel_grace_s = 'NaN' WHERE id = %s",
    "UPDATE job SET stop_reason = 'completed', failure_message = 'x' WHERE id = %s",
    "UPDATE job SET held_by = E'bob\\x1b]0;x\\x07' WHERE id = %s",
    # Without an event.
    "UPDATE job SET state = 'cancelled' WHERE id = %s",
    "UPDATE job SET priority = -2147483648 WHERE id = %s",
    "UPDATE job SET priority = 7 WHERE id = %s",
    "UPDATE job SET queue = 'nobody' WHERE id = %s",
    "UPDATE job SET cancel_requested_at = now() WHERE id = %s",
)


def test_r31_a_client_cancels_a_job_that_has_run_and_waits_again(house: House) -> None:
    job_id = house.submit("wait")
    with house.site.worker("--slots", "1"):
        until(lambda: house.site.show(job_id)["epochs_run"] > 0, 30)
    # Its worker was drained.
    assert (house.site.state(job_id), house.site.show(job_id)["attempts"]) == ("queued", 1)
    house.client.cancel(job_id)
    cancelled = house.site.show(job_id)
    assert cancelled["state"] == "cancelled"
    assert cancelled["duration_s"] is not None
    assert cancelled["duration_s"] > 0


def test_r31_a_job_moves_only_as_a_client_may_move_it(house: House, worker: WorkerProcess) -> None:
    succeeded = house.submit("fine")
    assert house.site.wait(succeeded)["state"] == "succeeded"
    running = house.submit("wait")
    until(lambda: house.site.show(running)["epochs_run"] > 0, 30)
    waiting = house.submit("fine", held=True)
    with house.connect("client") as connection:
        for job_id in (succeeded, running, waiting):
            before = house.site.show(job_id)
            for statement in (*MOVES, "UPDATE job SET state = 'queued' WHERE id = %s"):
                if job_id == waiting and "'queued'" in statement:
                    continue
                with pytest.raises(REFUSAL):
                    connection.execute(statement.encode(), [job_id])
            after = house.site.show(job_id)
            assert after["state"] == before["state"]
            assert after["failure"] == before["failure"]
        for kind in ("claimed", "succeeded", "epoch"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(
                    "INSERT INTO event (job_id, at, kind, actor) VALUES (%s, now(), %s, 'w')",
                    [running, kind],
                )
        for statement in (
            "INSERT INTO job_tag VALUES (%s, 'owner', 'me')",
            "INSERT INTO dependency VALUES (%s, 1, false)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode(), [running])
    house.client.cancel(running)
    assert house.site.wait(running)["state"] == "cancelled"


def test_r31_an_event_has_the_databases_time_and_a_persons_login(house: House) -> None:
    with house.connect_as(PERSON, "x") as connection:
        connection.execute("SET ROLE fornada_client")
        job_id = insert(connection, row(house, user="victim"))
        connection.execute(
            "INSERT INTO event (job_id, at, kind, actor) "
            "VALUES (%s, '2020-01-01', 'moved', 'victim@desk')",
            [job_id],
        )
    assert house.site.show(job_id)["user"] == PERSON
    first, second = history.events(house.site.database, job_id)
    assert (first["actor"], second["actor"]) == (f"{PERSON}@y", f"{PERSON}@desk")
    assert second["at"] > "2021"


def test_r31_a_request_to_stop_stays_and_a_queue_has_sound_limits(
    house: House, worker: WorkerProcess
) -> None:
    running = house.submit("hang")
    until(lambda: house.site.show(running)["state"] == "running", 30)
    house.client.cancel(running, grace_s=60)
    with house.connect("client") as connection:
        for statement in (
            f"UPDATE job SET cancel_requested_at = NULL WHERE id = {running}",  # noqa: S608
            "INSERT INTO queue VALUES ('x', false, -5, now(), 'x')",
            "INSERT INTO queue VALUES (E'x\\ny', false, 5, now(), 'x')",
            f"INSERT INTO event (job_id, at, kind, actor, detail) VALUES ({running}, now(), "  # noqa: S608
            "'moved', 'x', '[1]')",
        ):
            with pytest.raises(REFUSAL):
                connection.execute(statement.encode())
        connection.execute("INSERT INTO queue VALUES ('y', true, 5, 'infinity', 'bob@desk')")
        connection.execute(
            "UPDATE worker SET drain_requested_at = 'infinity' WHERE name = 'nobody'"
        )
        found = connection.execute(
            "SELECT changed_at > now() - interval '1h' AND changed_at <= now() FROM queue "
            "WHERE name = 'y'"
        ).fetchone()
    assert found == (True,)
    house.client.cancel(running, force=True)
    assert house.site.wait(running, timeout_s=60)["state"] == "cancelled"


def test_r31_an_invalid_row_stops_no_worker(house: House, worker: WorkerProcess) -> None:
    with house.connect("client") as connection:
        bad = insert(connection, row(house, state="queued", queue=house.site.queue, priority=9))
    good = house.submit("fine")
    assert house.site.wait(good)["state"] == "succeeded"
    assert house.site.wait(bad)["state"] == "failed"
    assert worker.process.poll() is None
