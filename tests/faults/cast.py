"""The jobs of chaos: what they are, what people asked of them, and how each has to end."""

from dataclasses import dataclass, field
from typing import Any

from db.states import JobState
from fornada.spec import loads
from fornada.submission import new_job
from tests.faults.stage import REAL_QUEUE, chosen
from tests.worker_process import REPOSITORY, stub_job

# So many that no schedule uses them up, but for those that crash at each start.
TRIES = 40
STUBS = ("fine", "wait-5", "wait-10", "wait-25", "wait-50", "chatter-3000", "crash-1", "crash")
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
SEEDS = (1, 2)


@dataclass
class Part:
    """One job."""

    name: str
    uid: str
    # None when nobody heard whether it was accepted.
    job_id: int | None = None
    after: int | None = None
    # Of a real one, which of the two.
    seed: int | None = None
    # What people asked, and what they were told: a state, None when they did not hear.
    asked: list[tuple[str, JobState | None]] = field(default_factory=list)

    def may_end(self) -> set[str]:
        """The final states that keep every word that was given."""
        natural = {"failed" if self.name == "crash" else "succeeded"}
        if self.after is not None:
            # With the one that it waited for.
            natural.add("cancelled")
        allowed = natural
        for what, heard in self.asked:
            if what == "cancel":
                allowed = {"cancelled"} | (allowed if heard is None else set())
            elif heard is None:
                allowed = allowed | natural
            else:
                allowed = natural
        return allowed


def stub(pick: float, queue: str, after: int | None = None) -> tuple[Part, Any]:
    """A job for stub trainers, and its row."""
    name = chosen(STUBS, pick)
    tries = 3 if name == "crash" else TRIES
    needs = () if after is None else (after,)
    new = stub_job(name, queue, retry_attempts=tries, after=needs)
    return Part(name, new.uid, after=after), new


def real(pick: float) -> tuple[Part, Any]:
    """A job for real trainers, and its row."""
    seed = chosen(SEEDS, pick)
    text = REAL.format(name=f"real-{seed}", seed=seed, queue=REAL_QUEUE, tries=TRIES)
    new = new_job(loads(text, data_root=REPOSITORY, base=REPOSITORY))
    return Part(f"real-{seed}", new.uid, seed=seed), new


def epochs_of(name: str) -> int:
    """How many epochs a stub trains that ends by itself."""
    kind, _, argument = name.partition("-")
    return int(argument) if kind == "wait" else 2
