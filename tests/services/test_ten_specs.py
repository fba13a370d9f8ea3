"""Ten specs, each beside the Keras that its words mean, written by hand.

Files are read by `image_dataset_from_directory`, and `fit` does the rest with Keras's own
callbacks. Only the order of the images within an epoch is the trainer's.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import callbacks, constraints, layers, losses, metrics, optimizers, regularizers
from numpy.typing import NDArray

from fornada.spec.loading import loads
from fornada.worker.trainer.data.order import epoch_order
from tests.services.resuming import run_job
from tests.services.trainer_jobs import write_images

pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compares bits"),
    # Keras converts its variables in a way that this NumPy warns about and the next refuses.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

Arrays = tuple[NDArray[Any], NDArray[Any]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes of unequal size, of which not all is learned in one epoch."""
    root = tmp_path_factory.mktemp("ten")
    many, few = {"1": 40, "2": 24, "3": 16}, {"1": 8, "2": 9, "3": 10}
    write_images(root / "Train", many, size=(12, 10), seed=1, contrast=40)
    write_images(root / "Other", few, size=(9, 13), seed=2, contrast=40)
    write_images(root / "Test", few, size=(12, 10), seed=3, contrast=40)
    write_images(root / "Two/Train", {"cat": 40, "dog": 16}, channels=1, seed=4, contrast=30)
    write_images(root / "Two/Test", {"cat": 9, "dog": 14}, channels=1, seed=5, contrast=30)
    write_images(root / "Clear/Train", many, channels=4, seed=6, contrast=40)
    write_images(root / "Clear/Test", few, channels=4, seed=7, contrast=40)
    return root


@pytest.fixture(autouse=True)
def plainly() -> Iterator[None]:
    """As written: TensorFlow rewrites a loop over steps otherwise than one step, in last bits."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    keras.config.set_dtype_policy("float32")


@dataclass
class Fit:
    """What is given to `compile` and `fit`; `best` is the value that decides, and its mode."""

    inputs: tuple[int, int, int]
    seed: int
    layers: Callable[[], list[Any]]
    compile: Callable[[], dict[str, Any]]
    train: Arrays
    validation: Arrays | None
    test: Arrays
    batch: int
    epochs: int
    best: tuple[str, str]
    callbacks: list[Any] = field(default_factory=list)
    class_weight: dict[int, float] | None = None
    shuffle: bool = True
    precision: str = "float32"


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """These images in the trainer's order, or as they come."""

    def __init__(self, data: Arrays, batch: int, seed: int = 0, *, shuffle: bool = False) -> None:
        super().__init__()
        self.data, self.batch, self.seed, self.shuffle = data, batch, seed, shuffle
        self.epoch = 0

    def __len__(self) -> int:
        return (len(self.data[0]) + self.batch - 1) // self.batch

    def __getitem__(self, step: int) -> Arrays:
        order = epoch_order(len(self.data[0]), self.seed, self.epoch, shuffle=self.shuffle)
        chosen = order[step * self.batch :][: self.batch]
        return self.data[0][chosen], self.data[1][chosen]

    def follow(self) -> Any:
        return callbacks.LambdaCallback(on_epoch_begin=self._begin)

    def _begin(self, epoch: int, logs: object) -> None:
        self.epoch = epoch


def read(
    folder: Path, *, seed: int = 0, shuffle: bool = True, subset: Any = None, **how: Any
) -> Arrays:
    """Images and labels, a file after the other as Keras lists them."""
    share, subset = subset or (None, None)
    listed = keras.utils.image_dataset_from_directory(
        folder,
        seed=seed,
        shuffle=shuffle and share is not None,
        validation_split=share,
        subset=subset,
        verbose=False,
        **how,
    ).file_paths
    whole = keras.utils.image_dataset_from_directory(
        folder, batch_size=None, shuffle=False, verbose=False, **how
    )
    found = dict(zip(whole.file_paths, whole.as_numpy_iterator(), strict=True))
    images, labels = zip(*(found[path] for path in listed), strict=True)
    return np.stack(images), np.stack(labels)


def train_of(folder: Path, **how: Any) -> Arrays:
    """A whole folder to train on: Keras shuffles the list of its files."""
    listed = keras.utils.image_dataset_from_directory(folder, verbose=False, **how).file_paths
    sorted_ones = keras.utils.image_dataset_from_directory(
        folder, verbose=False, **how | {"shuffle": False}
    ).file_paths
    images, labels = read(folder, **{k: v for k, v in how.items() if k != "seed"})
    places = [sorted_ones.index(path) for path in listed]
    return images[places], labels[places]


def indices(labels: NDArray[Any]) -> NDArray[np.int64]:
    one_hot = labels.ndim == 2 and labels.shape[1] > 1
    return (labels.argmax(-1) if one_hot else labels.ravel()).astype(np.int64)


def balanced(labels: NDArray[Any]) -> dict[int, float]:
    counts = np.bincount(indices(labels))
    return {i: len(labels) / (len(counts) * int(count)) for i, count in enumerate(counts)}


CLASS_INDICES = """
data: {train: Train, test: Test, image_size: [12, 10], batch_size: 9, validation_split: 0.25,
  seed: 11}
model:
  - Rescaling: {scale: 1/255}
  - Conv2D: {filters: 4, kernel_size: 3, use_bias: false}
  - BatchNormalization: {momentum: 0.8}
  - ReLU
  - MaxPooling2D
  - Flatten
  - Dropout: {rate: 0.3}
  - Dense: {units: classes, activation: softmax, kernel_regularizer: {L2: {l2: 0.001}}}
compile:
  optimizer: {Adam: {learning_rate: 0.02, clipnorm: 0.5}}
  loss: SparseCategoricalCrossentropy
  metrics: [accuracy, {SparseTopKCategoricalAccuracy: {k: 2, name: top2}}]
fit: {epochs: 5, class_weight: {0: 2.5, 2: 0.5}, jit: false}
callbacks:
  - EarlyStopping: {monitor: top2, patience: 1, min_delta: 0.2, restore_best_weights: true}
  - ModelCheckpoint: {monitor: val_accuracy}
  - ModelCheckpoint: {filepath: "all/{epoch:02d}-{val_loss:.3f}.keras"}
  - ModelCheckpoint: {filepath: low.weights.h5, save_best_only: true, save_weights_only: true}
"""


def class_indices(root: Path) -> Fit:
    how: dict[str, Any] = {"image_size": (12, 10), "seed": 11}
    train = read(root / "Train", subset=(0.25, "training"), **how)
    return Fit(
        (12, 10, 3),
        11,
        lambda: [
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax", kernel_regularizer=regularizers.L2(0.001)),
        ],
        lambda: {
            "optimizer": optimizers.Adam(0.02, clipnorm=0.5),
            "loss": losses.SparseCategoricalCrossentropy(),
            "metrics": ["accuracy", metrics.SparseTopKCategoricalAccuracy(k=2, name="top2")],
        },
        train,
        read(root / "Train", subset=(0.25, "validation"), **how),
        read(root / "Test", **how),
        9,
        5,
        ("val_accuracy", "max"),
        [
            callbacks.EarlyStopping("top2", patience=1, min_delta=0.2, restore_best_weights=True),
            callbacks.ModelCheckpoint("best.keras", "val_accuracy", save_best_only=True),
            callbacks.ModelCheckpoint("all/{epoch:02d}-{val_loss:.3f}.keras"),
            callbacks.ModelCheckpoint(
                "low.weights.h5", save_best_only=True, save_weights_only=True
            ),
        ],
        class_weight={0: 2.5, 2: 0.5},
    )


CLASS_NAMES = """
data: {train: Train, test: Test, image_size: 10, batch_size: 16, validation_split: 0.2, seed: 5,
  label_mode: categorical, interpolation: bicubic}
model:
  - Rescaling: {scale: 1/127.5, offset: -1}
  - Flatten
  - Dense: {units: 8, activation: gelu, kernel_constraint: {MaxNorm: {max_value: 1.5}},
      bias_regularizer: l1}
  - LayerNormalization
  - Dense: {units: classes}
compile:
  optimizer: {AdamW: {learning_rate: 0.01, weight_decay: 0.05, use_ema: true, ema_momentum: 0.9}}
  loss: {CategoricalCrossentropy: {from_logits: true, label_smoothing: 0.1}}
  metrics:
    - categorical_accuracy
    - AUC: {curve: PR, multi_label: true, num_labels: classes, from_logits: true}
    - Precision: {top_k: 1, class_id: 1, name: of_two}
    - Recall: {top_k: 2}
fit: {epochs: 4, class_weight: {"1": 0.5, "3": 3}, jit: false}
callbacks:
  - ModelCheckpoint: {save_best_only: false}
  - ModelCheckpoint: {filepath: "w/{epoch}.weights.h5", save_weights_only: true}
"""


def class_names(root: Path) -> Fit:
    how: dict[str, Any] = {"image_size": (10, 10), "seed": 5, "label_mode": "categorical"}
    how |= {"interpolation": "bicubic"}
    return Fit(
        (10, 10, 3),
        5,
        lambda: [
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Flatten(),
            layers.Dense(
                8,
                activation="gelu",
                kernel_constraint=constraints.MaxNorm(1.5),
                bias_regularizer="l1",
            ),
            layers.LayerNormalization(),
            layers.Dense(3),
        ],
        lambda: {
            "optimizer": optimizers.AdamW(0.01, 0.05, use_ema=True, ema_momentum=0.9),
            "loss": losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
            "metrics": [
                "categorical_accuracy",
                metrics.AUC(curve="PR", multi_label=True, num_labels=3, from_logits=True),
                metrics.Precision(top_k=1, class_id=1, name="of_two"),
                metrics.Recall(top_k=2),
            ],
        },
        read(root / "Train", subset=(0.2, "training"), **how),
        read(root / "Train", subset=(0.2, "validation"), **how),
        read(root / "Test", **how),
        16,
        4,
        ("val_loss", "min"),
        [
            callbacks.ModelCheckpoint("best.keras", save_best_only=True),
            callbacks.ModelCheckpoint("w/{epoch}.weights.h5", save_weights_only=True),
        ],
        class_weight={0: 0.5, 2: 3},
    )


AVERAGES = """
data: {train: Two/Train, test: Two/Test, image_size: [6, 8], color_mode: grayscale, batch_size: 10,
  validation_split: 0.3, seed: 3, label_mode: binary, crop_to_aspect_ratio: true}
model:
  - Rescaling: {scale: 1/255}
  - Flatten
  - Dense: {units: 8, activation: relu}
  - Dropout: {rate: 0.2}
  - Dense: {units: 1, activation: sigmoid}
compile:
  optimizer: {RMSprop: {learning_rate: 0.01, centered: true, momentum: 0.5, use_ema: true,
    ema_momentum: 0.8}}
  loss: BinaryCrossentropy
  metrics: [{BinaryAccuracy: {threshold: 0.4}}, AUC, {Precision: {thresholds: 0.6}}, Recall]
fit: {epochs: 6, class_weight: balanced, jit: false}
callbacks:
  - SwapEMAWeights: {swap_on_epoch: true}
  - ModelCheckpoint: {monitor: val_auc, mode: max}
  - ModelCheckpoint: {filepath: "each-{epoch:02d}-{val_auc:.3f}.keras"}
  - EarlyStopping: {patience: 1, min_delta: 0.1, restore_best_weights: true}
"""


def averages(root: Path) -> Fit:
    how: dict[str, Any] = {"image_size": (6, 8), "seed": 3, "label_mode": "binary"}
    how |= {"color_mode": "grayscale", "crop_to_aspect_ratio": True}
    train = read(root / "Two/Train", subset=(0.3, "training"), **how)
    return Fit(
        (6, 8, 1),
        3,
        lambda: [
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(1, activation="sigmoid"),
        ],
        lambda: {
            "optimizer": optimizers.RMSprop(
                0.01, centered=True, momentum=0.5, use_ema=True, ema_momentum=0.8
            ),
            "loss": losses.BinaryCrossentropy(),
            "metrics": [
                metrics.BinaryAccuracy(threshold=0.4),
                metrics.AUC(),
                metrics.Precision(thresholds=0.6),
                metrics.Recall(),
            ],
        },
        train,
        read(root / "Two/Train", subset=(0.3, "validation"), **how),
        read(root / "Two/Test", **how),
        10,
        6,
        ("val_auc", "max"),
        [
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            callbacks.ModelCheckpoint("best.keras", "val_auc", mode="max", save_best_only=True),
            callbacks.ModelCheckpoint("each-{epoch:02d}-{val_auc:.3f}.keras"),
            callbacks.EarlyStopping(patience=1, min_delta=0.1, restore_best_weights=True),
        ],
        class_weight=balanced(train[1]),
    )


OVERWRITING = """
data: {train: Train, validation: Other, test: Test, image_size: [16, 18], batch_size: 13, seed: 4}
model:
  - Rescaling: {scale: 1/255}
  - Conv2D: {filters: 4, kernel_size: 3, strides: 2, activation: relu}
  - AveragePooling2D: {pool_size: [1, 8]}
  - Flatten
  - Dense: {units: classes, activation: softmax}
compile:
  optimizer:
    SGD:
      learning_rate: {CosineDecay: {initial_learning_rate: 0.01, decay_steps: 20, alpha: 0.1,
        warmup_target: 0.1, warmup_steps: 4}}
      momentum: 0.9
      nesterov: true
      weight_decay: 0.001
      global_clipnorm: 1.0
      use_ema: true
      ema_momentum: 0.7
      ema_overwrite_frequency: 3
  loss: SparseCategoricalCrossentropy
  metrics: [sparse_categorical_accuracy]
fit: {epochs: 4, class_weight: balanced, jit: false}
callbacks:
  - ModelCheckpoint: {monitor: val_sparse_categorical_accuracy, save_weights_only: true}
  - ModelCheckpoint: {filepath: newest.keras}
"""


def overwriting(root: Path) -> Fit:
    how: dict[str, Any] = {"image_size": (16, 18), "seed": 4}
    train = train_of(root / "Train", **how)
    monitor = "val_sparse_categorical_accuracy"
    rate = optimizers.schedules.CosineDecay(0.01, 20, alpha=0.1, warmup_target=0.1, warmup_steps=4)
    return Fit(
        (16, 18, 3),
        4,
        lambda: [
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.AveragePooling2D((1, 8)),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        lambda: {
            "optimizer": optimizers.SGD(
                rate,
                momentum=0.9,
                nesterov=True,
                weight_decay=0.001,
                global_clipnorm=1.0,
                use_ema=True,
                ema_momentum=0.7,
                ema_overwrite_frequency=3,
            ),
            "loss": losses.SparseCategoricalCrossentropy(),
            "metrics": ["sparse_categorical_accuracy"],
        },
        train,
        read(root / "Other", **how),
        read(root / "Test", **how),
        13,
        4,
        (monitor, "max"),
        [
            callbacks.ModelCheckpoint("best.keras", monitor, save_best_only=True),
            callbacks.ModelCheckpoint(
                "best.weights.h5", monitor, save_best_only=True, save_weights_only=True
            ),
            callbacks.ModelCheckpoint("newest.keras"),
        ],
        class_weight=balanced(train[1]),
    )


BOTH_AVERAGES = """
data: {train: Train, test: Test, image_size: [12, 10], batch_size: 12, validation_split: 0.25,
  seed: 6}
model:
  - Rescaling: {scale: 1/255}
  - Flatten
  - Dense: {units: 8, activation: elu}
  - BatchNormalization
  - Dense: {units: classes, activation: softmax}
compile:
  optimizer: {Adam: {learning_rate: 0.01, amsgrad: true, use_ema: true, ema_momentum: 0.9,
    ema_overwrite_frequency: 4}}
  loss: SparseCategoricalCrossentropy
  metrics: [accuracy]
fit: {epochs: 5, precision: mixed_float16, jit: false}
callbacks:
  - EarlyStopping: {monitor: val_accuracy, patience: 1, min_delta: 0.3, start_from_epoch: 1,
      restore_best_weights: true}
  - SwapEMAWeights: {swap_on_epoch: true}
  - ModelCheckpoint: {save_best_only: false}
  - ModelCheckpoint: {filepath: "sub/dir/{epoch:02d}.weights.h5", save_weights_only: true}
  - ModelCheckpoint: {filepath: "{epoch:02d}-{val_loss:.3f}.keras", save_best_only: true,
      monitor: loss}
"""


def both_averages(root: Path) -> Fit:
    how: dict[str, Any] = {"image_size": (12, 10), "seed": 6}
    return Fit(
        (12, 10, 3),
        6,
        lambda: [
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(8, activation="elu"),
            layers.BatchNormalization(),
            layers.Dense(3, activation="softmax"),
        ],
        lambda: {
            "optimizer": optimizers.Adam(
                0.01, amsgrad=True, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=4
            ),
            "loss": losses.SparseCategoricalCrossentropy(),
            "metrics": ["accuracy"],
        },
        read(root / "Train", subset=(0.25, "training"), **how),
        read(root / "Train", subset=(0.25, "validation"), **how),
        read(root / "Test", **how),
        12,
        5,
        ("val_loss", "min"),
        [
            callbacks.EarlyStopping(
                "val_accuracy",
                patience=1,
                min_delta=0.3,
                start_from_epoch=1,
                restore_best_weights=True,
            ),
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            callbacks.ModelCheckpoint("best.keras", save_best_only=True),
            callbacks.ModelCheckpoint("sub/dir/{epoch:02d}.weights.h5", save_weights_only=True),
            callbacks.ModelCheckpoint(
                "{epoch:02d}-{val_loss:.3f}.keras", "loss", save_best_only=True
            ),
        ],
        precision="mixed_float16",
    )


SUBSETS = """
data:
  train: {folder: Train, validation_split: 0.2, subset: training}
  validation: {folder: Other, validation_split: 0.4, subset: validation}
  test: {folder: Test, validation_split: 0.5, subset: validation}
  image_size: [14, 14]
  batch_size: 8
  seed: 21
  interpolation: area
model:
  - Rescaling: {scale: 1/255}
  - SeparableConv2D: {filters: 6, kernel_size: 3, depthwise_regularizer: {L2: {l2: 0.01}},
      pointwise_constraint: NonNeg}
  - AveragePooling2D: {pool_size: 2}
  - Flatten
  - Dense: {units: classes, activation: softmax, kernel_initializer: he_normal}
compile:
  optimizer: {RMSprop: {learning_rate: 0.02, weight_decay: 0.01, clipvalue: 0.2}}
  loss: sparse_categorical_crossentropy
  metrics: [sparse_categorical_accuracy]
fit: {epochs: 5, class_weight: balanced, jit: false}
callbacks:
  - ReduceLROnPlateau: {factor: 0.3, patience: 1, cooldown: 1, min_lr: 0.001, min_delta: 0.3}
  - ModelCheckpoint: {save_best_only: true}
  - ModelCheckpoint: {filepath: under.keras, save_best_only: true, initial_value_threshold: 0.9}
  - ModelCheckpoint: {filepath: "at-{learning_rate:.4f}.keras", save_best_only: true,
      monitor: val_sparse_categorical_accuracy}
"""


def subsets(root: Path) -> Fit:
    how: dict[str, Any] = {"image_size": (14, 14), "seed": 21, "interpolation": "area"}
    train = read(root / "Train", subset=(0.2, "training"), **how)
    return Fit(
        (14, 14, 3),
        21,
        lambda: [
            layers.Rescaling(1 / 255),
            layers.SeparableConv2D(
                6,
                3,
                depthwise_regularizer=regularizers.L2(0.01),
                pointwise_constraint=constraints.NonNeg(),
            ),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", kernel_initializer="he_normal"),
        ],
        lambda: {
            "optimizer": optimizers.RMSprop(0.02, weight_decay=0.01, clipvalue=0.2),
            "loss": "sparse_categorical_crossentropy",
            "metrics": ["sparse_categorical_accuracy"],
        },
        train,
        read(root / "Other", subset=(0.4, "validation"), **how),
        read(root / "Test", subset=(0.5, "validation"), **how),
        8,
        5,
        ("val_loss", "min"),
        [
            callbacks.ReduceLROnPlateau(
                factor=0.3, patience=1, cooldown=1, min_lr=0.001, min_delta=0.3
            ),
            callbacks.ModelCheckpoint("best.keras", save_best_only=True),
            callbacks.ModelCheckpoint(
                "under.keras", save_best_only=True, initial_value_threshold=0.9
            ),
            callbacks.ModelCheckpoint(
                "at-{learning_rate:.4f}.keras",
                "val_sparse_categorical_accuracy",
                save_best_only=True,
            ),
        ],
        class_weight=balanced(train[1]),
    )


IN_ORDER = """
data: {train: Train, validation: Other, test: Test, image_size: [10, 16], color_mode: grayscale,
  batch_size: 20, shuffle: false, seed: 8, label_mode: categorical, class_names: ["3", "1", "2"],
  interpolation: nearest, crop_to_aspect_ratio: true}
model:
  - Input: {shape: [10, 16, 1]}
  - Normalization: {mean: 100, variance: 2500}
  - Flatten
  - Dense: {units: classes, activation: softmax, kernel_constraint: {UnitNorm: {axis: 0}},
      kernel_regularizer: {L1L2: {l1: 0.001, l2: 0.001}}}
compile:
  optimizer: {SGD: {learning_rate: {ExponentialDecay: {initial_learning_rate: 0.5, decay_steps: 5,
    decay_rate: 0.5, staircase: true}}}}
  loss: CategoricalCrossentropy
  metrics: [accuracy, {AUC: {num_thresholds: 20, summation_method: minoring, name: roc}}]
fit: {epochs: 4, class_weight: {"3": 2, "2": 0.25}, jit: false}
callbacks:
  - ModelCheckpoint: {filepath: model.keras, monitor: val_roc, mode: max, save_best_only: true}
  - ModelCheckpoint: {filepath: "ck/{epoch:02d}-{val_loss:.3f}.weights.h5", save_best_only: true,
      save_weights_only: true}
  - TerminateOnNaN
"""


def in_order(root: Path) -> Fit:
    how: dict[str, Any] = {"image_size": (10, 16), "color_mode": "grayscale", "shuffle": False}
    how |= {"label_mode": "categorical", "class_names": ["3", "1", "2"]}
    how |= {"interpolation": "nearest", "crop_to_aspect_ratio": True}
    return Fit(
        (10, 16, 1),
        8,
        lambda: [
            layers.Normalization(mean=100, variance=2500),
            layers.Flatten(),
            layers.Dense(
                3,
                activation="softmax",
                kernel_constraint=constraints.UnitNorm(axis=0),
                kernel_regularizer=regularizers.L1L2(0.001, 0.001),
            ),
        ],
        lambda: {
            "optimizer": optimizers.SGD(
                optimizers.schedules.ExponentialDecay(0.5, 5, 0.5, staircase=True)
            ),
            "loss": losses.CategoricalCrossentropy(),
            "metrics": [
                "accuracy",
                metrics.AUC(num_thresholds=20, summation_method="minoring", name="roc"),
            ],
        },
        read(root / "Train", **how),
        read(root / "Other", **how),
        read(root / "Test", **how),
        20,
        4,
        ("val_roc", "max"),
        [
            callbacks.ModelCheckpoint("best.keras", "val_roc", mode="max", save_best_only=True),
            callbacks.ModelCheckpoint("model.keras", "val_roc", mode="max", save_best_only=True),
            callbacks.ModelCheckpoint(
                "ck/{epoch:02d}-{val_loss:.3f}.weights.h5",
                save_best_only=True,
                save_weights_only=True,
            ),
            callbacks.TerminateOnNaN(),
        ],
        class_weight={0: 2, 2: 0.25},
        shuffle=False,
    )


SIXTEEN_BITS = """
data:
  train: {folder: Clear/Train, validation_split: 0.4, subset: validation}
  validation: {folder: Clear/Train, validation_split: 0.4, subset: training}
  test: Clear/Test
  image_size: 8
  color_mode: rgba
  batch_size: 6
  seed: 9
  interpolation: lanczos3
model:
  - Rescaling: {scale: 1/255}
  - Conv2D: {filters: 4, kernel_size: 3, padding: same, activation: silu,
      kernel_constraint: {MinMaxNorm: {min_value: 0.1, rate: 0.5, axis: [0, 1, 2]}}}
  - BatchNormalization: {gamma_regularizer: l2}
  - GlobalMaxPooling2D
  - Dense: {units: classes, activation: softmax}
compile:
  optimizer: {AdamW: {learning_rate: 0.02, weight_decay: 0.01, gradient_accumulation_steps: 2}}
  loss: SparseCategoricalCrossentropy
  metrics: [sparse_categorical_accuracy]
fit: {epochs: 4, precision: mixed_bfloat16, jit: false}
"""


def sixteen_bits(root: Path) -> Fit:
    how: dict[str, Any] = {"image_size": (8, 8), "color_mode": "rgba", "seed": 9}
    how |= {"interpolation": "lanczos3"}
    return Fit(
        (8, 8, 4),
        9,
        lambda: [
            layers.Rescaling(1 / 255),
            layers.Conv2D(
                4,
                3,
                padding="same",
                activation="silu",
                kernel_constraint=constraints.MinMaxNorm(0.1, rate=0.5, axis=[0, 1, 2]),
            ),
            layers.BatchNormalization(gamma_regularizer="l2"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, activation="softmax"),
        ],
        lambda: {
            "optimizer": optimizers.AdamW(0.02, 0.01, gradient_accumulation_steps=2),
            "loss": losses.SparseCategoricalCrossentropy(),
            "metrics": ["sparse_categorical_accuracy"],
        },
        read(root / "Clear/Train", subset=(0.4, "validation"), **how),
        read(root / "Clear/Train", subset=(0.4, "training"), **how),
        read(root / "Clear/Test", **how),
        6,
        4,
        ("val_loss", "min"),
        [callbacks.ModelCheckpoint("best.keras", save_best_only=True)],
        precision="mixed_bfloat16",
    )


AUGMENTED = """
data: {train: Train, test: Test, image_size: [12, 12], batch_size: 16, seed: 10}
model:
  - RandomFlip: {mode: horizontal}
  - RandomTranslation: {height_factor: 0.05, width_factor: 0.2, fill_mode: constant,
      fill_value: 30}
  - RandomContrast: {factor: 0.2}
  - RandomRotation: {factor: 0.02}
  - Rescaling: {scale: 1/255}
  - Conv2D: {filters: 4, kernel_size: 3, activation: relu}
  - SpatialDropout2D: {rate: 0.1}
  - Flatten
  - Dense: {units: classes}
compile:
  optimizer: {Adam: {learning_rate: 0.01, loss_scale_factor: 2.0}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
fit: {epochs: 4, class_weight: {"2": 2, 0: 0.5}, jit: false}
callbacks:
  - ReduceLROnPlateau: {monitor: loss, patience: 0, factor: 0.5, min_delta: 0.1}
  - EarlyStopping: {monitor: accuracy, patience: 2, baseline: 0.9}
  - ModelCheckpoint: {monitor: loss, save_best_only: true}
  - ModelCheckpoint: {filepath: "runs/{epoch:02d}-{loss:.3f}.weights.h5", save_weights_only: true,
      monitor: accuracy, save_best_only: true}
  - ModelCheckpoint: {filepath: newest.keras, monitor: loss}
"""


def augmented(root: Path) -> Fit:
    how: dict[str, Any] = {"image_size": (12, 12), "seed": 10}
    return Fit(
        (12, 12, 3),
        10,
        lambda: [
            layers.RandomFlip("horizontal"),
            layers.RandomTranslation(0.05, 0.2, fill_mode="constant", fill_value=30),
            layers.RandomContrast(0.2),
            layers.RandomRotation(0.02),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.SpatialDropout2D(0.1),
            layers.Flatten(),
            layers.Dense(3),
        ],
        lambda: {
            "optimizer": optimizers.Adam(0.01, loss_scale_factor=2.0),
            "loss": losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        },
        train_of(root / "Train", **how),
        None,
        read(root / "Test", **how),
        16,
        4,
        ("loss", "min"),
        [
            callbacks.ReduceLROnPlateau("loss", patience=0, factor=0.5, min_delta=0.1),
            callbacks.EarlyStopping("accuracy", patience=2, baseline=0.9),
            callbacks.ModelCheckpoint("best.keras", "loss", save_best_only=True),
            callbacks.ModelCheckpoint(
                "runs/{epoch:02d}-{loss:.3f}.weights.h5",
                "accuracy",
                save_best_only=True,
                save_weights_only=True,
            ),
            callbacks.ModelCheckpoint("newest.keras"),
        ],
        class_weight={0: 0.5, 1: 2},
    )


LOGITS = """
data:
  train: Two/Train
  validation: {folder: Two/Test, split: 0.4}
  test: {folder: Two/Test, validation_split: 0.4, subset: training}
  image_size: [8, 8]
  color_mode: grayscale
  batch_size: 14
  seed: 12
  label_mode: binary
model:
  - Rescaling: {scale: 1/255}
  - Flatten
  - Dense: {units: 6, activation: tanh}
  - Dense: {units: 1}
compile:
  optimizer: {SGD: {momentum: 0.5, learning_rate: {PiecewiseConstantDecay: {boundaries: [9, 14],
    values: [0.05, 0.1, 0.2]}}}}
  loss: {BinaryCrossentropy: {from_logits: true}}
  metrics: [{BinaryAccuracy: {threshold: 0}}, {AUC: {from_logits: true}}]
fit: {epochs: 5, class_weight: {cat: 0.7, dog: 1.75}, jit: false}
callbacks:
  - ModelCheckpoint: {monitor: val_binary_accuracy}
  - ModelCheckpoint: {filepath: "e{epoch}.keras"}
"""


def logits(root: Path) -> Fit:
    how: dict[str, Any] = {"image_size": (8, 8), "color_mode": "grayscale", "seed": 12}
    how |= {"label_mode": "binary"}
    rate = optimizers.schedules.PiecewiseConstantDecay([9, 14], [0.05, 0.1, 0.2])
    return Fit(
        (8, 8, 1),
        12,
        lambda: [
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(6, activation="tanh"),
            layers.Dense(1),
        ],
        lambda: {
            "optimizer": optimizers.SGD(rate, momentum=0.5),
            "loss": losses.BinaryCrossentropy(from_logits=True),
            "metrics": [metrics.BinaryAccuracy(threshold=0), metrics.AUC(from_logits=True)],
        },
        train_of(root / "Two/Train", **how),
        read(root / "Two/Test", subset=(0.4, "validation"), **how),
        read(root / "Two/Test", subset=(0.4, "training"), **how),
        14,
        5,
        ("val_binary_accuracy", "max"),
        [
            callbacks.ModelCheckpoint("best.keras", "val_binary_accuracy", save_best_only=True),
            callbacks.ModelCheckpoint("e{epoch}.keras"),
        ],
        class_weight={0: 0.7, 1: 1.75},
    )


SPECS: dict[str, tuple[str, Callable[[Path], Fit]]] = {
    "class indices": (CLASS_INDICES, class_indices),
    "class names": (CLASS_NAMES, class_names),
    "averages": (AVERAGES, averages),
    "overwriting": (OVERWRITING, overwriting),
    "both averages": (BOTH_AVERAGES, both_averages),
    "subsets": (SUBSETS, subsets),
    "in order": (IN_ORDER, in_order),
    "sixteen bits": (SIXTEEN_BITS, sixteen_bits),
    "augmented": (AUGMENTED, augmented),
    "logits": (LOGITS, logits),
}


def fitted(fit: Fit) -> tuple[keras.Model, dict[str, list[float]]]:
    keras.config.set_dtype_policy(fit.precision)
    keras.utils.set_random_seed(fit.seed)
    model = keras.Sequential([keras.Input(fit.inputs), *fit.layers()])
    model.compile(**fit.compile(), jit_compile=False)
    train = Batches(fit.train, fit.batch, fit.seed, shuffle=fit.shuffle)
    history: dict[str, list[float]] = model.fit(
        train,
        epochs=fit.epochs,
        validation_data=Batches(fit.validation, fit.batch) if fit.validation else None,
        callbacks=[train.follow(), *fit.callbacks],
        class_weight=fit.class_weight,
        shuffle=False,
        verbose=0,
    ).history
    return model, history


def confusion(model: keras.Model, fit: Fit) -> list[list[int]]:
    """Rows are true classes; one output is a probability, or a logit where it is linear."""
    found = np.asarray(model.predict(Batches(fit.test, fit.batch), verbose=0))
    border = 0 if model.layers[-1].activation is keras.activations.linear else 0.5
    said = found.argmax(-1) if found.shape[1] > 1 else (found.ravel() > border).astype(np.int64)
    size = max(2, found.shape[1])
    matrix = np.zeros((size, size), np.int64)
    np.add.at(matrix, (indices(fit.test[1]), said), 1)
    rows: list[list[int]] = matrix.tolist()
    return rows


def models(folder: Path) -> dict[str, Path]:
    """Files of models and weights by their names, without the trainer's own copies of them."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {
        str(path): folder / path
        for path in found
        if path.suffix in {".keras", ".h5"}
        and path.parts[0] != "state"
        and re.fullmatch(r"best-\d+\.keras", str(path)) is None
    }


def arrays(path: Path) -> dict[str, bytes]:
    """All that a file holds of weights and of the optimizer, to the bit."""
    found: dict[str, bytes] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            array = np.asarray(item[()])
            found[name] = f"{array.dtype}{array.shape}".encode() + array.tobytes()

    content = path.read_bytes()
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            content = archive.read("model.weights.h5")
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(visit)
    return found


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_does_what_its_words_mean_in_keras(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, script = SPECS[name]
    spec = loads(text, data_root=root, base=root)
    run = run_job(spec.document(), root, tmp_path / "ours" / "attempt-1")
    ours, finished = run.folder, run.finished
    (tmp_path / "theirs").mkdir()
    monkeypatch.chdir(tmp_path / "theirs")
    fit = script(root)
    model, history = fitted(fit)

    rows = [
        {metric: values[epoch] for metric, values in history.items()}
        for epoch in range(len(history["loss"]))
    ]
    assert [epoch.metrics for epoch in run.epochs] == rows
    monitor, mode = fit.best
    value = (max if mode == "max" else min)(history[monitor])
    best = finished.best
    assert (best.monitor, best.value) == (monitor, value)
    assert best.epoch == 1 + history[monitor].index(value)

    theirs = models(Path.cwd())
    found = models(ours)
    assert found.keys() - {"last.keras"} == theirs.keys()
    assert [path for path in theirs if arrays(found[path]) != arrays(theirs[path])] == []
    if "last.keras" in found:
        model.save(tmp_path / "after.keras")
        assert arrays(found["last.keras"]) == arrays(tmp_path / "after.keras")

    measured = keras.models.load_model("best.keras")
    assert finished.test is not None
    assert finished.test.confusion_matrix == confusion(measured, fit)
    evaluated = measured.evaluate(Batches(fit.test, fit.batch), verbose=0, return_dict=True)
    assert {"loss": finished.test.loss} | finished.test.metrics == evaluated
