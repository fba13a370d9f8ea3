"""Generates the reference page of the spec, and its JSON Schema.

Both come from the same fields that read a spec, so they cannot differ from it.
"""

from pathlib import Path

from fornada.spec.docs.compact import compact
from fornada.spec.docs.reference import page
from fornada.spec.docs.schema import json_schema

# The schema belongs to the package: `fornada schema` prints this file.
SCHEMA = Path(__file__).parents[1] / "spec.schema.json"


def pages() -> dict[str, str]:
    """The text of each generated page, by its name in `docs/`."""
    return {"spec.md": page()}


def schema_text() -> str:
    """The text of `SCHEMA`."""
    return compact(json_schema()) + "\n"
