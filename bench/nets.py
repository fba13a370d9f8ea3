"""The nets that the benchmarks train, as specs, and what an image of them costs."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from fornada.spec import Spec, loads

SIZE = (28, 28)
_HEAD = """
  - Dense: {units: classes, activation: softmax}
"""
_DENSE = """
  - Input: {shape: [28, 28, 3]}
  - Rescaling: {scale: 1/255}
  - Flatten
  - Dense: {units: 64, activation: relu}
  - Dense: {units: 64, activation: relu}
"""
_CONV = """
  - Input: {shape: [28, 28, 3]}
  - Rescaling: {scale: 1/255}
  - Conv2D: {filters: 32, kernel_size: 3, activation: relu}
  - MaxPooling2D: {pool_size: 2}
  - Conv2D: {filters: 64, kernel_size: 3, activation: relu}
  - MaxPooling2D: {pool_size: 2}
  - Flatten
  - Dense: {units: 128, activation: relu}
"""
# The owner's: two layers of 64 neurons, and Dropout between them.
_OWNER = """
  - Input: {shape: [28, 28, 3]}
  - Rescaling: {scale: 1/255}
  - Flatten
  - Dense: {units: 64, activation: relu}
  - Dropout: {rate: 0.2}
  - Dense: {units: 64, activation: relu}
"""
# As people train a few photographs: each epoch sees them otherwise.
_AUGMENTED = """
  - Input: {shape: [28, 28, 3]}
  - RandomFlip: {mode: horizontal}
  - RandomRotation: {factor: 0.1}
  - Rescaling: {scale: 1/255}
  - Conv2D: {filters: 32, kernel_size: 3, use_bias: false}
  - BatchNormalization
  - ReLU
  - MaxPooling2D: {pool_size: 2}
  - Conv2D: {filters: 64, kernel_size: 3, use_bias: false}
  - BatchNormalization
  - ReLU
  - MaxPooling2D: {pool_size: 2}
  - Flatten
  - Dropout: {rate: 0.5}
  - Dense: {units: 128, activation: relu}
"""
_DENSE_PRODUCTS = 28 * 28 * 3 * 64 + 64 * 64 + 64 * 10
_CONV_PRODUCTS = 26 * 26 * 9 * 3 * 32 + 11 * 11 * 9 * 32 * 64 + 5 * 5 * 64 * 128 + 128 * 10
_TEXT = """
name: {name}
data:
  train: {data}/Train
  image_size: [28, 28]
  batch_size: {batch}
  validation_split: 0.1
  seed: {seed}
model:{layers}
compile:
  optimizer: {{Adam: {{learning_rate: {rate}}}}}
  loss: SparseCategoricalCrossentropy
  metrics: [sparse_categorical_accuracy]
fit: {{epochs: {epochs}}}
callbacks:
  - EarlyStopping: {{monitor: val_loss, patience: 100}}
  - ModelCheckpoint: {{monitor: val_loss, mode: min, save_best_only: true}}
"""


@dataclass(frozen=True)
class Net:
    """A net for images of 28 x 28 pixels in colour.

    Attributes:
        layers: YAML.
        products: multiplications of one image's forward pass in dense and convolutional layers.
    """

    name: str
    layers: str
    products: int

    def epoch_flop(self, train: int, validation: int) -> int:
        """Floating point operations of an epoch: the way back costs twice the way there."""
        return 2 * self.products * (3 * train + validation)


NETS = {
    "dense": Net("dense", _DENSE + _HEAD, _DENSE_PRODUCTS),
    "owner": Net("owner", _OWNER + _HEAD, _DENSE_PRODUCTS),
    "conv": Net("conv", _CONV + _HEAD, _CONV_PRODUCTS),
    "augmented": Net("augmented", _AUGMENTED + _HEAD, _CONV_PRODUCTS),
}


@dataclass(frozen=True)
class Training:
    """One training of a net, however it is done.

    Attributes:
        data: folder with Train/<class>/.
        batch: images of a step.
        rate: learning rate of Adam.
    """

    net: str
    data: Path
    batch: int = 64
    epochs: int = 1
    rate: float = 0.001
    seed: int = 1

    def text(self) -> str:
        """The spec."""
        return _TEXT.format(
            name=f"{self.net}-{self.rate}-{self.seed}",
            data=self.data.absolute(),
            batch=self.batch,
            seed=self.seed,
            layers=NETS[self.net].layers,
            rate=self.rate,
            epochs=self.epochs,
        )

    def spec(self) -> Spec:
        """The spec, checked."""
        return loads(self.text(), data_root=Path("/"))

    def document(self) -> dict[str, object]:
        """The spec's text as plain values."""
        found: dict[str, object] = yaml.safe_load(self.text())
        return found

    def options(self) -> list[str]:
        """What the plain scripts are told."""
        named = {"net": self.net, "data": self.data, "batch": self.batch, "epochs": self.epochs}
        named |= {"rate": self.rate, "seed": self.seed}
        return [f"--{name}={value}" for name, value in named.items()]
