"""Writes docs/spec.md and fornada/spec/spec.schema.json.

Run `python -P -m fornada.spec docs` after a change of the fields or their descriptions. A test
fails while the files are out of date.
"""

import sys
from pathlib import Path

from fornada.spec.docs import SCHEMA, pages, schema_text

if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text)
    SCHEMA.write_text(schema_text())
