"""What the record can refuse, each with a stable code."""

from collections.abc import Sequence

from fornada.db.states import JobState


class StoreError(Exception):
    """Something the record could not do. `code` is stable; the text is for people."""

    code = "STORE"


class DatabaseUnreachable(StoreError):
    """The database does not answer, or not in time. Nothing is known to have been written.

    Attributes:
        where: the database, without a password, fit for a screen or a log.
        reason: the driver's own.
        in_doubt: whether it went away during a commit, which may have been done.
    """

    code = "DATABASE_UNREACHABLE"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"the database {where} does not answer: {reason}. "
            "Check that it runs and that FORNADA_DATABASE_URL names it."
        )
        self.where = where
        self.reason = reason
        self.in_doubt = False


class NotPermitted(StoreError):
    """The database's user lacks a right."""

    code = "NOT_PERMITTED"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"the database {where} does not let this user do that: {reason}. "
            "deploy/postgres says which role may do what; grants.sql is run after each upgrade."
        )
        self.where = where
        self.reason = reason


class SchemaMismatch(StoreError):
    """The schema has another revision than this code needs."""

    code = "SCHEMA_MISMATCH"

    def __init__(self, found: str | None, needed: str, *, newer: bool = False) -> None:
        has = f"schema revision {found}" if found else "no schema yet"
        cure = (
            "It was upgraded by a newer Fornada: install that version here."
            if newer
            else "Run `fornada db upgrade`."
        )
        super().__init__(f"the database has {has}, but this Fornada needs {needed}. {cure}")
        self.found = found
        self.needed = needed


class JobNotFound(StoreError):
    """No job goes by this reference."""

    code = "JOB_NOT_FOUND"

    def __init__(self, reference: str | int) -> None:
        super().__init__(
            f"no job {reference}. A job is named by its id (12), by the first four or more "
            "characters of its uid, or by @last; several by a range (12-20)."
        )
        self.reference = reference


class AmbiguousReference(StoreError):
    """More than one job's uid begins like this."""

    code = "AMBIGUOUS_REFERENCE"

    def __init__(self, reference: str, candidates: Sequence[str]) -> None:
        super().__init__(
            f"{reference} is the beginning of more than one uid: {', '.join(candidates)}, … "
            "Give more characters, or the id."
        )
        self.reference = reference
        self.candidates = tuple(candidates)


class WrongState(StoreError):
    """The job is in a state that has no way to the wanted one."""

    code = "WRONG_STATE"

    def __init__(
        self, job_id: int, state: JobState, wanted: JobState, because: str | None = None
    ) -> None:
        has = f"has ended as {state}" if state.final else f"is {state}"
        because = because or f"it can no longer become {wanted}"
        super().__init__(f"job {job_id} {has}: {because}")
        self.job_id = job_id
        self.state = state
        self.wanted = wanted


class Fenced(StoreError):
    """The attempt no longer holds its job: end the trainer and touch nothing."""

    code = "FENCED"

    def __init__(self, job_id: int, attempt: int) -> None:
        super().__init__(f"attempt {attempt} of job {job_id} no longer holds the job")
        self.job_id = job_id
        self.attempt = attempt


class BadReference(StoreError):
    """What was given names no job and could name none, or several where one is meant."""

    code = "BAD_REFERENCE"


class BadCursor(StoreError):
    """A page's cursor that was not given out for this sort order."""

    code = "BAD_CURSOR"

    def __init__(self, cursor: str, sort: str) -> None:
        super().__init__(f"{cursor!r} is no cursor of a page sorted by {sort}: start without one")
