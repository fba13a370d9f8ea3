"""What has been trained already, and is still there."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fornada import artifacts
from fornada.client.presence import Presence
from fornada.client.submission import Submitted
from fornada.db.reads import documents, history
from fornada.db.records import TRAINING_STATE
from fornada.db.store.session import Database
from fornada.settings import Settings

if TYPE_CHECKING:
    from fornada.spec import Spec

# Files that a result does not need: it can be used without them.
_SPARE = {TRAINING_STATE, "log"}


class TrainedJobs:
    """Finds jobs that have trained a spec and whose files are there.

    Args:
        settings: say where artifacts lie.
        database: the record.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._presence = Presence(settings, database)
        self._gone: dict[str, str] = {}

    def find(self, spec: "Spec") -> Submitted | None:
        """The last job that trained the same spec on the same data and has its files.

        Raises:
            DataUnreadable: the data cannot be read here.
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
        """A new job, with why it was needed although its spec has been trained."""
        said = [one for one in (self._gone.get(spec.hash), job.warning) if one]
        return replace(job, warning="; ".join(said) or None)

    def _first_gone(self, job: Mapping[str, Any]) -> str | None:
        """URI of the first file of a result that is gone."""
        self._presence.mark([job])
        return next((one["uri"] for one in _result(job) if one["exists"] is False), None)

    def _sentence(self, job_id: int, uri: str) -> str:
        path = artifacts.path(self._settings, uri)
        return (
            f"job {job_id} has trained this spec on these data, but {path} is gone or is not the "
            "file that was recorded: it is trained again"
        )


def _result(job: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Files of the last attempt that whoever asks for the result may want, the best model first."""
    if job["best"] is not None:
        yield job["best"]
    for one in job["artifacts"]:
        if one["attempt"] == job["attempts"] and one["kind"] not in _SPARE:
            yield one
