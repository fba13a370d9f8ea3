"""A small job for real trainers, and what two runs of it must agree on."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

from fornada import artifacts
from fornada.client.submission import new_job
from fornada.db.answers import JobAnswer
from fornada.db.queue import jobs
from fornada.db.reads import history
from fornada.db.records import NewJob
from fornada.spec import loads
from tests.worker_process import REPOSITORY, Site

# Trains a few seconds with all that a state must hold: random layers, an optimizer with moments,
# three callbacks, a validation that goes up and down.
REAL = """
name: {name}
data:
  train: Data/Test
  test: Data/Test
  image_size: [14, 14]
  color_mode: grayscale
  batch_size: 16
  validation_split: 0.2
  seed: {seed}
model:
  - Rescaling: {{scale: 1/255}}
  - Conv2D: {{filters: 8, kernel_size: 3, activation: relu}}
  - BatchNormalization
  - Flatten
  - Dropout: {{rate: 0.4}}
  - Dense: {{units: classes, activation: softmax}}
compile:
  optimizer: {{Adam: {{learning_rate: 0.01}}}}
  loss: SparseCategoricalCrossentropy
  metrics: [sparse_categorical_accuracy]
fit: {{epochs: 25}}
callbacks:
  - EarlyStopping: {{monitor: val_loss, patience: 8, restore_best_weights: true}}
  - ReduceLROnPlateau: {{monitor: val_loss, patience: 2, factor: 0.5}}
  - ModelCheckpoint: {{monitor: val_loss, save_best_only: true}}
resources: {{queue: {queue}}}
retry: {{attempts: {tries}}}
"""


def real_job(queue: str, seed: int = 1, tries: int = 3) -> NewJob:
    """The row of one; the seed decides its numbers."""
    text = REAL.format(name=f"real-{seed}", seed=seed, queue=queue, tries=tries)
    return new_job(loads(text, data_root=REPOSITORY, base=REPOSITORY))


def submit_real(site: Site, seed: int = 1) -> int:
    """Submit one to the site's queue; its id."""
    new = real_job(site.queue, seed)
    job_id = jobs.add(site.database, new, "test")
    site.publisher.publish(site.queue, new.uid, None)
    return job_id


def outcome(site: Site, job: JobAnswer) -> dict[str, Any]:
    """All that must be equal, whatever happened on the way; `job` is its document."""
    rows = history.epochs(site.database, job["id"])
    best = job["best"]
    return {
        "history": [
            (row["epoch"], row["learning_rate"], sorted(row["metrics"].items())) for row in rows
        ],
        "best": best and (best["epoch"], best["value"]),
        "best weights": _weights(artifacts.path(site.settings, best["uri"])) if best else None,
        "stop reason": job["stop_reason"],
        "test": job["test"],
        "summaries": job["metrics"],
    }


def differences(found: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """In which parts two outcomes differ, and how."""
    return [
        f"{name} differs: {found[name]}, not {reference[name]}"
        for name in reference
        if found[name] != reference[name]
    ]


def _weights(model: Path) -> str:
    """Of two equal models only this file inside is equal."""
    with zipfile.ZipFile(model) as archive:
        return hashlib.sha256(archive.read("model.weights.h5")).hexdigest()
