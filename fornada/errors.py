"""Errors of this package, each with a stable code.

Two kinds of error live elsewhere: `fornada.spec.SpecProblems` for specs, and
`fornada.db.errors.StoreError` for the database.
"""

from typing import ClassVar

from fornada.db.tls import problem


class FornadaError(Exception):
    """Base class. `code` never changes between versions; the message says what to do."""

    code: ClassVar[str] = "ERROR"


class SettingsError(FornadaError):
    """A setting has a value that cannot be used, or a required setting is missing."""

    code = "SETTINGS"


class BrokerUnreachable(FornadaError):
    """Redis did not answer in time, or answered with an error.

    Args:
        where: the URL of Redis, without its password.
        answer: the first word of an error that Redis answered, such as `READONLY`; empty if it did
            not answer.
        reason: the rest of this answer, or why there was none.
    Attributes:
        sentence: what failed and why.
        tls: what is wrong with TLS; None for another reason.
        todo: what to do about a failure of TLS, in a sentence; empty for another reason.
    """

    code = "BROKER_UNREACHABLE"

    def __init__(self, where: str, answer: str, reason: str) -> None:
        said = f"refused: {answer} {reason}" if answer else f"did not answer: {reason}"
        self.sentence = f"Redis at {where} {said}"
        self.tls = problem(reason, by_tls=where.startswith("rediss:") and not answer)
        self.todo = ""
        if self.tls is not None:
            self.todo = self.tls.todo(url="FORNADA_BROKER_URL", authority="ssl_ca_certs")
        super().__init__(
            f"{self.sentence.rstrip('.')}. {self.todo}" if self.todo else self.sentence
        )
        self.where = where
        self.answer = answer


class StackError(FornadaError):
    """The embedded stack could not start, or one of its processes ended."""

    code = "STACK"


class StackRunning(StackError):
    """Another process already runs the embedded stack of this home."""

    code = "STACK_RUNNING"


class Undecided(FornadaError):
    """The connection to the database broke during a commit of new jobs.

    Nobody can tell whether the database recorded them.
    """

    code = "UNDECIDED"


class WaitTimedOut(FornadaError):
    """The job did not reach a final state in time. It is not cancelled."""

    code = "WAIT_TIMED_OUT"


class NeverScheduled(FornadaError):
    """No worker that exists can ever run the job."""

    code = "NEVER_SCHEDULED"


class LogElsewhere(FornadaError):
    """The log lies on another host, or was deleted."""

    code = "LOG_ELSEWHERE"


class NotStarted(FornadaError):
    """The job has not started, so what was asked for, such as its log, does not exist yet."""

    code = "NOT_STARTED"


class NoKeras(FornadaError):
    """Keras is not installed here, so this installation can neither train nor decode images."""

    code = "NO_KERAS"


class DataUnreadable(FornadaError):
    """This host cannot read the images of a spec."""

    code = "DATA_UNREADABLE"


class NotExtendable(FornadaError):
    """The job cannot be extended: it has no final training state that another job could use."""

    code = "NOT_EXTENDABLE"


class WorkerNotFound(FornadaError):
    """No live worker has this name or runs on this host."""

    code = "WORKER_NOT_FOUND"
