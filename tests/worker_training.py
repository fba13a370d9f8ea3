"""Small real trainings for tests of workers: an epoch takes well under a second."""

from dataclasses import replace

from fornada.db.queue import jobs
from fornada.spec import loads
from tests.worker_process import REPOSITORY, Site, stub_job

SPEC = """
name: {name}
data:
  train: Data/Test
  test: Data/Test
  image_size: [8, 8]
  color_mode: grayscale
  batch_size: 64
  validation_split: 0.2
  seed: 1
model:
  - Rescaling: {{scale: 1/255}}
  - Flatten
  - Dense: {{units: classes, activation: softmax}}
compile: {{optimizer: SGD, loss: SparseCategoricalCrossentropy}}
fit: {{epochs: {epochs}}}
"""
# Has everything that a resume can lose: random layers, momentum, patience, a best model.
RICH = """
name: {name}
data:
  train: Data/Test
  test: Data/Test
  image_size: [8, 8]
  color_mode: grayscale
  batch_size: 32
  validation_split: 0.2
  seed: 1
model:
  - Rescaling: {{scale: 1/255}}
  - RandomTranslation: {{height_factor: 0.1, width_factor: 0.1}}
  - Flatten
  - Dense: {{units: 16, activation: relu}}
  - Dropout: {{rate: 0.3}}
  - Dense: {{units: classes, activation: softmax}}
compile:
  optimizer: {{Adam: {{learning_rate: 0.003}}}}
  loss: SparseCategoricalCrossentropy
  metrics: [sparse_categorical_accuracy]
fit: {{epochs: {epochs}}}
callbacks:
  - EarlyStopping: {{monitor: val_loss, patience: 30}}
  - ReduceLROnPlateau: {{monitor: val_loss, patience: 3}}
  - ModelCheckpoint: {{monitor: val_loss, mode: min, save_best_only: true}}
"""


def submit(site: Site, name: str, *, epochs: int, text: str = SPEC) -> int:
    """Record a real job for a site's queue, and wake a worker; its id."""
    written = text.format(name=name, epochs=epochs)
    spec = loads(written, data_root=REPOSITORY, base=REPOSITORY)
    new = replace(
        stub_job(name, site.queue),
        spec=spec.document(),
        spec_hash=spec.hash,
        monitor=spec.monitor.name,
        monitor_mode=spec.monitor.mode,
    )
    job_id = jobs.add(site.database, new, "test")
    site.publisher.publish(site.queue, new.uid, None)
    return job_id
