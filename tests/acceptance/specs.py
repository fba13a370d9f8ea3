"""Specs that train in seconds, on the repository's own images."""

from pathlib import Path

SMALL = """\
name: {name}
data:
  train: {train}
  test: Data/Test
  image_size: [28, 28]
  color_mode: grayscale
  batch_size: 64
  validation_split: 0.1
  seed: 1
model:
  - Rescaling: {{scale: 1/255}}
  - Flatten
  - Dense: {{units: 16, activation: relu}}
  - Dense: {{units: classes, activation: softmax}}
compile:
  optimizer: {{Adam: {{learning_rate: 0.005}}}}
  loss: SparseCategoricalCrossentropy
  metrics: [sparse_categorical_accuracy]
fit: {{epochs: {epochs}}}
resources: {{gpus: {gpus}, queue: {queue}}}
"""

# More epochs than any test waits for.
ENDLESS = 100_000


def small(
    folder: Path,
    name: str = "small",
    *,
    epochs: int = 2,
    train: str = "Data/Train",
    gpus: str = "auto",
    queue: str = "default",
) -> Path:
    """Write a spec of a small dense net.

    Args:
        folder: to write to.
        name: of the job, and of the file.
        epochs: how many; one takes a fraction of a second.
        train: folder of training images.
        gpus: auto, 0 or 1.
        queue: of the job.
    """
    file = folder / f"{name}.yaml"
    file.write_text(SMALL.format(name=name, epochs=epochs, train=train, gpus=gpus, queue=queue))
    return file
