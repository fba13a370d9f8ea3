"""What a Celery process does before it imports Celery: it takes its slots and starts its factories.

A factory imports Keras, which takes several seconds, so it starts first. This module and what it
imports load in a fifth of a second.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

from fornada.settings import Settings
from fornada.worker.control_groups import TrainerGroups
from fornada.worker.host import heartbeat_file
from fornada.worker.host.heartbeat import Heartbeat
from fornada.worker.host.heartbeat_file import HomeOfWorker
from fornada.worker.host.options import Options
from fornada.worker.slots import slots
from fornada.worker.slots.environment import scrubbed
from fornada.worker.slots.slots import Slot
from fornada.worker.slots.trainers import Trainers

log = logging.getLogger("fornada.worker")


@dataclass(frozen=True)
class Prepared:
    """What the process has taken and started."""

    options: Options
    settings: Settings
    heartbeat: Heartbeat
    home: HomeOfWorker
    slots: Sequence[Slot]
    trainers: Trainers


def prepare(options: Options) -> Prepared:
    """Take the slots, and start the factories, which import Keras.

    Raises:
        SettingsError: a setting is missing or invalid.
        SlotHeld: another worker of this home holds a GPU that `--slots` names.
        NameHeld: another worker of this home has the name.
    """
    settings = Settings()
    # Without a data root, a worker of a server would read any file for anybody who may submit.
    # So this fails at once where the setting is missing.
    root = settings.data_root_path
    descriptor = options.heartbeat
    if descriptor is None:
        descriptor = heartbeat_file.take(options.home, options.name)
    home = HomeOfWorker(options.home, options.name)
    heartbeat = Heartbeat(descriptor, grace_s=settings.grace_s, upkeep_s=settings.upkeep_s)
    heartbeat.start()
    holder = f"worker {options.name} (process {options.parent or os.getpid()})"
    taken = slots.take(slots.devices(options.slots), settings.home, holder)
    log.info("worker %s: slots %s, data in %s", options.name, _names(taken), root)
    environment = scrubbed(os.environ, _urls(settings)) | {"FORNADA_HOME": str(settings.home)}
    most_jobs = options.jobs_per_trainer or settings.jobs_per_trainer
    groups = TrainerGroups.of_this_process(settings.max_memory_bytes)
    if groups is not None:
        log.info("each trainer has a control group of its own")
    trainers = Trainers(taken, environment, most_jobs=most_jobs, groups=groups)
    trainers.prepare()
    return Prepared(options, settings, heartbeat, home, taken, trainers)


def _urls(settings: Settings) -> list[str]:
    """The URLs that somebody has given. The embedded stack has a password in a file only."""
    given = (settings.database_url, settings.broker_url)
    return [url.reveal() for url in given if url is not None]


def _names(taken: Sequence[Slot]) -> str:
    return ", ".join(slot.name for slot in taken)
