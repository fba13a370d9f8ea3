"""`true` is no number: YAML, JSON and Python would count it as 1."""

import pytest

from fornada.spec.catalogue import FAMILIES
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.plain import Verbosity
from fornada.spec.kinds.reading import At, Reading, Refused
from fornada.spec.sections import TOP, Section
from fornada.spec.source.nodes import literal

SECTIONS = ("data", "fit", "resources", "retry")


def kinds() -> dict[str, Kind]:
    """The kind of every field and argument of a spec, by its name."""
    found = {
        f"{name}.{argument}": field.kind
        for family in FAMILIES.values()
        for name, fields in family.arguments.items()
        for argument, field in fields.fields.items()
    }
    for section in SECTIONS:
        kind = TOP.fields[section].kind
        assert isinstance(kind, Section)
        found |= {f"{section}.{name}": field.kind for name, field in kind.fields.fields.items()}
    return found


@pytest.mark.parametrize("written", [True, False])
def test_true_passes_for_no_number(written: bool) -> None:
    for name, kind in kinds().items():
        at = At(Reading())
        try:
            value = kind.parse(literal(written), at)
        except Refused:
            continue
        # Keras documents verbose as a number or a boolean.
        passes = isinstance(value, bool) or isinstance(kind, Verbosity) or at.reading.problems
        assert passes, (name, value)
