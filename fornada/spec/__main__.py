"""Writes docs/spec.md and docs/spec.schema.json from the fields that read a spec.

Run `python -P -m fornada.spec docs` after a change; a test compares.
"""

import json
import sys
from pathlib import Path

from fornada.spec.reference import page
from fornada.spec.schema import json_schema


def pages() -> dict[str, str]:
    """Each generated file by its name, with its text."""
    return {
        "spec.md": page(),
        "spec.schema.json": json.dumps(json_schema(), indent=1) + "\n",
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text)
