"""The values of a spec that could be read, for the checks that compare them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fornada.spec.values import KerasObject

# Layers whose output has the shape of their input. They do not decide how many outputs there are.
_KEEP_SHAPE = frozenset(
    {
        "Activation",
        "BatchNormalization",
        "Dropout",
        "LayerNormalization",
        "LeakyReLU",
        "Normalization",
        "ReLU",
        "Rescaling",
    }
)
# Channels of an image, by `data.color_mode`.
_CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}


@dataclass(frozen=True)
class Draft:
    """The values that were read from a spec. Values that could not be read are missing."""

    data: Mapping[str, Any]
    model: tuple[KerasObject, ...]
    optimizer: KerasObject | None
    loss: KerasObject | None
    metrics: tuple[KerasObject, ...]
    fit: Mapping[str, Any]
    callbacks: tuple[KerasObject, ...]

    @staticmethod
    def of(values: Mapping[str, Any]) -> "Draft":
        """The draft from the values of all sections, as `TOP.parse` returns them."""
        compiled = values.get("compile", {})
        return Draft(
            data=values.get("data", {}),
            model=values.get("model", ()),
            optimizer=compiled.get("optimizer"),
            loss=compiled.get("loss"),
            metrics=compiled.get("metrics", ()),
            fit=values.get("fit", {}),
            callbacks=values.get("callbacks", ()),
        )

    @property
    def validates(self) -> bool:
        """Whether the spec validates. A validation that could not be read counts as one."""
        return any(self.data.get(name, True) for name in ("validation", "validation_split"))

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels of an image; None if they could not be read."""
        size, channels = self.data.get("image_size"), _CHANNELS.get(self.data.get("color_mode", ""))
        return (*size, channels) if size and channels else None

    @property
    def class_names(self) -> tuple[str, ...]:
        """`data.class_names` of the spec; empty if it gives none."""
        return self.data.get("class_names") or ()

    @property
    def head(self) -> KerasObject | None:
        """The layer that decides how many outputs the model has for an image."""
        layers = [layer for layer in self.model if layer.class_name not in _KEEP_SHAPE]
        return layers[-1] if layers else None
