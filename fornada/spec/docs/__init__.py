"""The pages that are written from what reads a spec: its reference and its JSON Schema."""

import json

from fornada.spec.docs.reference import page
from fornada.spec.docs.schema import json_schema


def pages() -> dict[str, str]:
    """Each generated file of `docs/` by its name, with its text."""
    return {
        "spec.md": page(),
        "spec.schema.json": json.dumps(json_schema(), indent=1) + "\n",
    }
