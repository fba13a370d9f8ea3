"""Kinds of single values: true or false, numbers, and one of a few choices."""

import re
from contextlib import suppress
from dataclasses import dataclass

from fornada.spec.kinds import decimals
from fornada.spec.kinds.kind import Kind, any_of, found
from fornada.spec.kinds.reading import At
from fornada.spec.source.nodes import Json, Node, Scalar
from fornada.spec.source.scalars import NumberError, resolve
from fornada.spec.values import CLASSES, Value
from fornada.spec.wording import clip, did_you_mean, sentence

# Above this, JSON readers that use doubles, as JavaScript does, lose the last digits.
_LARGEST = 2**53
_FRACTION = re.compile(r"\s*([^/\s]+)\s*/\s*([^/\s]+)\s*")
_DECIMAL = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
# A comma between the thousands: `1,000`.
_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(,[0-9]{3}){1,4}", re.ASCII)
# The JSON Schema of fractions. It is looser than `_FRACTION`: it must accept what `parse` accepts.
_FRACTION_SCHEMA = r"^\s*[-+0-9.eE]+\s*/\s*[-+0-9.eE]+\s*$"


@dataclass(frozen=True)
class Boolean(Kind):
    """true or false. `yes`, `no`, `on` and `off` are refused."""

    words = "true or false"

    def parse(self, node: Node, at: At) -> bool:
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}
        text = node.text.lower() if isinstance(node, Scalar) else ""
        hint = f"\n  Did you mean {meant[text]}?" if text in meant else ""
        raise self.refuse(node, at, f"{found(node)} is not accepted.", hint)

    def schema(self) -> dict[str, Json]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class OnlyTrue(Kind):
    """Only true: what Keras does with false is not supported."""

    words = "true"

    def parse(self, node: Node, at: At) -> bool:
        if isinstance(node, Scalar) and node.value is True:
            return True
        raise self.wrong(node, at)

    def schema(self) -> dict[str, Json]:
        return {"const": True}


@dataclass(frozen=True)
class AutoOrBoolean(Kind):
    """true, false, or auto, with which the trainer decides."""

    words = "auto, true or false"

    def parse(self, node: Node, at: At) -> bool | str:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool) or value == "auto":
            return value
        raise self.refuse(node, at, f"{found(node)} is not accepted.")

    def schema(self) -> dict[str, Json]:
        return {"enum": ["auto", True, False]}


@dataclass(frozen=True)
class Integer(Kind):
    """An integer between two bounds, both included, or "classes" where that is allowed."""

    minimum: int = -_LARGEST
    maximum: int = _LARGEST
    classes: bool = False

    @property
    def words(self) -> str:
        if self.minimum == self.maximum:
            words = str(self.minimum)
        elif self.minimum > -_LARGEST and self.maximum < _LARGEST:
            words = f"an integer from {self.minimum} to {self.maximum}"
        elif self.minimum > -_LARGEST:
            words = f"an integer, {self.minimum} or more"
        else:
            words = "an integer"
        return f'{words}, or "classes"' if self.classes else words

    def parse(self, node: Node, at: At) -> int | str:
        value = node.value if isinstance(node, Scalar) else None
        if self.classes and value == CLASSES:
            return CLASSES
        if isinstance(value, bool) or not isinstance(value, int):
            why = _why_not(value)
            if isinstance(value, str) and _THOUSANDS.fullmatch(value):
                why = ": thousands are written without a comma"
            what = f"{found(node)} is not an integer{why}."
            raise self.refuse(node, at, what, self._hint(value))
        if not self.minimum <= value <= self.maximum:
            raise self.refuse(node, at, f"{clip(str(value))} is out of range.")
        return value

    def _hint(self, value: object) -> str:
        if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST:
            return f"\n  Did you mean {int(value)}?"
        if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,15}", value):
            return f"\n  Did you mean {int(value)}?"
        if isinstance(value, str) and _THOUSANDS.fullmatch(value):
            return f"\n  Did you mean {value.replace(',', '')}?"
        return did_you_mean(value, [CLASSES]) if self.classes and isinstance(value, str) else ""

    def with_classes(self, value: Value, count: int) -> Value:
        return count if self.classes and value == CLASSES else value

    def schema(self) -> dict[str, Json]:
        number: dict[str, Json] = {"type": "integer"}
        if self.minimum > -_LARGEST:
            number["minimum"] = self.minimum
        if self.maximum < _LARGEST:
            number["maximum"] = self.maximum
        return any_of(number, {"const": CLASSES}) if self.classes else number


@dataclass(frozen=True)
class Number(Kind):
    """A finite number, written as a decimal or as a fraction such as 1/255. It becomes a float."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None

    @property
    def words(self) -> str:
        bounds = {
            "{:g} or more": self.minimum,
            "above {:g}": self.above,
            "at most {:g}": self.maximum,
            "below {:g}": self.below,
        }
        given = [text.format(bound) for text, bound in bounds.items() if bound is not None]
        return ", ".join(["a number", *given])

    def parse(self, node: Node, at: At) -> float:
        number = self._number(node)
        if number is None:
            why = _why_not(node.value if isinstance(node, Scalar) else None)
            raise self.refuse(node, at, f"{found(node)} is not a number{why}.", self._hint(node))
        if not self._fits(number):
            raise self.refuse(node, at, f"{found(node)} is out of range.")
        return number

    def _number(self, node: Node) -> float | None:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool):
            return None
        if isinstance(node, Scalar) and node.python and isinstance(value, str):
            value = _exponent(value)
        if isinstance(value, int | float):
            return _finite(value)
        if isinstance(value, str) and (parts := _FRACTION.fullmatch(value)):
            return _fraction(parts[1], parts[2])
        return None

    def _hint(self, node: Node) -> str:
        text = node.value if isinstance(node, Scalar) else None
        if not isinstance(text, str) or len(text) > 40:
            return ""
        plain = text.replace(",", ".").strip()
        if plain.endswith("%") and _DECIMAL.fullmatch(plain[:-1]):
            return f"\n  Did you mean {float(plain[:-1]) / 100:g}?"
        if not _DECIMAL.fullmatch(plain):
            return ""
        return f"\n  Did you mean {plain}{', without quotes' if plain == text else ''}?"

    def _fits(self, number: float) -> bool:
        return (
            (self.minimum is None or number >= self.minimum)
            and (self.maximum is None or number <= self.maximum)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def schema(self) -> dict[str, Json]:
        bounds = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "exclusiveMinimum": self.above,
            "exclusiveMaximum": self.below,
        }
        given = {name: bound for name, bound in bounds.items() if bound is not None}
        # Bounds say nothing of a text, and the pattern nothing of a number.
        return {"type": ["number", "string"], **given, "pattern": _FRACTION_SCHEMA}


def _exponent(text: str) -> float | str:
    """A number with an exponent, such as 1e-3; any other text as it is.

    PyYAML reads 1e-3 as text and 1.0e-3 as a number.
    """
    with suppress(NumberError):
        value = resolve(text) if "e" in text.lower() else text
        return value if isinstance(value, float) else text
    return text


def _why_not(value: object) -> str:
    """The end of a sentence, if a decimal is written with a comma."""
    comma = isinstance(value, str) and decimals.has_comma(value)
    return ": decimals are written with a point" if comma else ""


def _fraction(above: str, below: str) -> float | None:
    """`1/255` as a float; None if the parts are not decimals, or the divisor is 0."""
    if len(above) + len(below) > 64 or not (
        _DECIMAL.fullmatch(above) and _DECIMAL.fullmatch(below)
    ):
        return None
    divisor = float(below)
    return _finite(float(above) / divisor) if divisor else None


def _finite(number: float) -> float | None:
    # An integer beyond a float's range cannot be converted, and infinity is not accepted.
    if abs(number) > 1e308:
        return None
    # -0.0 becomes 0.0: both mean the same, so specs with either must have the same hash.
    return float(number) or 0.0


@dataclass(frozen=True, init=False)
class Choice(Kind):
    """One of a few values."""

    choices: tuple[str | int, ...]

    def __init__(self, *choices: str | int) -> None:
        object.__setattr__(self, "choices", choices)

    @property
    def words(self) -> str:
        return sentence(map(str, self.choices))

    def parse(self, node: Node, at: At) -> str | int:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, str | int) and not isinstance(value, bool) and value in self.choices:
            return value
        names = [str(choice) for choice in self.choices]
        hint = did_you_mean(value, names) if isinstance(value, str) else ""
        raise self.refuse(node, at, f"{found(node)} is not accepted.", hint)

    def schema(self) -> dict[str, Json]:
        return {"enum": list(self.choices)}


@dataclass(frozen=True)
class Verbosity(Kind):
    """0 or 1, also written false or true."""

    words = "0, 1, false or true"

    def parse(self, node: Node, at: At) -> int:
        if isinstance(node, Scalar) and node.value in (0, 1) and not isinstance(node.value, float):
            return int(node.value)
        raise self.wrong(node, at)

    def schema(self) -> dict[str, Json]:
        return {"enum": [0, 1, False, True]}
