"""The catalogue fits Keras's signatures, and the pages generated from it are up to date."""

from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from fornada.spec import load
from fornada.spec.catalogue import FAMILIES
from fornada.spec.catalogue.signatures import BORROWED, keras_names, signature
from fornada.spec.docs import SCHEMA, pages, schema_text
from fornada.spec.docs.schema import json_schema
from fornada.spec.source.nodes import Json, Mapping, Node, Scalar
from fornada.spec.source.yaml_text import read

REPOSITORY = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
CLASSES = [(family, name) for family, one in FAMILIES.items() for name in one.entries]


@pytest.mark.parametrize(("family", "name"), CLASSES)
def test_every_argument_of_keras_is_accepted_or_refused_with_a_message(
    family: str, name: str
) -> None:
    entry = FAMILIES[family].entries[name]
    keras = set(signature(family, name))

    assert set(entry.arguments) | set(entry.refused) == keras
    assert not set(entry.arguments) & set(entry.refused)
    assert all(
        sentence.endswith((".", "save it with the model.")) for sentence in entry.refused.values()
    )
    assert entry.about.endswith(".")


@pytest.mark.parametrize(("family", "name"), CLASSES)
def test_every_default_is_a_value_that_a_spec_may_give(family: str, name: str) -> None:
    for one in FAMILIES[family].arguments[name].fields.values():
        if not one.required:
            assert one.kind.words
            one.parsed_default  # noqa: B018  (raises an exception if the default is refused)


def test_every_name_exists_in_keras() -> None:
    # Keras does not have MinPooling2D, and knows `accuracy` only as a string.
    for family, name in CLASSES:
        if name not in (*BORROWED, "accuracy"):
            assert name in keras_names(family)
    for one in FAMILIES.values():
        assert set(one.aliases.values()) <= set(one.entries)
        assert not set(one.aliases) & set(one.entries)


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_committed_pages_are_up_to_date(name: str) -> None:
    assert (REPOSITORY / "docs" / name).read_text() == pages()[name]


def test_the_schema_of_the_package_is_up_to_date() -> None:
    assert SCHEMA.read_text() == schema_text()


def test_the_schema_is_valid_and_accepts_every_example() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())

    for path in sorted((REPOSITORY / "specs").glob("*.yaml")):
        VALIDATOR.validate(_json(read(path.read_bytes(), path.name)))
        VALIDATOR.validate(load(path).document())


def test_every_definition_of_the_schema_is_used_and_every_reference_has_one() -> None:
    schema = json_schema()
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)

    assert set(_references(schema)) == {f"#/$defs/{name}" for name in definitions}


@pytest.mark.parametrize(
    "case", ["padding-sane", "argument-misspelled", "section-misspelled", "use-bias-no"]
)
def test_the_schema_refuses_mistakes_that_an_editor_should_mark(case: str) -> None:
    path = Path(__file__).parent / "spec_cases" / f"{case}.yaml"

    assert not VALIDATOR.is_valid(_json(read(path.read_bytes(), case)))


def _references(schema: Json) -> Iterator[Json]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"]
        schema = [*schema.values()]
    for part in schema if isinstance(schema, list) else []:
        yield from _references(part)


def _json(node: Node) -> Json:
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Mapping):
        return {name: _json(item) for name, item in node.items.items()}
    return [_json(item) for item in node.items]
