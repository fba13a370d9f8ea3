"""A JSON Schema of the spec, for editors that complete and check while one types.

What stands in many places is defined once, under `$defs`: values by the names of `_VALUES`, and
the arguments that several Keras classes or spellings have by the first of these.
"""

import json
from collections.abc import Mapping

from fornada.spec.catalogue import FAMILIES, arguments
from fornada.spec.catalogue.family import Family
from fornada.spec.datafolder import SPLIT, Folder
from fornada.spec.kinds.compound import Nullable
from fornada.spec.kinds.fields import Fields
from fornada.spec.kinds.kind import Kind, any_of, or_null
from fornada.spec.paths import DataPath
from fornada.spec.sections import TOP
from fornada.spec.source.nodes import Json

# Keywords that say something for people and editors, and accept everything.
_ANNOTATIONS = ("title", "description", "default")
_KINDS: dict[str, Kind] = {
    "number": arguments.ANY_NUMBER,
    "numbers": arguments.NUMBERS,
    "not_negative": arguments.NOT_NEGATIVE,
    "not_negative_or_null": Nullable(arguments.NOT_NEGATIVE),
    "positive": arguments.POSITIVE,
    "positive_or_null": Nullable(arguments.POSITIVE),
    "share": arguments.SHARE,
    "decay": arguments.DECAY,
    "split_or_null": Nullable(SPLIT),
    "count": arguments.COUNT,
    "count_or_null": Nullable(arguments.COUNT),
    "size": arguments.SIZE,
    "size_or_null": Nullable(arguments.SIZE),
    "seed": arguments.SEED,
    "axis": arguments.AXIS,
    "axes": arguments.AXES,
    "weight_axes": arguments.WEIGHT_AXES,
    "name": arguments.NAME,
    "path": DataPath(),
}
_VALUES: dict[str, dict[str, Json]] = {
    **{name: kind.schema() for name, kind in _KINDS.items()},
    "folder": Folder.fields.schema(),
    "no_arguments": or_null(Fields("", "argument", {}).schema()),
}
# What a definition says of itself; a place that says the same only refers to it.
_DESCRIPTIONS: dict[str, str] = {name: f"{kind.words}." for name, kind in _KINDS.items()}


def json_schema() -> dict[str, Json]:
    """The schema. It accepts whatever the parser accepts; the parser refuses more."""
    shared = _VALUES | _shared_arguments()
    names = {_text(schema): name for name, schema in shared.items()}
    families = {name: _family(one) for name, one in FAMILIES.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Fornada spec",
        "description": "What to train: Keras written as YAML.",
        **_refer(TOP.schema(), names),
        "$defs": {
            **_refer(families, names),
            # Their own parts, since each as a whole would refer to itself.
            **{name: _defined(name, schema, names) for name, schema in shared.items()},
        },
    }


def _defined(name: str, schema: dict[str, Json], names: Mapping[str, str]) -> dict[str, Json]:
    described: dict[str, Json] = {}
    if name in _DESCRIPTIONS:
        described["description"] = _DESCRIPTIONS[name]
    return described | _refer(schema, names)


def _family(family: Family) -> dict[str, Json]:
    bare = [
        written
        for written, name in _spellings(family).items()
        if family.entries[name].with_arguments or not family.arguments[name].required()
    ]
    properties: dict[str, Json] = {
        written: {
            "title": name,
            "description": family.entries[name].about,
            **_arguments(family, name),
        }
        for written, name in _spellings(family).items()
    }
    item: dict[str, Json] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return (
        {"title": family.name, "description": family.noun, **any_of({"enum": [*bare]}, item)}
        if bare
        else item
    )


def _spellings(family: Family) -> dict[str, str]:
    """What a spec may write for a class, and the class."""
    return {name: name for name in family.entries} | dict(family.aliases)


def _arguments(family: Family, name: str) -> dict[str, Json]:
    its = family.arguments[family.entries[name].with_arguments or name]
    return its.schema() if its.required() else or_null(its.schema())


def _shared_arguments() -> dict[str, dict[str, Json]]:
    """Arguments that stand more than once, by the first class or spelling that has them."""
    first: dict[str, str] = {}
    shared: dict[str, dict[str, Json]] = {}
    for family in FAMILIES.values():
        for written, name in _spellings(family).items():
            schema = _arguments(family, name)
            place = first.setdefault(_text(schema), f"{family.name}.{written}")
            if place != f"{family.name}.{written}" and schema not in _VALUES.values():
                shared[place] = schema
    return shared


def _refer(schema: Mapping[str, Json], names: Mapping[str, str]) -> dict[str, Json]:
    """A schema whose parts are references, where they have a name."""
    return {key: _part(value, names) for key, value in schema.items()}


def _part(value: Json, names: Mapping[str, str]) -> Json:
    if isinstance(value, list):
        return [_part(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    about = {key: text for key, text in value.items() if key in _ANNOTATIONS}
    name = names.get(_text({key: item for key, item in value.items() if key not in about}))
    if name is None:
        return _refer(value, names)
    if about.get("description") == _DESCRIPTIONS.get(name):
        about.pop("description", None)
    return {**about, "$ref": f"#/$defs/{name}"}


def _text(schema: Json) -> str:
    return json.dumps(schema)
