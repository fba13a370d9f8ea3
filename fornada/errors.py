"""What can go wrong outside of a spec and of the store: a shallow tree with stable codes.

`fornada.spec.SpecProblems` and `fornada.db.errors.StoreError` are the other two families.
"""

from typing import ClassVar


class FornadaError(Exception):
    """Base of the errors of this package; `code` is stable, the message says what to do."""

    code: ClassVar[str] = "ERROR"


class SettingsError(FornadaError):
    """A setting has no usable value."""

    code = "SETTINGS"


class BrokerUnreachable(FornadaError):
    """Redis did not answer in time, or refused us."""

    code = "BROKER_UNREACHABLE"


class StackError(FornadaError):
    """The embedded stack could not be started, or a part of it ended."""

    code = "STACK"


class StackRunning(StackError):
    """Another process holds the embedded stack of this home."""

    code = "STACK_RUNNING"


class Undecided(FornadaError):
    """The database went away as it recorded jobs: nobody knows whether it did."""

    code = "UNDECIDED"


class WaitTimedOut(FornadaError):
    """The job was not final in time; it goes on."""

    code = "WAIT_TIMED_OUT"


class NeverScheduled(FornadaError):
    """No worker there is can ever run the job."""

    code = "NEVER_SCHEDULED"


class LogElsewhere(FornadaError):
    """The log lies on another host, or is gone."""

    code = "LOG_ELSEWHERE"


class NotStarted(FornadaError):
    """What was asked for exists only once the job has started."""

    code = "NOT_STARTED"


class NoKeras(FornadaError):
    """This installation is a client: it can neither train nor decode."""

    code = "NO_KERAS"


class DataUnreadable(FornadaError):
    """The images of a spec cannot be read on this host."""

    code = "DATA_UNREADABLE"


class NotExtendable(FornadaError):
    """The job has no end from which another could go on."""

    code = "NOT_EXTENDABLE"


class WorkerNotFound(FornadaError):
    """No living worker goes by this name or host."""

    code = "WORKER_NOT_FOUND"
