"""How large a spec may be, and which characters it may hold, as YAML or as JSON."""

import re

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
