"""What commands say of jobs in an embedded home whose stack is not up."""

import signal
import sqlite3
from contextlib import closing

import pytest

from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.follow import ended_by_sigterm, stop
from fornada.cli.output import Output
from fornada.cli.temporary_stack import TemporaryStack
from fornada.client import Client, Progress
from fornada.db.queue import workers
from fornada.settings import Settings
from tests.acceptance.installed import Fornada, end
from tests.acceptance.prepared import HELD_JOB, PATIENT, QUEUED_JOB, WORKER, prepare
from tests.services.store import claim, worker


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Fornada:
    """The command in a prepared home; no worker has registered there."""
    home = prepare(tmp_path_factory.mktemp("without")).home
    with closing(sqlite3.connect(home / "fornada.db")) as connection, connection:
        connection.execute("DELETE FROM worker")
    return Fornada(home, PATIENT)


@pytest.mark.parametrize(
    ("queue", "start"), [("night", "fornada up --queues default,night"), ("default", "fornada up")]
)
def test_who_waits_is_told_what_starts_a_worker(without: Fornada, queue: str, start: str) -> None:
    without("move", QUEUED_JOB, "--queue", queue)
    said = without("wait", QUEUED_JOB, "--timeout", "0s", code=124).stderr.splitlines()
    assert [line.endswith(f"; start one: {start}") for line in said] == [True, True]
    (waits,) = (
        line for line in without("show", QUEUED_JOB).stdout.splitlines() if line.startswith("waits")
    )
    assert waits.endswith(f"; start one: {start}")
    watching = without.start("wait", QUEUED_JOB)
    assert watching.stderr is not None
    assert watching.stderr.readline().endswith(f"; start one: {start}\n")
    said = end(watching, signal.SIGINT).stderr.splitlines()
    assert [line for line in said if line.endswith(f"waits for a worker; start one: {start}.")]


def test_a_held_job_is_not_said_to_continue(without: Fornada) -> None:
    said = without("wait", HELD_JOB, "--timeout", "0s", code=124).stderr
    assert ("stays held" in said, "continues" in said) == (True, False)


class _Impatient(TemporaryStack):
    """Presses Ctrl-C at the first look at the job."""

    def check(self, progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)


def test_a_second_ctrl_c_says_too_how_to_go_on(without: Fornada) -> None:
    settings, output = Settings(home=without.home), Output()
    with Client(settings) as client, ended_by_sigterm():
        workers.register(client._connection.database, worker(WORKER))
        claimed = claim(client._connection.database)
        assert claimed is not None
        job_id = claimed.fence.job_id
        keeper = _Impatient(settings, ["default"], output)
        with pytest.raises(ExitWith) as ended:
            stop(client, job_id, output, keeper, by="Ctrl-C")
        assert client.show(job_id)["cancel_reason"] == "Ctrl-C in fornada run"
    assert ended.value.code == ExitCode.INTERRUPTED
    assert f"fornada retry {job_id}" in str(ended.value)
