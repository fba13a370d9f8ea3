"""What submit, run, clone and extend have in common: saying what was accepted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fornada.cli.follow import end_all
from fornada.cli.output import Output
from fornada.cli.reasons import dated, sentence
from fornada.db.errors import DatabaseUnreachable, StoreError
from fornada.db.reasons import Unfit
from fornada.errors import FornadaError

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.client.submission import Submitted, Terms
    from fornada.spec import Spec


# What was `+1s` when the command was typed may be over when the job is accepted, and no mistake.
JUST_NOW = timedelta(minutes=1)


def told_terms(client: "Client", told: Mapping[str, Any]) -> "Terms":
    """The terms of the options, with the ids of the jobs that `--after` names.

    Raises:
        JobNotFound: it names none.
    """
    from fornada.client.submission import Terms

    return Terms(**{**told, "after": tuple(client.find(told["after"]))})


class Announcement:
    """Says of each job as soon as it is accepted; ids on stdout if that is all that is wanted.

    Args:
        terms: of all jobs.
        output: how to answer.
    """

    def __init__(self, terms: "Terms", output: Output) -> None:
        self.jobs: list[Submitted] = []
        self._terms = terms
        self._output = output
        self._warned: set[str] = set()
        if terms.not_before is not None and _is_past(terms.not_before):
            output.warn(
                f"--not-before {dated(terms.not_before)} is past, so it keeps no job waiting. "
                "If another day is meant: cancel, and name the day to come."
            )

    def __call__(self, spec: "Spec", job: "Submitted", also: str = "") -> None:
        """Say of one job.

        Args:
            spec: that it trains.
            job: as the client returned it.
            also: what else there is to say of it.
        """
        self.jobs.append(job)
        if self._output.quiet and not self._output.json:
            self._output.line(str(job.id))
        elif not self._output.json:
            self._output.note(_accepted(spec, job, also, self._terms))
        # Redis is away for all jobs alike; said once.
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
            # The rest was not accepted; of these a program must hear all the same.
            self._output.document(_documents(self.jobs))


def conclude(
    client: "Client",
    jobs: Sequence["Submitted"],
    output: Output,
    *,
    follow: bool = False,
    waits: bool = False,
) -> None:
    """Watch accepted jobs to their ends, if that is wanted, or say what there is to say now.

    Args:
        client: to ask.
        jobs: that were accepted.
        output: how to answer.
        follow: show progress until the end.
        waits: wait for the end in silence.
    """
    if follow or waits:
        progress = Output(quiet=output.quiet or not follow, color=output.color)
        end_all(client, [job.id for job in jobs], progress, output)
    elif output.json:
        output.document(_documents(jobs))
    elif not any(job.warning for job in jobs):
        _note_unserved(client, jobs, output)


def _documents(jobs: Iterable["Submitted"]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [
        asdict(replace(job, warnings=())) | {"warnings": [one.place for one in job.warnings]}
        for job in jobs
    ]


def _is_past(at: datetime) -> bool:
    return at < datetime.now(UTC) - JUST_NOW


def _accepted(spec: "Spec", job: "Submitted", also: str, terms: "Terms") -> str:
    if job.known_by == "key":
        return f"job {job.id} has the key {terms.key} already: no job was made"
    if job.known_by == "needed":
        return f"job {job.id} has trained this spec on these data already: no job was made"
    parts = [f"job {job.id}: {spec.name}, in queue {spec.resources.queue}"]
    parts += [also] if also else []
    return ", ".join([*parts, *conditions(terms)])


def conditions(terms: "Terms") -> list[str]:
    """What jobs on these terms wait for, apart from a slot."""
    parts = ["held"] if terms.held else []
    parts += [f"not before {dated(terms.not_before)}"] if terms.not_before else []
    if terms.after:
        others = ", ".join(map(str, terms.after))
        parts.append(f"after {'any end of ' if terms.after_any else ''}{others}")
    return parts


def _note_unserved(client: "Client", jobs: Iterable["Submitted"], output: Output) -> None:
    """Say which jobs no worker there is would take: a queue may be misspelt."""
    try:
        waits = {row["id"]: row["waits"] for row in client.alive()}
    except DatabaseUnreachable:
        # They are accepted, and that was said.
        return
    for job in jobs:
        if isinstance(waits.get(job.id), Unfit):
            output.note(f"job {job.id} waits: {sentence(waits[job.id])}; see fornada worker ls")
