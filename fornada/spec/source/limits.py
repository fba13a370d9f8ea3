"""Limits for the size of a spec, and the characters that it may not contain. For YAML and JSON."""

import re

# Bytes of a spec. Ten times a spec of a thousand layers.
MAX_BYTES = 256 * 1024
# How deep lists and mappings may be nested.
MAX_DEPTH = 32
# Scalars, lists and mappings together. With this limit, PyYAML's scanner in pure Python takes less
# than a second.
MAX_NODES = 10_000
# Parameters of a model, and values of one layer's output for one image. The setting
# `max_parameters` of a worker may be lower.
MAX_PARAMETERS = 1_000_000_000
# Characters that YAML calls non-printable, the byte order mark, and the line breaks U+0085, U+2028
# and U+2029. PyYAML counts these three as line ends and editors do not: line numbers would differ.
# The ranges are those to refuse: Python compiles them ten times as fast as those to accept.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]"
)


def control(text: str) -> re.Match[str] | None:
    """The first character of `text` that a spec may not contain."""
    return _CONTROL.search(text)
