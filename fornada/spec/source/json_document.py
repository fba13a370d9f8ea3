"""Turns a JSON document into nodes, within the same limits as YAML text."""

from datetime import date

from fornada.db.states import FailureCode
from fornada.spec.problems import Problem, SpecProblems
from fornada.spec.source.limits import MAX_BYTES, MAX_DEPTH, MAX_NODES, control
from fornada.spec.source.nodes import Mapping, Mark, Node, Scalar, Sequence, literal
from fornada.spec.source.scalars import MAX_DIGITS, NumberError, finite

# PyYAML follows YAML 1.1.
_READ = "\n  PyYAML reads yes, no, on and off without quotes as true and false."


class _BrokenJson(Exception):  # carries a message to `read`, which always catches it
    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def read(document: object, file: str, *, python: bool = False) -> Node:
    """The nodes of a document, as `json.loads` or a Python program gives it.

    Args:
        document: the document.
        file: its name in problems.
        python: whether a Python program gave it; see `Scalar`.
    Raises:
        SpecProblems: one problem with SPEC_SYNTAX, at the first value that is nested too deep,
            too large, not finite or not JSON.
    """
    try:
        return _JsonBuilder(python).build(document, ())
    except _BrokenJson as broken:
        problem = Problem(file, None, broken.path, str(broken), FailureCode.SPEC_SYNTAX)
        raise SpecProblems([problem]) from None


class _JsonBuilder:
    def __init__(self, python: bool) -> None:
        self.python = python
        self.nodes = 0
        self.size = 0

    def build(self, value: object, path: tuple[str, ...]) -> Node:
        # Depth and count are checked before the values inside are read. So the depth limit bounds
        # the recursion, and the count limit bounds the time.
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self._broken(path, f"more than {MAX_NODES:,} values.")
        if isinstance(value, dict | list | tuple):
            if len(path) >= MAX_DEPTH:
                raise self._broken(path, f"lists and mappings are nested deeper than {MAX_DEPTH}.")
            return self._collection(value, path)
        return self._scalar(value, path)

    def _collection(
        self, value: dict[object, object] | list[object] | tuple[object, ...], path: tuple[str, ...]
    ) -> Node:
        if not isinstance(value, dict):
            items = [self.build(item, (*path, str(i))) for i, item in enumerate(value)]
            return Sequence(items)
        named: dict[str, Node] = {}
        quoted = {key for key in value if isinstance(key, str)}
        for key, item in value.items():
            # A Python dictionary may have integers as keys, such as the indices of classes.
            if isinstance(key, bool):
                raise self._broken(path, f"the name {key} is neither text nor an integer.{_READ}")
            if not isinstance(key, str | int):
                raise self._broken(path, f"the name {key!r:.60} is neither text nor an integer.")
            name = str(key)
            if name in named:
                raise self._broken(path, f"{name} is given twice, as a number and as text.")
            self._check_text(name, path)
            named[name] = self.build(item, (*path, name))
        return Mapping(named, dict.fromkeys(named, Mark()), quoted=quoted)

    def _scalar(self, value: object, path: tuple[str, ...]) -> Scalar:
        if isinstance(value, str):
            self._check_text(value, path)
        elif isinstance(value, float):
            try:
                finite(value, str(value))
            except NumberError as error:
                raise self._broken(path, str(error)) from None
        elif isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
            raise self._broken(path, f"a number of more than {MAX_DIGITS} digits.")
        elif isinstance(value, date):
            what = f"a Python {type(value).__name__} is not a JSON value."
            raise self._broken(path, f"{what}\n  PyYAML reads {value} without quotes as a date.")
        elif value is not None and not isinstance(value, bool | int):
            raise self._broken(path, f"a Python {type(value).__name__} is not a JSON value.")
        node = literal(value)
        assert isinstance(node, Scalar)  # noqa: S101  (narrowed above)
        node.python = self.python
        return node

    def _check_text(self, text: str, path: tuple[str, ...]) -> None:
        self.size += len(text)
        if self.size > MAX_BYTES:
            raise self._broken((), f"the spec is larger than {MAX_BYTES:,} characters.")
        if bad := control(text):
            raise self._broken(path, f"character U+{ord(bad[0]):04X} is not allowed in a spec.")

    def _broken(self, path: tuple[str, ...], message: str) -> _BrokenJson:
        return _BrokenJson(".".join(path), message)
