"""Files are looked at before they are named, on SQLite and PostgreSQL."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fornada import Client, artifacts
from fornada.client.submission import Submitted
from fornada.data import fingerprint
from fornada.db.queue import attempts, verdicts
from fornada.db.records import TRAINING_STATE, ArtifactRow, BestModelRow
from fornada.db.store.session import Database
from fornada.errors import LogElsewhere, NotExtendable
from fornada.settings import Secret, Settings
from tests.servers import RedisServer
from tests.services import store
from tests.services.trainer_jobs import document, write_images

# Of every file of a result here.
CONTENT = b"a model"


@pytest.fixture
def settings(database_url: str, redis_server: RedisServer, tmp_path: Path) -> Settings:
    redis_server.client().flushall()
    write_images(tmp_path / "Train", {"a": 4, "b": 4})
    write_images(tmp_path / "Test", {"a": 2, "b": 2})
    return Settings(
        home=tmp_path,
        database_url=Secret(database_url),
        broker_url=Secret(redis_server.url),
        data_root=tmp_path,
        artifacts=tmp_path / "artifacts",
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(settings) as one:
        yield one


@pytest.fixture
def database(settings: Settings, client: Client) -> Iterator[Database]:
    opened = Database(settings.sql_url)
    yield opened
    opened.dispose()


def submitted(client: Client, *, seed: int = 1, needed: bool = False) -> Submitted:
    root = client.settings.data_root
    assert root is not None
    spec = document(data__train=str(root / "Train"), data__test=str(root / "Test"), data__seed=seed)
    return client.submit(spec, needed=needed)


def trained(client: Client, database: Database, *, host: str = "h", seed: int = 1) -> int:
    """A job that has succeeded and left its files; its id."""
    job = submitted(client, seed=seed)
    spec = client.recorded(job.id)
    claimed = store.claim(database, host=host)
    assert claimed is not None
    folder = artifacts.attempt_folder(client.settings, job.uid, 1)
    folder.mkdir(parents=True)
    for name in ("best.keras", "history.csv", "state.npz", "train.log"):
        (folder / name).write_bytes(CONTENT)
    uri = artifacts.uri(client.settings, folder)
    found = fingerprint.of_spec(spec, client.settings)
    attempts.started(database, claimed.fence, replace(store.STARTED, fingerprint=found))
    best = BestModelRow(1, "val_loss", 0.5, f"{uri}/best.keras", len(CONTENT), "0" * 64)
    attempts.record_epochs(database, claimed.fence, [store.epoch(1, best)])
    files = [
        ArtifactRow(kind, f"{uri}/{name}", len(CONTENT), "0" * 64)
        for kind, name in (
            ("best_model", "best.keras"),
            ("history", "history.csv"),
            (TRAINING_STATE, "state.npz"),
            ("log", "train.log"),
        )
    ]
    verdicts.finish(
        database, claimed.fence, replace(store.SUCCEEDED, best=best, artifacts=tuple(files))
    )
    return job.id


def folder(client: Client, job_id: int) -> Path:
    return Path(client.show(job_id)["best"]["path"]).parent


def test_a_file_that_is_there_is_named_and_meant(client: Client, database: Database) -> None:
    job_id = trained(client, database)
    shown = client.show(job_id)
    assert shown["state"] == "succeeded"
    assert shown["best"]["exists"] is True
    assert [one["exists"] for one in shown["artifacts"]] == [True] * 4
    assert client.jobs().rows[0]["best"]["exists"] is True
    again = submitted(client, needed=True)
    assert (again.id, again.known_by, again.warning) == (job_id, "needed", None)


@pytest.mark.parametrize("how", ["gone", "another size", "attempt gone"])
def test_a_file_that_is_gone_is_said_to_be_and_trained_anew(
    client: Client, database: Database, how: str
) -> None:
    job_id = trained(client, database)
    lost = folder(client, job_id)
    if how == "gone":
        (lost / "best.keras").unlink()
    elif how == "another size":
        (lost / "best.keras").write_bytes(CONTENT + b"!")
    else:
        shutil.rmtree(lost)

    shown = client.show(job_id)
    assert shown["best"]["exists"] is False
    # The path is told all the same: it is what somebody looks for.
    assert shown["best"]["path"] == str(lost / "best.keras")
    assert client.jobs().rows[0]["best"]["exists"] is False
    again = submitted(client, needed=True)
    assert again.id != job_id
    assert again.known_by is None
    assert str(lost / "best.keras") in (again.warning or "")


def test_another_file_of_the_result_is_needed_too_but_neither_state_nor_log(
    client: Client, database: Database
) -> None:
    job_id = trained(client, database)
    for name in ("state.npz", "train.log"):
        (folder(client, job_id) / name).unlink()
    assert submitted(client, needed=True).id == job_id
    (folder(client, job_id) / "history.csv").unlink()
    assert client.show(job_id)["best"]["exists"] is True
    assert submitted(client, needed=True).id != job_id


def test_an_older_job_that_has_its_files_is_meant(client: Client, database: Database) -> None:
    older, newer = trained(client, database), trained(client, database)
    assert submitted(client, needed=True).id == newer
    shutil.rmtree(folder(client, newer))
    assert submitted(client, needed=True).id == older


def test_where_the_folder_of_artifacts_is_not_seen_the_record_counts(
    client: Client, database: Database
) -> None:
    job_id = trained(client, database)
    shutil.rmtree(client.settings.artifacts_folder)
    shown = client.show(job_id)
    assert shown["best"]["exists"] is None
    assert {one["exists"] for one in shown["artifacts"]} == {None}
    assert client.jobs().rows[0]["best"]["exists"] is None
    assert submitted(client, needed=True).id == job_id
    assert client.extend(job_id, 1).id


def test_folders_of_other_jobs_of_the_host_show_that_it_is_seen(
    client: Client, database: Database
) -> None:
    here, away = trained(client, database), trained(client, database, host="other", seed=2)
    beside = trained(client, database, seed=3)
    for job_id in (here, away):
        shutil.rmtree(folder(client, job_id).parent)
    exists = {row["id"]: row["best"]["exists"] for row in client.jobs().rows}
    assert exists == {here: False, away: None, beside: True}
    assert submitted(client, needed=True).id != here
    assert submitted(client, seed=2, needed=True).id == away


def test_a_state_that_is_gone_is_not_gone_on_from(client: Client, database: Database) -> None:
    job_id = trained(client, database)
    (folder(client, job_id) / "state.npz").write_bytes(b"")
    with pytest.raises(NotExtendable, match="last training state"):
        client.extend(job_id, 1)


def test_a_log_that_is_gone_is_not_said_to_lie_elsewhere(
    client: Client, database: Database
) -> None:
    job_id = trained(client, database)
    assert b"".join(piece.data for piece in client.log(job_id)) == CONTENT
    log = folder(client, job_id) / "train.log"
    log.unlink()
    pieces = client.log(job_id)
    assert next(pieces).missing == len(CONTENT)
    with pytest.raises(LogElsewhere, match=f"no log at {log}"):
        next(pieces)


def test_the_files_of_a_running_job_may_have_any_size(client: Client, database: Database) -> None:
    job = submitted(client)
    claimed = store.claim(database)
    assert claimed is not None
    attempts.started(database, claimed.fence, store.STARTED)
    path = artifacts.attempt_folder(client.settings, job.uid, 1) / "best.keras"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    best = BestModelRow(1, "val_loss", 0.5, artifacts.uri(client.settings, path), 1, "0" * 64)
    attempts.record_epochs(database, claimed.fence, [store.epoch(1, best)])
    assert client.show(job.id)["best"]["exists"] is True
    (row,) = client.alive()
    assert row["best"]["exists"] is True
    path.unlink()
    assert client.show(job.id)["best"]["exists"] is False


def test_on_an_embedded_stack_the_folder_is_always_seen(tmp_path: Path) -> None:
    write_images(tmp_path / "Train", {"a": 4, "b": 4})
    write_images(tmp_path / "Test", {"a": 2, "b": 2})
    settings = Settings(home=tmp_path / "home", data_root=tmp_path)
    with Client(settings) as client:
        submitted(client)
        database = Database(settings.sql_url)
        claimed = store.claim(database)
        assert claimed is not None
        verdicts.finish(database, claimed.fence, store.SUCCEEDED)
        job_id = trained(client, database, seed=2)
        database.dispose()
        shutil.rmtree(settings.artifacts_folder)
        assert client.show(job_id)["best"]["exists"] is False
        assert submitted(client, seed=2, needed=True).id != job_id
