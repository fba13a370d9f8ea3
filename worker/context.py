"""What all supervisors of a worker share."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.worker.fitness.fitness import Fitness
from fornada.worker.slots.trainers import Trainers


@dataclass(frozen=True)
class WorkerContext:
    """A worker. Its events, once set, stay set."""

    name: str
    host: str
    settings: Settings
    database: Database
    queues: Sequence[str]
    trainers: Trainers
    fitness: Fitness
    # Versions of the packages that train here, by package name.
    versions: Mapping[str, str] = field(default_factory=dict)
    draining: threading.Event = field(default_factory=threading.Event)
    # Set when `fornada worker drain` has asked this worker to drain and end.
    drain_requested: threading.Event = field(default_factory=threading.Event)
