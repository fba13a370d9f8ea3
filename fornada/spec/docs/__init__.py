"""Generates two files of `docs/`: the reference page of the spec, and its JSON Schema.

Both come from the same fields that read a spec, so they cannot differ from it.
"""

from fornada.spec.docs.compact import compact
from fornada.spec.docs.reference import page
from fornada.spec.docs.schema import json_schema


def pages() -> dict[str, str]:
    """The text of each generated file, by its name in `docs/`."""
    return {
        "spec.md": page(),
        "spec.schema.json": compact(json_schema()) + "\n",
    }
