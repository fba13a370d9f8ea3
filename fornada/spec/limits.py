"""How large a spec may be, and which characters it may hold, as YAML or as JSON."""

import re
from collections.abc import Iterable

# Bytes. A spec of a thousand layers fits ten times.
MAX_BYTES = 256 * 1024
# Lists and mappings inside one another.
MAX_DEPTH = 32
# Scalars, lists and mappings in all: keeps the pure Python scanner under a second.
MAX_NODES = 10_000
# Parameters of the model, and values of one layer's output for one image; a worker's own setting
# may be lower.
MAX_PARAMETERS = 1_000_000_000
# YAML's non-printable characters, the byte order mark, and the line breaks (U+0085, U+2028,
# U+2029) that PyYAML counts as lines and editors do not.
_CONTROL = (
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def control(text: str) -> re.Match[str] | None:
    """The first character of `text` that no spec may hold."""
    # Compiled here, once, and kept by `re`: it takes longer than all else that is imported.
    return re.search(_CONTROL, text)


def clip(text: str) -> str:
    """At most 60 characters of `text` on one line, for messages.

    What could break the line, or speak to the terminal, is written as an escape.
    """
    short = text if len(text) <= 60 else text[:57] + "..."
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in short
    )


def listed(names: Iterable[str], most: int = 40) -> str:
    """`a, b, c`, for messages; at most `most` of them."""
    known = [clip(name) for name in names]
    rest = [f"and {len(known) - most} more"] if len(known) > most else []
    return ", ".join(known[:most] + rest)
