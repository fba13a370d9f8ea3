"""The pages that are written from what reads a spec: its reference and its JSON Schema."""

from fornada.spec.docs.compact import compact
from fornada.spec.docs.reference import page
from fornada.spec.docs.schema import json_schema


def pages() -> dict[str, str]:
    """Each generated file of `docs/` by its name, with its text."""
    return {
        "spec.md": page(),
        "spec.schema.json": compact(json_schema()) + "\n",
    }
