"""Report accepted jobs; shared by submit, run, clone and extend."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fornada.cli.follow import end_all
from fornada.cli.output import Output
from fornada.cli.reasons import dated, sentence
from fornada.cli.streams import current
from fornada.db.errors import DatabaseUnreachable, StoreError
from fornada.db.reasons import Unfit
from fornada.errors import FornadaError

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.client.submission import Submitted, Terms
    from fornada.spec import Spec


# A `--not-before` of `+1s` may have passed by the time the job is accepted. That deserves no
# warning, so a time this recent does not count as past.
JUST_NOW = timedelta(minutes=1)


def terms_from_options(client: "Client", options: Mapping[str, Any]) -> "Terms":
    """Make `Terms` from the options of the command, with the job ids that `--after` names.

    Raises:
        JobNotFound: `--after` names a job that does not exist.
    """
    from fornada.client.submission import Terms

    return Terms(**{**options, "after": tuple(client.find(options["after"]))})


class Announcement:
    """Reports each job as soon as it is accepted; with `-q` it prints only the id, on stdout.

    Args:
        terms: the terms on which all these jobs were submitted.
        output: how to answer.
    """

    def __init__(self, terms: "Terms", output: Output) -> None:
        self.jobs: list[Submitted] = []
        self._terms = terms
        self._output = output
        self._warned: set[str] = set()
        if terms.not_before is not None and _is_past(terms.not_before):
            output.warn(
                f"--not-before {dated(terms.not_before)} is in the past, so the job does not wait. "
                "If you meant another day: cancel the job, and submit it again with the full date."
            )

    def __call__(self, spec: "Spec", job: "Submitted", also: str = "") -> None:
        """Report one job.

        Args:
            spec: the spec that the job trains.
            job: what the client returned for the job.
            also: text to add to the line; empty for nothing.
        """
        self.jobs.append(job)
        about = _accepted(spec, job, also, self._terms)
        streams = current()
        told_on_stdout = self._output.json or self._output.quiet
        if streams is not None:
            # A job whose id nobody reads is a lost job.
            (streams.of_stdout if told_on_stdout else streams.of_stderr).append(about)
        if told_on_stdout:
            if not self._output.json:
                self._output.line(str(job.id))
        else:
            if streams is not None:
                streams.answer_on_stderr()
            self._output.note(about)
        # When Redis is down, every job carries the same warning: print it once.
        for warning in (*map(str, job.warnings), job.warning):
            if warning and warning not in self._warned:
                self._output.warn(warning)
                self._warned.add(warning)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, StoreError | FornadaError) and self._output.json and self.jobs:
            # An error stopped the command, but these jobs were accepted: a program that reads
            # the JSON document must learn of them.
            self._output.document(_documents(self.jobs))


def conclude(
    client: "Client",
    jobs: Sequence["Submitted"],
    output: Output,
    *,
    follow: bool = False,
    waits: bool = False,
) -> None:
    """Watch the accepted jobs until they end (`follow`, `waits`), or report them and return.

    Args:
        client: answers questions about the jobs.
        jobs: the accepted jobs.
        output: how to answer.
        follow: show progress until the jobs have ended.
        waits: wait without showing progress until the jobs have ended.
    """
    if follow or waits:
        progress = Output(quiet=output.quiet or not follow, color=output.color)
        end_all(client, [job.id for job in jobs], progress, output)
    elif output.json:
        output.document(_documents(jobs))
    elif not any(job.warning for job in jobs):
        _note_unserved(client, jobs, output)


def _documents(jobs: Iterable["Submitted"]) -> list[dict[str, Any]]:
    """The documents that `--json` prints."""
    return [
        asdict(replace(job, warnings=())) | {"warnings": [one.place for one in job.warnings]}
        for job in jobs
    ]


def _is_past(at: datetime) -> bool:
    return at < datetime.now(UTC) - JUST_NOW


def _accepted(spec: "Spec", job: "Submitted", also: str, terms: "Terms") -> str:
    if job.known_by == "key":
        return f"job {job.id} already has the key {terms.key}: no job was made"
    if job.known_by == "needed":
        return f"job {job.id} has already trained this spec on this data: no job was made"
    parts = [f"job {job.id}: {spec.name}, in queue {spec.resources.queue}"]
    parts += [also] if also else []
    return ", ".join([*parts, *conditions(terms)])


def conditions(terms: "Terms") -> list[str]:
    """What jobs on these terms wait for, besides a free slot."""
    parts = ["held"] if terms.held else []
    parts += [f"not before {dated(terms.not_before)}"] if terms.not_before else []
    if terms.after:
        others = ", ".join(map(str, terms.after))
        parts.append(f"after {others}{' (even if they fail)' if terms.after_any else ''}")
    return parts


def _note_unserved(client: "Client", jobs: Iterable["Submitted"], output: Output) -> None:
    """Name the jobs that no living worker can run: the name of their queue may be misspelt."""
    try:
        waits = {row["id"]: row["waits"] for row in client.alive()}
    except DatabaseUnreachable:
        # The jobs are accepted and already reported. This note is only an extra.
        return
    for job in jobs:
        if isinstance(waits.get(job.id), Unfit):
            output.note(f"job {job.id} waits: {sentence(waits[job.id])}; see fornada worker ls")
