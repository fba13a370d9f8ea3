"""The types of a spec's values after reading."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fornada.spec.source.nodes import Json

Value: TypeAlias = (
    "bool | int | float | str | tuple[Value, ...] | KerasObject | ClassWeights | None"
)

# In an integer argument this word means the number of classes; the worker replaces it.
CLASSES = "classes"
# As `class_weight`: weights that compensate for classes of different size.
BALANCED = "balanced"
# At most nine digits: no data set has more classes.
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True)
class KerasObject:
    """A Keras class, or a function that Keras knows by name, with its keyword arguments.

    Attributes:
        class_name: Keras's name of the class, such as `Dense`, or of the function, such as `relu`.
        arguments: every argument that a spec may give; Keras's default if the spec gives none.
    """

    class_name: str
    arguments: Mapping[str, Value]

    def document(self) -> Json:
        """The form in a document: the name alone, or `{name: arguments}`."""
        if not self.arguments:
            return self.class_name
        return {self.class_name: {name: to_json(value) for name, value in self.arguments.items()}}


@dataclass(frozen=True)
class ClassWeights:
    """How much an image of each class counts in the loss.

    Attributes:
        indices: weights by the index of the class, from 0, as in Keras's `class_weight`.
        names: weights by the name of the class's folder.
    """

    indices: Mapping[int, float]
    names: Mapping[str, float]

    @property
    def only_names(self) -> bool:
        """Whether there are no indices, and no names that look like an index."""
        return not self.indices and not any(map(is_index, self.names))

    def document(self) -> Json:
        """`{name: weight}` if there are only names, else `{index: {…}, name: {…}}`.

        JSON cannot have integers as keys. So the second form has two groups, to tell indices from
        names.
        """
        if self.only_names:
            return dict(self.names)
        indices = {str(index): weight for index, weight in self.indices.items()}
        return {"index": {**indices}, "name": {**self.names}}

    def by_label(self, classes: Sequence[str]) -> dict[int, float]:
        """The weights by label.

        Args:
            classes: names in the order of their labels; every key of the weights is one of them.
        """
        labels = {name: label for label, name in enumerate(classes)}
        return {**self.indices, **{labels[name]: weight for name, weight in self.names.items()}}


def is_index(text: str) -> bool:
    """Whether a key without quotes is the index of a class.

    `007` is not an index: with leading zeros, YAML reads it as text.
    """
    return bool(_INDEX.fullmatch(text))


def to_json(value: Value) -> Json:
    """The JSON form of a value."""
    if isinstance(value, KerasObject | ClassWeights):
        return value.document()
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    return value
