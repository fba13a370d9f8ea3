"""A spec while it is checked: what could be read of it so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fornada.spec.values import KerasObject

# Layers that keep how many values an image has, so that the layer before them decides it.
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


@dataclass(frozen=True)
class Draft:
    """What was read of a spec that may have problems; what could not be read is missing."""

    data: Mapping[str, Any]
    model: tuple[KerasObject, ...]
    optimizer: KerasObject | None
    loss: KerasObject | None
    metrics: tuple[KerasObject, ...]
    fit: Mapping[str, Any]
    callbacks: tuple[KerasObject, ...]

    @staticmethod
    def of(values: Mapping[str, Any]) -> "Draft":
        """The draft of the values of all sections, as far as they could be read."""
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
        """Whether it validates; a validation that could not be read counts."""
        return any(self.data.get(name, True) for name in ("validation", "validation_split"))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that the spec itself names."""
        return self.data.get("class_names") or ()

    @property
    def head(self) -> KerasObject | None:
        """The layer that decides how many values the model gives for an image."""
        layers = [layer for layer in self.model if layer.class_name not in _KEEP_SHAPE]
        return layers[-1] if layers else None
