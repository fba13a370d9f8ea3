"""What a spec's values are once read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fornada.spec.source.nodes import Json

Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | KerasObject | None"

# In an integer argument: how many classes the data has. The worker puts the number in.
CLASSES = "classes"


@dataclass(frozen=True)
class KerasObject:
    """A Keras class, or a function Keras knows by name, with its keyword arguments.

    Attributes:
        class_name: Keras's own, such as `Dense`; a function's for activations and metrics.
        arguments: every argument that a spec may give, with Keras's default where it gives none.
    """

    class_name: str
    arguments: Mapping[str, Value]

    def document(self) -> Json:
        """As the spec spells it: the bare name, or `{name: arguments}`."""
        if not self.arguments:
            return self.class_name
        return {self.class_name: {name: to_json(value) for name, value in self.arguments.items()}}


def to_json(value: Value) -> Json:
    """The JSON form of a value."""
    if isinstance(value, KerasObject):
        return value.document()
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    return value
