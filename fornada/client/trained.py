"""Find jobs that have already trained a spec, and whose files still exist (`--needed`)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fornada import artifacts
from fornada.client.presence import Presence
from fornada.client.submission import Submitted
from fornada.db.answers import FileAnswer, JobAnswer
from fornada.db.reads import documents, history
from fornada.db.records import TRAINING_STATE
from fornada.db.store.session import Database
from fornada.settings import Settings

if TYPE_CHECKING:
    from fornada.spec import Spec

# Kinds of files that a result does not need.
_OPTIONAL = {TRAINING_STATE, "log"}


class TrainedJobs:
    """Finds jobs that have trained a spec and whose files still exist.

    Args:
        settings: where the artifacts are.
        database: where the jobs are recorded.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._presence = Presence(settings, database)
        self._gone: dict[str, str] = {}

    def find(self, spec: "Spec") -> Submitted | None:
        """The latest job that trained the same spec on the same data and still has its files.

        Raises:
            DataUnreadable: the data cannot be read on this machine.
        """
        from fornada.data import fingerprint

        data = fingerprint.of_spec(spec, self._settings)
        job_id = history.succeeded_like(self._database, spec.hash, data)
        while job_id is not None:
            job = documents.job(self._database, job_id)
            gone = self._first_gone(job)
            if gone is None:
                return Submitted(job_id, job["uid"], known_by="needed")
            self._gone.setdefault(spec.hash, self._sentence(job_id, gone))
            job_id = history.succeeded_like(self._database, spec.hash, data, before=job_id)
        return None

    def explained(self, spec: "Spec", job: Submitted) -> Submitted:
        """The new job, with a warning if its spec was trained before but the files are gone."""
        warnings = [text for text in (self._gone.get(spec.hash), job.warning) if text]
        return replace(job, warning="; ".join(warnings) or None)

    def _first_gone(self, job: JobAnswer) -> str | None:
        """URI of the first file of the result that is gone; None if no file is gone."""
        self._presence.mark([job])
        return next((file["uri"] for file in _result(job) if file["exists"] is False), None)

    def _sentence(self, job_id: int, uri: str) -> str:
        path = artifacts.path(self._settings, uri)
        return (
            f"job {job_id} has trained this spec on this data, but {path} is gone or is not the "
            "recorded file: the spec is trained again"
        )


def _result(job: JobAnswer) -> Iterator[FileAnswer]:
    """The files of the last attempt that belong to the result, the best model first."""
    if job["best"] is not None:
        yield job["best"]
    for file in job["artifacts"]:
        if file["attempt"] == job["attempts"] and file["kind"] not in _OPTIONAL:
            yield file
