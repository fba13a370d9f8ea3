"""Every argument that a spec accepts acts: a training differs where it is changed.

A class or an argument that comes into the catalogue is tested here by itself. Where no value of it
is known that acts, the test says which table of `witnesses.py` needs an entry.
"""

from typing import Any

import pytest

from fornada.spec import SpecProblems, from_document
from fornada.spec.catalogue import FAMILIES
from fornada.spec.catalogue.conditional import CONDITIONAL
from fornada.spec.loading import from_python
from tests.services.observing import NUMBERS, Seen, differs, observe
from tests.services.witnesses import REQUIRED, SHOWN_ELSEWHERE, STOPS, values_of, where, whole

# An argument may turn probabilities into what Keras takes for logits.
pytestmark = pytest.mark.filterwarnings("ignore:.*received `from_logits=True`:UserWarning")

# Callbacks act on epochs, not on steps: `test_arguments_of_callbacks.py` has them.
ARGUMENTS = [
    (family, name, argument)
    for family in sorted(set(FAMILIES) - {"callbacks"})
    for name, its in FAMILIES[family].arguments.items()
    for argument in its.fields
    if (name, argument) not in SHOWN_ELSEWHERE
]


def spec_of(family: str, name: str, argument: str, value: Any) -> dict[str, Any]:
    """A spec in which one argument has a value, beside what it needs to act."""
    here = where(family, name, argument)
    given = {**REQUIRED.get(name, {}), **here.beside, argument: value}
    return whole(family, {name: given}, here.changes)


@pytest.mark.parametrize(("family", "name", "argument"), ARGUMENTS)
def test_an_argument_acts_or_its_value_is_refused(family: str, name: str, argument: str) -> None:
    here = where(family, name, argument)
    try:
        before, values = values_of(family, name, argument)
    except KeyError as error:
        pytest.fail(f"{name}.{argument}: no second value is known of {error}. Add some to WHERE.")
    seen: dict[Any, Seen] = {}
    for value in [before, *values]:
        now = observe(spec_of(family, name, argument, value))
        for text, then in seen.items():
            meant_same = str(here.same.get(str(value), value)) == text
            assert meant_same or differs(then, now) & here.shows, (
                f"{name}.{argument}: {text} and {value} train the same. Refuse one of them, or "
                "add to WHERE the arguments beside which they differ."
            )
        seen[str(value)] = now
    for value in here.refused:
        with pytest.raises(SpecProblems):
            from_document(spec_of(family, name, argument, value))
    assert len(seen) > 1 or here.refused, f"{name}.{argument}: add values to WHERE."


# Each argument that another one can stop, and a value of that one which does.
STOPPED = [
    (family, name, argument, condition.depends_on)
    for family, its in FAMILIES.items()
    for name in its.entries
    for condition in CONDITIONAL.get(name, ())
    for argument in condition.arguments
]


@pytest.mark.parametrize(("family", "name", "argument", "decides"), STOPPED)
def test_what_keras_would_ignore_is_refused(
    family: str, name: str, argument: str, decides: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, values = values_of(family, name, argument)
    default = FAMILIES[family].arguments[name].fields[argument].default
    stops = STOPS.get((name, argument), FAMILIES[family].arguments[name].fields[decides].default)
    stopped = {**REQUIRED.get(name, {}), decides: stops}
    given, left = ({name: {**stopped, argument: value}} for value in (values[0], default))
    with pytest.raises(SpecProblems) as refused:
        from_python(whole(family, given, {}))
    assert [one.path.rsplit(".", 1)[-1] for one in refused.value.problems] == [argument]

    from_python(whole(family, left, {}))
    # In the document of a job, which an earlier version may have recorded, it is told.
    told = from_document(whole(family, given, {})).warnings
    assert [one.path.rsplit(".", 1)[-1] for one in told] == [argument]
    monkeypatch.setattr("fornada.spec.catalogue.conditional.CONDITIONAL", {})
    found = differs(observe(whole(family, left, {})), observe(whole(family, given, {})))
    assert not found & NUMBERS


def test_what_is_shown_elsewhere_is_still_an_argument() -> None:
    known = {
        (name, argument)
        for family in FAMILIES.values()
        for name, its in family.arguments.items()
        for argument in its.fields
    }
    assert set(SHOWN_ELSEWHERE) <= known
