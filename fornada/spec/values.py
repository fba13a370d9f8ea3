"""What a spec's values are once read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fornada.spec.source.nodes import Json

Value: TypeAlias = (
    "bool | int | float | str | tuple[Value, ...] | KerasObject | ClassWeights | None"
)

# In an integer argument: how many classes the data has. The worker puts the number in.
CLASSES = "classes"
# In `class_weight`: weights that make up for classes of unequal size.
BALANCED = "balanced"
# Nine digits are more classes than any data have.
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


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


@dataclass(frozen=True)
class ClassWeights:
    """How much an image of each class counts in the loss.

    Attributes:
        indices: weights by the index of the class, from 0, as Keras's `class_weight` has them.
        names: weights by the name of the class's folder.
    """

    indices: Mapping[int, float]
    names: Mapping[str, float]

    @property
    def plain(self) -> bool:
        """Whether every key is a name that nobody takes for an index."""
        return not self.indices and not any(map(is_index, self.names))

    def document(self) -> Json:
        """`{name: weight}` where that is plain, else `{index: {…}, name: {…}}`.

        JSON has no integers as keys, so the second form says of each key what it is.
        """
        if self.plain:
            return dict(self.names)
        indices = {str(index): weight for index, weight in self.indices.items()}
        return {"index": {**indices}, "name": {**self.names}}

    def by_label(self, classes: Sequence[str]) -> dict[int, float]:
        """The weights by label.

        Args:
            classes: names in the order of their labels; every key names one of them.
        """
        labels = {name: label for label, name in enumerate(classes)}
        return {**self.indices, **{labels[name]: weight for name, weight in self.names.items()}}


def is_index(text: str) -> bool:
    """Whether a key, written without quotes, is the index of a class.

    `007` is not: YAML reads it as text.
    """
    return bool(_INDEX.fullmatch(text))


def to_json(value: Value) -> Json:
    """The JSON form of a value."""
    if isinstance(value, KerasObject | ClassWeights):
        return value.document()
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    return value
