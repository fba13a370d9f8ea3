"""The defaults of the JSON Schema are those with which a spec is read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fornada.spec import load
from fornada.spec.catalogue import FAMILIES
from fornada.spec.docs.schema import json_schema
from fornada.spec.kinds.fields import Fields
from fornada.spec.kinds.reading import At, Reading
from fornada.spec.loading import from_document
from fornada.spec.sections import COMPILE, DATA, FIT, RESOURCES, RETRY, TOP
from fornada.spec.source.nodes import literal

REPOSITORY = Path(__file__).parents[2]
SCHEMA: Any = json_schema()
SECTIONS = {
    "data": DATA,
    "compile": COMPILE,
    "fit": FIT,
    "resources": RESOURCES,
    "retry": RETRY,
}


def resolved(schema: Any) -> Any:
    """A schema, or the definition that it refers to."""
    return SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema


def mappings() -> Iterator[tuple[str, Any, Fields]]:
    """Every mapping of a spec: its place, its schema, and the fields that read it."""
    yield "", SCHEMA, TOP
    for name, fields in SECTIONS.items():
        yield name, SCHEMA["properties"][name], fields
    for family_name, family in FAMILIES.items():
        schema = SCHEMA["$defs"][family_name]
        (item,) = [one for one in schema.get("anyOf", [schema]) if "properties" in one]
        for name, entry in family.entries.items():
            its = family.arguments[entry.with_arguments or name]
            yield f"{family_name}.{name}", resolved(item["properties"][name]), its


MAPPINGS = {place: (schema, fields) for place, schema, fields in mappings()}


@pytest.mark.parametrize("place", MAPPINGS)
def test_each_default_of_the_schema_is_what_a_spec_without_it_has(place: str) -> None:
    schema, fields = MAPPINGS[place]
    assert set(schema["properties"]) == set(fields.fields)
    for name, one in fields.fields.items():
        said = schema["properties"][name]
        assert ("default" not in said) == one.required, name
        assert said.get("description") or resolved(said).get("description"), name
        if not one.required:
            at = At(Reading(file="<schema>"))
            assert one.kind.parse(literal(said["default"]), at) == one.parsed_default, name
            assert at.reading.problems == [], name


@pytest.mark.parametrize("file", sorted((REPOSITORY / "specs").glob("*.yaml")), ids=str)
def test_a_spec_with_all_defaults_of_its_sections_written_out_is_the_same_spec(file: Path) -> None:
    spec = load(file)
    document = spec.document()
    short = {
        name: {key: value for key, value in section.items() if not _is_default(name, key, value)}
        if isinstance(section, dict) and name in SECTIONS
        else section
        for name, section in document.items()
    }
    assert short != document
    whole = {
        name: _defaults(name) | section if name in SECTIONS else section
        for name, section in short.items()
    }
    again = from_document(whole, data_root=Path("/"), base=Path("/"))
    assert (again.hash, again.document()) == (spec.hash, document)


def _defaults(section: str) -> dict[str, Any]:
    properties = SCHEMA["properties"][section]["properties"]
    return {name: one["default"] for name, one in properties.items() if "default" in one}


def _is_default(section: str, name: str, value: Any) -> bool:
    return name in _defaults(section) and _defaults(section)[name] == value


def test_every_class_has_its_name_as_title_and_its_sentence() -> None:
    for family in FAMILIES.values():
        schema = SCHEMA["$defs"][family.name]
        (item,) = [one for one in schema.get("anyOf", [schema]) if "properties" in one]
        said = {
            name: (one["title"], one["description"]) for name, one in item["properties"].items()
        }
        assert (
            said.items()
            >= {name: (name, entry.about) for name, entry in family.entries.items()}.items()
        )
