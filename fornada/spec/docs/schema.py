"""A JSON Schema of the spec, for editors that complete and check while one types."""

from fornada.spec.catalogue import FAMILIES
from fornada.spec.catalogue.family import Family
from fornada.spec.kinds.kind import any_of
from fornada.spec.sections import TOP
from fornada.spec.source.nodes import Json


def json_schema() -> dict[str, Json]:
    """The schema. It accepts whatever the parser accepts; the parser refuses more."""
    definitions: dict[str, Json] = {name: _family(one) for name, one in FAMILIES.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Fornada spec",
        "description": "What to train: Keras spelled in YAML.",
        **TOP.schema(),
        "$defs": definitions,
    }


def _family(family: Family) -> dict[str, Json]:
    spelled = {name: name for name in family.hands} | dict(family.aliases)
    bare: list[Json] = []
    properties: dict[str, Json] = {}
    for written, name in spelled.items():
        hand = family.hands[name]
        its = family.arguments[hand.with_arguments or name]
        required = list(its.required()) and not hand.with_arguments
        if not required:
            bare.append(written)
        arguments = its.schema()
        if not its.required():
            arguments = any_of(arguments, {"type": "null"})
        properties[written] = {"description": hand.about, **arguments}
    item: dict[str, Json] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"description": family.noun, **any_of({"enum": bare}, item)} if bare else item
