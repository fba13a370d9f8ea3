"""What all supervisors of a worker share."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.worker.slots.trainers import Trainers


@dataclass(frozen=True)
class WorkerContext:
    """A worker; what is set once stays so."""

    name: str
    host: str
    settings: Settings
    database: Database
    queues: Sequence[str]
    trainers: Trainers
    # Of what trains here, by package.
    versions: Mapping[str, str] = field(default_factory=dict)
    draining: threading.Event = field(default_factory=threading.Event)
    # Somebody asked from afar that the worker drains, and ends.
    drain_requested: threading.Event = field(default_factory=threading.Event)
