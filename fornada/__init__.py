"""Fornada: batch training of Keras models with a queue.

`Client` does from Python what the `fornada` command does in a terminal:

    from fornada import Client

    with Client() as client:
        job = client.submit("specs/digits.yaml", overrides={"fit.epochs": 3}, tags={"try": "1"})
        document = client.wait(job.id)
        print(document["state"], document["best"]["path"])

A job is named by its id, by the beginning of its uid, or by `@last`. Documents such as that of
`client.show` are dicts; `fornada.db.answers` has the type of each. Times are in seconds, and an
argument of this kind ends in `_s`.

Errors have a `code` that never changes. `FornadaError`, `StoreError` (what the database says) and
`SpecProblems` are the bases of all others. docs/python.md has examples of everything.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fornada.client import Client, Piece, Progress, Submitted, Terms
    from fornada.db.errors import (
        AmbiguousReference,
        BadCursor,
        BadReference,
        DatabaseUnreachable,
        JobNotFound,
        NotPermitted,
        SchemaMismatch,
        StoreError,
        WrongState,
    )
    from fornada.db.reads.pages import Page
    from fornada.db.states import JobState
    from fornada.errors import (
        BrokerUnreachable,
        DataUnreadable,
        FornadaError,
        LogElsewhere,
        NeverScheduled,
        NotExtendable,
        NotStarted,
        SettingsError,
        Undecided,
        WaitTimedOut,
        WorkerNotFound,
    )
    from fornada.settings import Settings
    from fornada.spec import Problem, Spec, SpecProblems

__all__ = [
    "AmbiguousReference",
    "BadCursor",
    "BadReference",
    "BrokerUnreachable",
    "Client",
    "DataUnreadable",
    "DatabaseUnreachable",
    "FornadaError",
    "JobNotFound",
    "JobState",
    "LogElsewhere",
    "NeverScheduled",
    "NotExtendable",
    "NotPermitted",
    "NotStarted",
    "Page",
    "Piece",
    "Problem",
    "Progress",
    "SchemaMismatch",
    "Settings",
    "SettingsError",
    "Spec",
    "SpecProblems",
    "StoreError",
    "Submitted",
    "Terms",
    "Undecided",
    "WaitTimedOut",
    "WorkerNotFound",
    "WrongState",
    "__version__",
]
__version__ = "0.4.0"

# The module of each name. The name is imported when it is asked for, since SQLAlchemy and pydantic
# take longer to import than the help of the command takes to print.
_MODULES = {
    "fornada.client": ("Client", "Piece", "Progress", "Submitted", "Terms"),
    "fornada.db.errors": (
        "AmbiguousReference",
        "BadCursor",
        "BadReference",
        "DatabaseUnreachable",
        "JobNotFound",
        "NotPermitted",
        "SchemaMismatch",
        "StoreError",
        "WrongState",
    ),
    "fornada.db.reads.pages": ("Page",),
    "fornada.db.states": ("JobState",),
    "fornada.errors": (
        "BrokerUnreachable",
        "DataUnreadable",
        "FornadaError",
        "LogElsewhere",
        "NeverScheduled",
        "NotExtendable",
        "NotStarted",
        "SettingsError",
        "Undecided",
        "WaitTimedOut",
        "WorkerNotFound",
    ),
    "fornada.settings": ("Settings",),
    "fornada.spec": ("Problem", "Spec", "SpecProblems"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
