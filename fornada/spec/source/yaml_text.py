"""Turns YAML text into nodes, within limits. Anchors, aliases and tags are refused.

PyYAML only gives events; a loop here builds the nodes from them. So depth and size are checked as
the text is read, and no text can make PyYAML create Python objects.
"""

from contextlib import suppress
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from fornada.db.states import FailureCode
from fornada.encodings import not_text, not_utf8
from fornada.spec.problems import Problem, SpecProblems
from fornada.spec.source.limits import MAX_BYTES, MAX_DEPTH, MAX_NODES, control
from fornada.spec.source.nodes import Mapping, Mark, Node, Scalar, Sequence
from fornada.spec.source.scalars import NumberError, resolve
from fornada.spec.source.yaml_errors import Loader, explain
from fornada.spec.wording import clip

# LibYAML's loader takes a twentieth of the time of PyYAML's own. PyYAML's own loader reads again
# whatever LibYAML refuses, so that messages are the same on machines without LibYAML.
_FAST = getattr(yaml, "CSafeLoader", None)
# `ScalarEvent.implicit` of a scalar without quotes; with quotes it is (False, True).
_PLAIN = (True, False)


class _BrokenYaml(Exception):  # carries a message to `read`, which always catches it
    def __init__(self, line: int | None, message: str) -> None:
        super().__init__(message)
        self.line = line


def read(data: bytes | str, file: str) -> Node:
    """Parse one YAML document.

    Raises:
        SpecProblems: one problem with SPEC_SYNTAX, at the line where reading stopped.
    """
    try:
        text = _decode(data, file)
        if _FAST is not None:
            with suppress(yaml.YAMLError, ValueError):
                return _YamlBuilder().take_all(_FAST(text))
        return _YamlBuilder().build(text)
    except _BrokenYaml as broken:
        problem = Problem(file, broken.line, "", str(broken), FailureCode.SPEC_SYNTAX)
        raise SpecProblems([problem]) from None


def _decode(data: bytes | str, file: str) -> str:
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if what := not_text(data):
        raise _BrokenYaml(1, f"{what}.\n  Expected a spec: a text in YAML.")
    if len(data) > MAX_BYTES:
        raise _BrokenYaml(
            None, f"the spec is {len(data):,} bytes.\n  At most {MAX_BYTES:,} are read."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _BrokenYaml(line, not_utf8(data, file) or "not UTF-8 text.") from None
    if "\0" in text[:2] and (encoded := not_utf8(data, file)):
        # Every second byte of UTF-16 is zero in a text of ASCII letters, which is UTF-8, too.
        raise _BrokenYaml(1, encoded)
    if bad := control(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise _BrokenYaml(line, f"character U+{ord(bad[0]):04X} is not allowed in a spec.")
    return text


class _YamlBuilder:
    """Turns events into nodes. A stack holds the lists and mappings that are still open."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.open: list[Sequence | Mapping] = []
        # For each open list or mapping: the key whose value comes next, or None.
        self.keys: list[str | None] = []
        self.documents = 0
        self.nodes = 0

    def build(self, text: str) -> Node:
        loader = Loader(text)
        try:
            return self.take_all(loader)
        except yaml.MarkedYAMLError as error:
            explained = explain(error, text, loader)
            raise _BrokenYaml(explained.line, explained.message) from None
        except ValueError:
            # PyYAML passes an escape beyond Unicode to chr(), which raises it.
            sentence = "not YAML: an escape in double quotes names a character beyond Unicode."
            raise _BrokenYaml(loader.line + 1, sentence) from None
        except yaml.YAMLError as error:
            raise _BrokenYaml(loader.line + 1, f"not YAML: {error}.") from None

    def take_all(self, loader: Any) -> Node:
        while loader.check_event():
            self._take(loader.get_event())
        if self.root is None:
            raise _BrokenYaml(1, "the spec is empty.\n  Expected data, model, compile and fit.")
        return self.root

    def _take(self, event: Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise _BrokenYaml(
                    line, "a second document begins.\n  Expected one spec in each file."
                )
        elif isinstance(event, AliasEvent):
            raise _BrokenYaml(
                line, f"alias *{clip(str(event.anchor))} is refused.\n  Write the value again."
            )
        elif isinstance(event, ScalarEvent | CollectionStartEvent):
            self._check(event, line)
            self._add(event, Mark(line))
        elif isinstance(event, SequenceEndEvent | MappingEndEvent):
            self.open.pop()
            self.keys.pop()

    def _check(self, event: ScalarEvent | CollectionStartEvent, line: int) -> None:
        if event.anchor is not None:
            raise _BrokenYaml(
                line, f"anchor &{clip(str(event.anchor))} is refused.\n  Write the value again."
            )
        if event.tag is not None:
            raise _BrokenYaml(line, f"tag {clip(event.tag)} is refused.\n  A spec needs no tags.")
        if isinstance(event, ScalarEvent) and (bad := control(event.value)):
            # `_decode` checked the text itself; this character was written as an escape.
            raise _BrokenYaml(line, f"character U+{ord(bad[0]):04X} is not allowed in a spec.")
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _BrokenYaml(line, f"more than {MAX_NODES:,} values.")
        if isinstance(event, CollectionStartEvent) and len(self.open) >= MAX_DEPTH:
            raise _BrokenYaml(line, f"lists and mappings are nested deeper than {MAX_DEPTH}.")

    def _add(self, event: ScalarEvent | CollectionStartEvent, mark: Mark) -> None:
        if self.open and isinstance(self.open[-1], Mapping) and self.keys[-1] is None:
            self._key(event, self.open[-1], mark)
            return
        node = _node(event, mark)
        self._attach(node)
        if isinstance(node, Sequence | Mapping):
            self.open.append(node)
            self.keys.append(None)

    def _key(self, event: ScalarEvent | CollectionStartEvent, mapping: Mapping, mark: Mark) -> None:
        if not isinstance(event, ScalarEvent):
            raise _BrokenYaml(
                mark.line, "a list or mapping cannot be a name.\n  Expected text or a number."
            )
        name = event.value
        quoted = event.implicit != _PLAIN
        if name in mapping.keys:
            first = mapping.keys[name].line
            if quoted != (name in mapping.quoted):
                raise _BrokenYaml(
                    mark.line,
                    f"{clip(name)} is given twice, with quotes and without, first on line {first}."
                    "\n  Expected only one of the two.",
                )
            # `{a: 0,001, b: 0,001}` has the name 001 twice.
            point = "\n  Decimals are written with a point, as in 0.5." if name.isdigit() else ""
            raise _BrokenYaml(
                mark.line, f'"{clip(name)}" is given twice, first on line {first}.{point}'
            )
        mapping.keys[name] = mark
        if quoted:
            mapping.quoted.add(name)
        self.keys[-1] = name

    def _attach(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
            return
        name = self.keys[-1]
        if name is not None:
            parent.items[name] = node
        self.keys[-1] = None


def _node(event: ScalarEvent | CollectionStartEvent, mark: Mark) -> Node:
    if isinstance(event, SequenceStartEvent):
        return Sequence([], mark)
    if not isinstance(event, ScalarEvent):
        return Mapping({}, {}, mark)
    if event.implicit != _PLAIN:
        return Scalar(event.value, event.value, mark)
    try:
        return Scalar(resolve(event.value), event.value, mark)
    except NumberError as error:
        raise _BrokenYaml(mark.line, str(error)) from None
