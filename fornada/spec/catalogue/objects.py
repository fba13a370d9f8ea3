"""Kinds for Keras classes with their arguments: one object, or a list of objects."""

from contextlib import suppress
from dataclasses import dataclass

from fornada.db.states import FailureCode
from fornada.spec.catalogue.family import Family
from fornada.spec.catalogue.python_calls import as_yaml, called
from fornada.spec.catalogue.signatures import keras_names
from fornada.spec.kinds.kind import Kind, found, or_null
from fornada.spec.kinds.reading import At, Refused
from fornada.spec.source import nodes
from fornada.spec.source.nodes import Json, Mark, Node, Scalar, written_name
from fornada.spec.values import KerasObject, Value
from fornada.spec.wording import clip, did_you_mean, listed, printable, without_space

# Endings of model files. A spec may not name one, because loading a model file can run code.
_MODEL_FILES = (
    ".keras",
    ".h5",
    ".hdf5",
    ".pkl",
    ".pickle",
    ".joblib",
    ".pb",
    ".onnx",
    ".pt",
    ".pth",
)
# Families whose objects stand in lists.
_IN_LISTS = frozenset({"callbacks", "layers", "metrics"})


@dataclass(frozen=True)
class Object(Kind):
    """An object of one class of a family: the class's name, or `{name: {argument: value}}`."""

    family: Family

    @property
    def words(self) -> str:
        return f"{self.family.noun}, as a name or as {{name: {{argument: value}}}}"

    def takes(self, node: Node) -> bool:
        return isinstance(node, nodes.Mapping) or (
            isinstance(node, Scalar) and isinstance(node.value, str)
        )

    def parse(self, node: Node, at: At) -> KerasObject:
        """The object. Arguments that could not be read are missing; their problems are recorded."""
        written, mark, arguments = self._split(node, at)
        name = self._name(written, mark, arguments, at)
        replacement = self.family.entries[name].with_arguments
        if replacement and isinstance(arguments, nodes.Mapping) and arguments.items:
            name = replacement
        here = at.key(written)
        here.record_mark(mark)
        item = KerasObject(name, self.family.arguments[name].parse(arguments, here))
        here.record_place(item)
        return item

    def _split(self, node: Node, at: At) -> tuple[str, Mark, Node]:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return node.value, node.mark, nodes.Mapping({}, {}, node.mark)
        if not isinstance(node, nodes.Mapping) or not node.items:
            raise self.wrong(node, at)
        names = list(node.items)
        if len(names) > 1:
            raise self.refuse(node, at, _several(names, node))
        return names[0], node.keys[names[0]], node.items[names[0]]

    def _name(self, written: str, mark: Mark, arguments: Node, at: At) -> str:
        name = self.family.aliases.get(written, written)
        if name in self.family.entries:
            return name
        if is_model_file(written):
            raise at.refuse(mark, untrusted(written), FailureCode.MODEL_UNTRUSTED)
        code = FailureCode.PATH_REFUSED if _reads_a_file(arguments) else FailureCode.SPEC_INVALID
        raise at.refuse(mark, _unknown(self.family, written), code)

    def with_classes(self, value: Value, count: int) -> Value:
        if not isinstance(value, KerasObject):
            return value
        fields = self.family.arguments[value.class_name].fields
        arguments = {
            name: fields[name].kind.with_classes(argument, count)
            for name, argument in value.arguments.items()
        }
        return KerasObject(value.class_name, arguments)

    def schema(self) -> dict[str, Json]:
        return {"$ref": f"#/$defs/{self.family.name}"}


def is_model_file(written: str) -> bool:
    """Whether a text names a model file."""
    return written.lower().endswith(_MODEL_FILES)


def untrusted(written: str) -> str:
    """The message that refuses a model file."""
    return (
        f'"{clip(written)}" is a model file. Model files are not loaded: they can run code.\n'
        "  Expected the layers of the model."
    )


def _reads_a_file(arguments: Node) -> bool:
    """Whether a layer would read its vocabulary from a file on the worker's host."""
    if not isinstance(arguments, nodes.Mapping):
        return False
    vocabulary = arguments.items.get("vocabulary")
    return isinstance(vocabulary, Scalar) and isinstance(vocabulary.value, str)


def _several(names: list[str], node: nodes.Mapping) -> str:
    first = node.items[names[0]]
    what = f"{len(names)} names in one item: {listed(names, 4)}."
    if isinstance(first, Scalar) and first.value is None:
        # After `- Dense:` the arguments are not indented: the most common mistake in such lists.
        what += f" Indent the arguments below {clip(names[0])}."
    return what


def _unknown(family: Family, written: str) -> str:
    right = [*family.entries, *family.aliases]
    shown = clip(written)
    if name := called(written):
        known = family.aliases.get(name, name)
        if known not in family.entries:
            return _unknown(family, name)
        return _in_python(family, known, written)
    if glued := without_space(written, right):
        return glued
    if " - " in written:
        # A line that begins with a dash and is indented more goes on with the text above it.
        return (
            f'"{shown}" is one text of several lines, each indented more than the first.\n'
            "  Expected every dash of a list in the same column."
        )
    if written in keras_names(family.name):
        what = f'"{shown}" of Keras is not supported yet.'
    else:
        what = f'there is no {family.noun.split(" ", 1)[1]} "{shown}".'
    hint = did_you_mean(written, right)
    if written in family.instead:
        hint = f'\n  Did you mean "{family.instead[written]}"?'
    return f"{what}\n  Expected one of: {listed(family.entries)}.{hint}"


def _in_python(family: Family, name: str, written: str) -> str:
    """The message for `Dense(3)`."""
    yaml = as_yaml(written, family.arguments[name].fields) or f"{name}: {{argument: value}}"
    meant = f"- {yaml}" if family.name in _IN_LISTS else f"{{{yaml}}}" if ": " in yaml else yaml
    # The whole text, which may be long: it is there to be copied.
    return (
        f'"{clip(written)}" is Python; a spec has the name and its arguments in YAML.\n'
        f"  Expected {Object(family).words}.\n  Did you mean {printable(meant)}?"
    )


@dataclass(frozen=True)
class ObjectList(Kind):
    """A list of objects of one family.

    Attributes:
        minimum: least number of objects.
        indexed: whether problems always name an item by its index, from 0: `model.3.Dense`.
            Otherwise a unique class is enough: `callbacks.EarlyStopping`.
    """

    family: Family
    minimum: int = 0
    indexed: bool = False

    @property
    def words(self) -> str:
        return f"a list of items, each {Object(self.family).words}"

    def parse(self, node: Node, at: At) -> tuple[KerasObject, ...]:
        if isinstance(node, Scalar) and node.value is None and not self.minimum:
            return ()
        if not isinstance(node, nodes.Sequence):
            if isinstance(node, Scalar) and is_model_file(node.text):
                code = FailureCode.MODEL_UNTRUSTED
                raise at.refuse(node.mark, untrusted(node.text), code)
            hint = ""
            if isinstance(node, nodes.Mapping):
                hint = "\n  Begin each item with a dash."
            elif isinstance(node, Scalar) and node.value in self.family.entries:
                hint = f"\n  Did you mean [{node.value}]?"
            raise self.refuse(node, at, f"{found(node)} is not accepted.", hint)
        if len(node.items) < self.minimum:
            raise self.refuse(node, at, "an empty list is not accepted.")
        items = []
        for place, item in zip(self._places(node, at), node.items, strict=True):
            place.record_mark(item.mark)
            with suppress(Refused):
                items.append(Object(self.family).parse(item, place))
        return tuple(items)

    def _places(self, node: nodes.Sequence, at: At) -> list[At]:
        names = [written_name(item) for item in node.items]
        right = {*self.family.entries, *self.family.aliases}
        return [
            at
            if not self.indexed and name in right and names.count(name) == 1
            else at.key(str(index))
            for index, name in enumerate(names)
        ]

    def with_classes(self, value: Value, count: int) -> Value:
        if not isinstance(value, tuple):
            return value
        return tuple(Object(self.family).with_classes(item, count) for item in value)

    def schema(self) -> dict[str, Json]:
        items: dict[str, Json] = {"type": "array", "items": Object(self.family).schema()}
        if self.minimum:
            return {**items, "minItems": self.minimum}
        return or_null(items)
