"""Artifacts have the same URI on every host, and a URI never leads out of their folder."""

from pathlib import Path

import pytest

from fornada import artifacts
from fornada.settings import Settings, SettingsError

UID = "0199a9e0-7b1c-7cc2-9d0e-2f6b4f1c8a11"


def settings(folder: str) -> Settings:
    return Settings(artifacts=Path(folder))


def test_the_same_file_has_the_same_uri_wherever_the_folder_is_mounted() -> None:
    here, there = settings("/srv/shared"), settings("/mnt/other")
    best = artifacts.attempt_folder(here, UID, 2) / "best.keras"
    uri = artifacts.uri(here, best)
    assert uri == f"artifacts:{UID}/attempt-2/best.keras"
    assert artifacts.path(there, uri) == Path(f"/mnt/other/{UID}/attempt-2/best.keras")


def test_a_file_elsewhere_has_no_uri() -> None:
    with pytest.raises(ValueError, match="/etc/passwd"):
        artifacts.uri(settings("/srv/shared"), Path("/etc/passwd"))


@pytest.mark.parametrize("uri", ["artifacts:../x", "artifacts:/etc/passwd", "file:///x", "a/../b"])
def test_a_uri_that_leads_out_is_refused(uri: str) -> None:
    with pytest.raises(SettingsError, match="under the artifacts folder"):
        artifacts.path(settings("/srv/shared"), uri)


@pytest.mark.parametrize("uid", ["", "..", "/etc", "a/../b", f"{UID}/."])
def test_no_folder_is_named_by_what_is_no_uid(uid: str) -> None:
    with pytest.raises(ValueError, match="uid"):
        artifacts.attempt_folder(settings("/srv"), uid, 1)
