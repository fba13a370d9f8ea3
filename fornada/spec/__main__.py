"""Writes docs/spec.md and docs/spec.schema.json from what reads a spec.

Run `python -P -m fornada.spec docs` after a change; a test compares.
"""

import sys
from pathlib import Path

from fornada.spec.docs import pages

if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text)
