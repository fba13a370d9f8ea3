"""Which artifacts folder a worker takes for that of its database, and marks."""

from pathlib import Path

import pytest

from fornada import fleet_marker
from fornada.db.queue import attempts
from fornada.db.reads import documents
from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.worker.fitness.artifacts_check import ArtifactsCheck
from tests.services import store

FLEET, OTHER = "a" * 8, "b" * 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the artifacts lie. It does not exist yet."""
    return tmp_path / "share" / "artifacts"


def check_of(folder: Path, database: Database, fleet: str = FLEET) -> ArtifactsCheck:
    settings = Settings(
        home=folder.parent / "home",
        database_url="postgresql://nowhere/none",
        broker_url="redis://nowhere",
        artifacts=folder,
    )
    return ArtifactsCheck(settings, database, fleet, "w1")


def problem(folder: Path, database: Database, fleet: str = FLEET) -> str | None:
    return check_of(folder, database, fleet).problem()


def begun(database: Database) -> str:
    """The uid of a job that a trainer has begun."""
    store.workers_up(database, "w1")
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    return documents.job(database, fence.job_id)["uid"]


def test_the_first_worker_of_a_database_makes_and_marks_the_folder(
    folder: Path, database: Database
) -> None:
    # A job that no trainer has begun left nothing in any folder.
    store.add(database)
    assert problem(folder, database) is None
    assert [file.name for file in folder.iterdir()] == [fleet_marker.NAME]
    assert (folder / fleet_marker.NAME).read_text() == f"{FLEET}\n"


def test_a_folder_of_an_earlier_version_is_known_by_a_job_in_it(
    folder: Path, database: Database
) -> None:
    uid = begun(database)
    (folder / uid).mkdir(parents=True)
    assert problem(folder, database) is None
    assert fleet_marker.names(folder, FLEET)


def test_a_folder_that_loses_its_marker_was_replaced_although_a_job_is_in_it(
    folder: Path, database: Database
) -> None:
    uid = begun(database)
    (folder / uid).mkdir(parents=True)
    check = check_of(folder, database)
    assert check.problem() is None
    folder.rename(folder.with_name("share"))
    # The trainer that runs makes its folder again, where the share should be.
    (folder / uid).mkdir(parents=True)
    assert "--adopt-artifacts" in (check.problem() or "")
    assert not fleet_marker.exists(folder)
    fleet_marker.write(folder, FLEET)
    assert check.problem() is None


def test_a_folder_without_a_job_of_the_database_is_not_taken_for_its_own(
    folder: Path, database: Database
) -> None:
    begun(database)
    missing = problem(folder, database)
    assert missing is not None
    assert not folder.exists()
    # A share that is not mounted, and a job of another database.
    folder.mkdir(parents=True)
    (folder / ("0" * 32)).mkdir()
    bare = problem(folder, database)
    assert bare is not None
    assert bare != missing
    assert "--adopt-artifacts" in bare
    assert not fleet_marker.exists(folder)

    fleet_marker.write(folder, FLEET)
    assert problem(folder, database) is None


def test_a_folder_of_another_database_is_refused_until_a_person_adopts_it(
    folder: Path, database: Database
) -> None:
    fleet_marker.write(folder, OTHER)
    assert problem(folder, database) is not None
    fleet_marker.write(folder, FLEET)
    assert problem(folder, database) is None
    # It belongs to both.
    assert problem(folder, database, OTHER) is None


def test_two_databases_that_shared_a_folder_before_it_had_a_marker_go_on(
    folder: Path, database: Database
) -> None:
    (folder / begun(database)).mkdir(parents=True)
    fleet_marker.write(folder, OTHER)
    assert problem(folder, database) is None
    assert fleet_marker.names(folder, OTHER)


def test_a_folder_that_cannot_be_written_is_told_as_such(folder: Path, database: Database) -> None:
    fleet_marker.write(folder, FLEET)
    probe = folder / ".fornada-probe-w1"
    probe.mkdir()
    assert problem(folder, database) is not None
    probe.rmdir()
    assert problem(folder, database) is None
